"""A run that stopped goes on with the same command and ends with the same bits; a folder holds one run only."""

import errno
import json
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import VARIED, Hours, assert_same_runs, equal, lines_of, tiny_recipe

from attrimorph.data.drawn.synthetic import write_faces
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.errors import AttrimorphError
from attrimorph.files import lock_folder
from attrimorph.loading import load, parse_header
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.metrics.similarity import psnr
from attrimorph.training import folder as folder_module
from attrimorph.training import trainer
from attrimorph.training.folder import Guard, checkpoint_folders, load_state
from attrimorph.training.trainer import Progress, train


class Stop(Exception):
    """What stops a run in a test."""


def train_with_stops(recipe: Recipe, data: PreparedData, out: Path, stops: list[int]) -> int:
    """Train, stopped when a line of the log has come at each of these clocks; return how many processes it took."""

    def stop_there(progress: Progress) -> None:
        if stops and progress.images_seen >= stops[0]:
            stops.pop(0)
            raise Stop

    for number in range(1, 20):
        try:
            train(recipe, data, out, progress=stop_there, device="cpu")
            return number
        except Stop:
            continue
    raise AssertionError("the run did not end")


@pytest.mark.parametrize(
    ("recipe", "stops"),
    [
        (tiny_recipe(**VARIED, losses__edited_share=0.5, losses__warmup_images=40), [24, 48, 48, 72, 96]),
        (tiny_recipe("cvae-gan", optimiser__schedule="cosine", optimiser__warmup_images=30), [48]),
        (tiny_recipe("wgan", training__ema_images=0), [24, 72]),
        (tiny_recipe("aae", training__checkpoint_images=40, training__keep=1), [72]),
    ],
    ids=lambda value: value.method if isinstance(value, Recipe) else "",
)
def test_a_stopped_run_ends_with_the_same_bits(
    data: PreparedData, tmp_path: Path, recipe: Recipe, stops: list[int]
) -> None:
    count = len(stops)
    train(recipe, data, tmp_path / "whole", device="cpu")
    assert train_with_stops(recipe, data, tmp_path / "stopped", list(stops)) == count + 1
    assert_same_runs(tmp_path / "whole", tmp_path / "stopped")
    assert len(lines_of(tmp_path / "whole")) == 4


def test_checkpoints_by_time_change_no_bit(data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(**VARIED, training__keep=20)
    train(recipe, data, tmp_path / "whole", device="cpu")
    assert [int(each.name) for each in checkpoint_folders(tmp_path / "whole")] == [0, 32, 64, 96]
    monkeypatch.setattr(trainer, "time", Hours())
    assert train_with_stops(recipe, data, tmp_path / "slow", [24, 72]) == 3
    assert [int(each.name) for each in checkpoint_folders(tmp_path / "slow")] == [*range(0, 97, 8)]
    assert_same_runs(tmp_path / "whole", tmp_path / "slow")
    # Never, said on the way.
    longer = recipe.with_changes({"training.images": 112, "training.checkpoint_minutes": 0})
    train(longer, data, tmp_path / "slow", device="cpu")
    assert int(checkpoint_folders(tmp_path / "slow")[-2].name) == 96


def test_another_seed_gives_other_bits(data: PreparedData, tmp_path: Path) -> None:
    """So the test above can fail."""
    for name, seed in (("a", 0), ("b", 1)):
        train(tiny_recipe("vae", training__images=24, training__seed=seed), data, tmp_path / name, device="cpu")
    with pytest.raises(AssertionError):
        assert_same_runs(tmp_path / "a", tmp_path / "b")


def test_a_run_begins_with_the_weights_of_a_trained_model(data: PreparedData, tmp_path: Path) -> None:
    train(tiny_recipe("cvae", training__images=24), data, tmp_path / "first", device="cpu")
    first = str(tmp_path / "first")
    begun = tiny_recipe("cvae", training__images=8, training__start=first, optimiser__learning_rate=1e-12)
    run = train(begun, data, tmp_path / "next", device="cpu")
    for name, network in load(run).networks.items():
        for a, b in zip(network.parameters(), load(first).networks[name].parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-6)
    # Only its beginning needs the model: a run goes on without.
    (tmp_path / "first").rename(tmp_path / "gone")
    train(begun.with_changes({"training.images": 16}), data, run, device="cpu")
    for changes, words in (
        ({"training__start": str(tmp_path / "none")}, "there is no run folder"),
        ({"training__start": "portraits-128"}, "must be a model of the method cvae with the attributes of the data"),
        ({"training__start": str(tmp_path / "gone"), "networks__encoder_width": 8}, "with networks as the recipe's"),
    ):
        with pytest.raises(AttrimorphError, match=words):
            train(tiny_recipe("cvae", **changes), data, tmp_path / "refused", device="cpu")


def test_a_run_that_stops_while_it_writes_a_checkpoint_goes_on_from_the_one_before(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, real, written = tiny_recipe("cvae-gan"), folder_module.write_bytes, []

    def stops_at_the_fifth_file(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 6:
            path.write_bytes(content[: len(content) // 2])
            raise Stop
        real(path, content)

    monkeypatch.setattr(folder_module, "write_bytes", stops_at_the_fifth_file)
    with pytest.raises(Stop):
        train(recipe, data, tmp_path / "stopped", device="cpu")
    monkeypatch.undo()
    assert [folder.name for folder in checkpoint_folders(tmp_path / "stopped")] == ["000000000", "000000032"]
    # What SIGKILL would have left behind besides.
    (tmp_path / "stopped" / "checkpoints" / ".part-abc").mkdir()
    (tmp_path / "stopped" / ".recipe.json.abc.part").write_text("{")
    with (tmp_path / "stopped" / "log.jsonl").open("a") as log:
        log.write('{"images_seen": 72, "kl": 0.')
    train(recipe, data, tmp_path / "stopped", device="cpu")
    train(recipe, data, tmp_path / "whole", device="cpu")
    assert_same_runs(tmp_path / "whole", tmp_path / "stopped")
    assert [*(tmp_path / "stopped").rglob("*.part*")] == []


def test_a_checkpoint_is_written_while_the_training_goes_on(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written once the next line is in the log is the checkpoint as it was."""
    recipe = tiny_recipe(**VARIED, training__keep=20)
    train(recipe, data, tmp_path / "whole", device="cpu")
    real = trainer.save_checkpoint

    def waits(run: Path, images_seen: int, *arguments: Any, **options: Any) -> Path:
        end = time.monotonic() + 60
        while images_seen < 96 and not any(line["images_seen"] > images_seen for line in lines_of(run)):
            assert time.monotonic() < end
            time.sleep(0.01)
        return real(run, images_seen, *arguments, **options)

    monkeypatch.setattr(trainer, "save_checkpoint", waits)
    train(recipe, data, tmp_path / "late", device="cpu")
    assert_same_runs(tmp_path / "whole", tmp_path / "late")
    folders = [checkpoint_folders(tmp_path / name) for name in ("whole", "late")]
    for a, b in zip(*folders, strict=True):
        assert a.name == b.name
        assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
        assert equal(load_state(a), load_state(b)), a.name


def test_a_disk_that_is_full_ends_the_run_in_a_sentence(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, real, synced = tiny_recipe("vae"), os.fsync, []

    def full(handle: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            synced.append(handle)
            if len(synced) > 10:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AttrimorphError, match=r"cannot write .*: No space left on device; free some space or"):
        train(recipe, data, tmp_path / "run", device="cpu")
    monkeypatch.undo()
    written = [int(each.name) for each in checkpoint_folders(tmp_path / "run")]
    assert written[0] == 0
    assert written[-1] < 96
    train(recipe, data, tmp_path / "run", device="cpu")
    train(recipe, data, tmp_path / "whole", device="cpu")
    assert_same_runs(tmp_path / "whole", tmp_path / "run")


def test_the_guards_memory_survives_a_stop(data: PreparedData, tmp_path: Path) -> None:
    recipe = tiny_recipe("vae", training__images=64)
    train(recipe, data, tmp_path, device="cpu")
    folder = checkpoint_folders(tmp_path)[-1]
    state = load_state(folder)
    guard = Guard()
    guard.go_back()
    guard.collapsed_lines = 7
    folder_module.save_checkpoint(
        tmp_path, 64, (folder / "model.safetensors").read_bytes(), {**state, "guard": asdict(guard)}, 2
    )
    train(recipe.with_changes({"training.images": 96}), data, tmp_path, device="cpu")
    after = load_state(checkpoint_folders(tmp_path)[-1])
    assert after["guard"]["returns"] == 1
    assert after["guard"]["rate_scale"] == 0.5
    # The halved rate is what the optimisers stepped with.
    assert after["algorithm"]["optimisers"]["generator"]["param_groups"][0]["lr"] == recipe.optimiser.learning_rate / 2


def test_more_images_continue_a_finished_run(data: PreparedData, tmp_path: Path) -> None:
    # 72 is a multiple of every interval: a run that ends there has written nothing that a longer one would not.
    fields = {"training__log_images": 24, "training__checkpoint_images": 24, "training__sample_images": 24}
    train(tiny_recipe("cvae-gan", training__images=72, **fields), data, tmp_path / "grown", device="cpu")
    for name in ("grown", "whole"):
        train(tiny_recipe("cvae-gan", training__images=96, **fields), data, tmp_path / name, device="cpu")
    assert_same_runs(tmp_path / "whole", tmp_path / "grown")
    # And a shorter one has nothing to do.
    before = lines_of(tmp_path / "grown")
    train(tiny_recipe("cvae-gan", training__images=48, **fields), data, tmp_path / "grown", device="cpu")
    assert lines_of(tmp_path / "grown") == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"losses.kl": 7}, "losses.kl = 1.0, this one has 7.0"),
        ({"training.seed": 3}, "training.seed = 0, this one has 3"),
        ({"networks.latent": 5}, "networks.latent = 4, this one has 5"),
        ({"optimiser.discriminator_rate": 0.1}, "optimiser.discriminator_rate = None, this one has 0.1"),
        ({"method": "cvae"}, "method = 'vae', this one has 'cvae'"),
    ],
)
def test_another_recipe_in_the_folder_is_refused_by_the_fields_name(
    data: PreparedData, finished: Path, change: dict[str, Any], said: str
) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(AttrimorphError, match="choose another folder with --out") as error:
        train(tiny_recipe("vae", training__images=32).with_changes(change), data, finished, device="cpu")
    assert said in str(error.value)
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data: PreparedData) -> Path:
    return train(tiny_recipe("vae", training__images=32), data, tmp_path_factory.mktemp("finished"), device="cpu")


def test_other_data_in_the_folder_are_refused(finished: Path, tmp_path: Path) -> None:
    other = write_faces(tmp_path / "other", count=40, size=16, seed=1)
    with pytest.raises(AttrimorphError, match="a run on other data"):
        train(tiny_recipe("vae", training__images=32), other, finished, device="cpu")


def test_a_folder_in_use_is_refused_and_is_free_again_after_an_error(
    data: PreparedData, finished: Path, tmp_path: Path
) -> None:
    with lock_folder(finished), pytest.raises(AttrimorphError, match="another process is at work"):
        train(tiny_recipe("vae", training__images=32), data, finished, device="cpu")
    # The error is still held here: the lock must not be.
    wrong = tiny_recipe("vae", training__images=32, losses__kl=9)
    with pytest.raises(AttrimorphError, match=r"losses\.kl"):
        train(wrong, data, finished, device="cpu")
    train(tiny_recipe("vae", training__images=32), data, finished, device="cpu")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("recipe.json", "[]", "is no recipe of a run"),
        ("recipe.json", '{"recipe": 3, "data": ""}', "a recipe must be a mapping"),
        ("machine.json", '{"precision": "float8"}', "is damaged"),
        ("machine.json", '{"precision": "f8", "memory_format": "x", "milliseconds": {}}', "is damaged"),
        ("log.jsonl", '[3]\n{"images_seen": "x"}\n', ""),
        (
            "checkpoints/000000016/sha256.json",
            "{}",
            "has changed since it was written; remove that checkpoint's folder",
        ),
    ],
)
def test_damaged_files_of_a_run_are_told(
    data: PreparedData, tmp_path: Path, file: str, content: str, said: str
) -> None:
    recipe = tiny_recipe("vae", training__images=16)
    train(recipe, data, tmp_path, device="cpu")
    (tmp_path / file).write_text(content)
    if said:
        with pytest.raises(AttrimorphError, match=said):
            train(recipe, data, tmp_path, device="cpu")
    else:
        train(recipe, data, tmp_path, device="cpu")
        assert lines_of(tmp_path) == []


@pytest.mark.parametrize("part", ["algorithm", "ema", "guard", "images_seen"])
def test_a_state_with_a_part_missing_is_told(data: PreparedData, tmp_path: Path, part: str) -> None:
    recipe = tiny_recipe("vae", training__images=16)
    train(recipe, data, tmp_path, device="cpu")
    path = checkpoint_folders(tmp_path)[-1] / "state.pt"
    state = torch.load(path, weights_only=True)
    path.with_name("sha256.json").unlink()  # as in checkpoints of early versions
    for value in (None, "gone"):
        if value is None:
            torch.save({**state, part: [1, 2]}, path)
        else:
            torch.save({name: held for name, held in state.items() if name != part}, path)
        with pytest.raises(AttrimorphError, match=r"no checkpoint of this program|does not fit this recipe"):
            train(recipe.with_changes({"training.images": 32}), data, tmp_path, device="cpu")


def test_one_flipped_bit_of_a_checkpoint_or_of_the_data_is_told(tmp_path: Path) -> None:
    write_faces(tmp_path / "data", count=40, size=16)
    prepared, run = open_prepared(tmp_path / "data"), tmp_path / "run"
    train(tiny_recipe("vae", training__images=32), prepared, run, device="cpu")
    longer = tiny_recipe("vae", training__images=48)
    for path, said in (
        (checkpoint_folders(run)[-1] / "state.pt", "state.pt has changed since it was written"),
        (tmp_path / "data" / "images.npy", "has changed since it was prepared"),
    ):
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[-len(whole) // 3] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(AttrimorphError, match=said):
            train(longer, open_prepared(tmp_path / "data"), run, device="cpu")
        path.write_bytes(whole)
    with (run / "log.jsonl").open("r+b") as log:
        log.seek(3)
        log.write(b"\xff\xff")
    lines = len(lines_of(run))
    train(longer, open_prepared(tmp_path / "data"), run, device="cpu")
    assert lines >= 1
    assert lines_of(run)[-1]["images_seen"] == 48
    assert len(lines_of(run)) > lines


def test_compiling_without_a_compiler_is_refused(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(AttrimorphError, match=r"needs a C\+\+ compiler; no-such-compiler was not found"):
        train(tiny_recipe("vae", training__compile=True), data, tmp_path / "run", device="cpu")


def test_what_cannot_start_leaves_the_folder_to_another_run(data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(AttrimorphError, match="128"):
        train(tiny_recipe("vae", networks__kind="paper"), data, tmp_path / "run", device="cpu")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    train(tiny_recipe("vae", training__images=16), data, tmp_path / "run", device="cpu")
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]["method"] == "vae"


def test_a_models_file_tells_how_well_it_reconstructs_its_own_pictures(data: PreparedData, tmp_path: Path) -> None:
    model: Any = load(train(tiny_recipe(), data, tmp_path / "run", device="cpu"))
    told = model.header["reconstruction"]
    images, labels = data.batch(next(r for r in (data.indices("valid"), data.indices("train")) if len(r))[:256])
    found = psnr(images, model.decode(model.encode(images, labels)).images)
    assert told["psnr"] == pytest.approx(float(found.mean()), abs=0.01)
    assert told["deviation"] == pytest.approx(float(found.std(correction=0)), abs=0.01)
    assert "reconstruction" not in load(train(tiny_recipe("wgan"), data, tmp_path / "gan", device="cpu")).header
    with pytest.raises(AttrimorphError, match="'reconstruction' of a wrong form"):
        parse_header(model.header | {"reconstruction": {"psnr": "high"}})
