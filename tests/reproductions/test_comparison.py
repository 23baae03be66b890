"""Comparing: equal budgets, honest clocks, one page; tiny and real."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
import torch

from attrimorph.data.drawn import faces
from attrimorph.data.drawn.synthetic import undrawn_faces, write_faces
from attrimorph.data.prepared import PreparedData
from attrimorph.errors import AttrimorphError
from attrimorph.methods.recipes import recipe_named
from attrimorph.reproductions import comparison
from attrimorph.reproductions.comparison import (
    Benchmark,
    Entry,
    Ranking,
    differ,
    planned_images,
    rankings,
)
from attrimorph.reproductions.comparison_page import all_over, compare, curve, notes
from attrimorph.reproductions.entrants import Entrant, entrants, parse_budget
from attrimorph.reproductions.frame import lasting, seconds_of
from attrimorph.training import rehearsal
from tests import terminal
from tests.reproductions.tiny import FIELDS
from tests.small_models import narrow

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = ("cvae", "cgan")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return write_faces(tmp_path_factory.mktemp("faces") / "16", count=60, size=16)


@pytest.fixture
def benchmark(data: PreparedData, tmp_path: Path) -> Benchmark:
    taking = {name: Entrant(recipe_named(name).with_changes(FIELDS), {}) for name in METHODS}
    return Benchmark(taking, tmp_path, data, data, seeds=(0, 1), images=32, count=3)


def test_a_comparison_trains_alike_and_tells_all(benchmark: Benchmark) -> None:
    tables = benchmark.out / "tables"
    page = compare(benchmark, tables / "a.csv", tables / "a.tex")
    told = json.loads((benchmark.out / "results.json").read_text())
    with (tables / "a.csv").open() as file:
        row = next(line for line in csv.DictReader(file) if line["key"] == "reconstruction.psnr")
    of_cvae = [each["figures"]["reconstruction.psnr"] for each in told["entries"][:2]]
    assert [float(row["cvae"]), float(row["cvae sd"])] == pytest.approx([fmean(of_cvae), stdev(of_cvae)])
    assert (row["cgan"], row["unit"], row["better"]) == ("", "dB", "higher")
    assert r"reconstruction.psnr $\uparrow$ &" in (tables / "a.tex").read_text()
    assert [(each["recipe"], each["seed"], each["images"]) for each in told["entries"]] == [
        (name, seed, 32) for name in METHODS for seed in (0, 1)
    ]
    assert all(each["seconds"] > 0 for each in told["entries"])
    assert len({each["model sha256"] for each in told["entries"]}) == 4
    content = page.read_text()
    assert "reconstruction.psnr" in content
    assert "psnr" in content
    assert "– does not reconstruct" in content
    assert "– does not edit" in content
    # Again: nothing is trained or measured twice, and the page is the same.
    before = {path: path.stat().st_mtime_ns for path in benchmark.out.glob("runs/*/*") if path.name != ".lock"}
    assert len(before) > 8
    assert compare(replace(benchmark, say=lambda line: None)).read_text() == content
    kept = [path for path in before if path.name in ("figures.json", "checkpoints", "samples")]
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)


def test_the_same_command_goes_on_with_what_was_interrupted(benchmark: Benchmark) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("3 of 4") and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(replace(benchmark, progress=stop))
    finished = [benchmark.run("cvae", seed) / "log.jsonl" for seed in (0, 1)]
    said: list[str] = []
    compare(replace(benchmark, progress=lambda what, *_: said.append(what)))
    assert [path.read_text().count("images_per_second") for path in finished] == [2, 2]
    assert [path.parent.joinpath("figures.json").exists() for path in finished] == [True, True]
    assert not [what for what in said if what.startswith(("1 of 4: measuring", "2 of 4: measuring"))]
    told = json.loads((benchmark.out / "results.json").read_text())
    assert [each["images"] for each in told["entries"]] == [32] * 4


def test_what_fails_is_told_and_the_others_go_on(benchmark: Benchmark) -> None:
    said: list[str] = []
    # With such a rate the numbers blow up, and the guard gives up.
    broken = benchmark.entrants["cvae"].recipe.with_changes({"optimiser.learning_rate": 1.0, "losses.kl": 1e30})
    taking = {**benchmark.entrants, "cvae": Entrant(broken, {})}
    page = compare(replace(benchmark, entrants=taking, say=said.append))
    told = json.loads((benchmark.out / "results.json").read_text())
    assert [bool(each["model sha256"]) for each in told["entries"]] == [False, False, True, True]
    assert told["entries"][0]["failure"].startswith("training failed: ")
    assert "– no model" in page.read_text()
    assert sum("training failed: " in line for line in said) == 2
    with pytest.raises(AttrimorphError, match="not one training came to an end; the first: training failed"):
        compare(
            replace(benchmark, out=benchmark.out / "all", entrants={"a": Entrant(broken, {}), "b": Entrant(broken, {})})
        )


def test_a_folder_of_another_comparison_is_refused_before_anything_is_trained(benchmark: Benchmark) -> None:
    compare(benchmark)
    for other in (
        replace(benchmark, images=48),
        replace(benchmark, images=None, seconds=9.0),
        replace(benchmark, entrants={**benchmark.entrants, "cgan": Entrant(changed(benchmark, "cgan"), {})}),
    ):
        with pytest.raises(AttrimorphError, match=r"holds a comparison of .* with another length or other fields"):
            compare(replace(other, say=pytest.fail))


def changed(benchmark: Benchmark, name: str) -> Any:
    return benchmark.entrants[name].recipe.with_changes({"optimiser.learning_rate": 0.5})


def test_a_wall_clock_budget_becomes_a_length_that_is_kept(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = replace(benchmark, images=None, seconds=0.5)
    images = planned_images(timed, "cvae")
    assert images % 16 == 0
    assert images >= 16
    monkeypatch.setattr(comparison, "seconds_per_image", lambda *_: pytest.fail("measured twice"))
    assert planned_images(timed, "cvae") == images


def test_speed_is_measured_over_the_whole_run(data: PreparedData) -> None:
    shares = list(rehearsal.places())
    assert shares[:3] == [0.5, 0.25, 0.75]
    # However many are looked at, about a quarter of them lies in the first quarter of the run.
    assert all(abs(sum(share < 0.25 for share in shares[:n]) - n / 4) <= 1 for n in range(3, len(shares)))
    warm = {**FIELDS, "training.images": 16_000, "losses.warmup_images": 4_000}
    for recipe in (recipe_named("cvae-gan").with_changes(warm), narrow("pggan-drawn-64", {"training.images": 4_096})):
        assert 0 < rehearsal.seconds_per_image(recipe, data, "cpu", 0.0) < 1


def test_another_length_keeps_the_shares() -> None:
    recipe = recipe_named("quickstart")
    half = lasting(recipe, recipe.training.images // 2, 7)
    assert half.training.seed == 7
    assert half.model_dump()["losses"]["warmup_images"] == recipe.model_dump()["losses"]["warmup_images"] // 2
    assert half.training.checkpoint_images == recipe.training.checkpoint_images // 2
    grown = recipe_named("pggan-drawn-64")
    tenth = lasting(grown, grown.training.images // 10, 0).model_dump()["growth"]
    assert tenth["fixed_images"] == (3_000, 4_000, 5_000)
    assert tenth["fading_images"] == (2_000, 3_000, 5_000)


def test_a_short_training_has_few_lines_and_checkpoints_and_its_changes_stand_as_given(benchmark: Benchmark) -> None:
    quickstart = Entrant(recipe_named("quickstart"), {"optimiser.warmup-images": "77"})
    short = replace(benchmark, entrants={"quickstart": quickstart}).recipe("quickstart", 1_600, 0)
    assert short.training.log_images == 100
    assert short.training.checkpoint_images == 800
    assert short.optimiser.warmup_images == 77


def test_pauses_do_not_count() -> None:
    lines = [{"images_seen": 100, "images_per_second": 50.0}, {"images_seen": 200, "images_per_second": 25.0}]
    assert seconds_of(lines) == pytest.approx([2, 6])
    assert seconds_of([]) == [0.0]


@pytest.mark.parametrize(("words", "seconds"), [("90s", 90), ("10min", 600), ("1.5h", 5400), (" 2 min ", 120)])
def test_budgets_are_read(words: str, seconds: float) -> None:
    assert parse_budget(words) == seconds


@pytest.mark.parametrize("words", ["", "10", "ten min", "0s", "-3s", "5 days"])
def test_a_budget_that_is_none_is_told(words: str) -> None:
    with pytest.raises(AttrimorphError, match="must be a time such as 90s, 10min or 2h"):
        parse_budget(words)


def test_overrides_change_one_recipe_or_all(tmp_path: Path) -> None:
    file = tmp_path / "narrow.yaml"
    file.write_text("recipe: cvae\nname: a narrow one\n")
    words = ["cgan", str(file), "--training.batch-size", "8", "--a narrow one.training.batch-size=4"]
    found = entrants([*words, "--cgan.losses.adversarial", "2"], 16)
    assert {name: entrant.recipe.training.batch_size for name, entrant in found.items()} == {
        "cgan": 8,
        "a narrow one": 4,
    }
    assert found["cgan"].recipe.model_dump()["losses"]["adversarial"] == 2
    assert found["cgan"].changes == {"training.batch-size": "8", "losses.adversarial": "2"}
    assert {entrant.recipe.data.image_size for entrant in found.values()} == {16}


def entry(name: str, seed: int, values: list[float], speed: float = 10.0, **more: Any) -> Entry:
    lines = [
        {"images_seen": 10 * (place + 1), "images_per_second": speed, "psnr": value}
        for place, value in enumerate(values)
    ]
    return Entry(name, seed, Path(), 10 * len(values), seconds_of(lines)[-1], lines, "digest", **more)


def test_curves_are_means_over_seeds_with_their_range(benchmark: Benchmark) -> None:
    entries = [entry("cvae", 0, [1, 2, 3], 10), entry("cvae", 1, [3, 4], 5), entry("cgan", 0, [9], 1)]
    assert curve(benchmark, entries, "cvae", "psnr") == [(10, 2, 1, 3), (20, 3, 2, 4)]
    assert curve(replace(benchmark, seconds=3.0), entries, "cvae", "psnr") == [(1.5, 2, 1, 3), (3, 3, 2, 4)]
    (told,) = [each for each in notes(replace(benchmark, images=None, seconds=3.0), entries) if "133%" in each]
    assert "cvae, seed 1: 133%; cgan, seed 0: 333%" in told
    assert "seed 0: 100%" not in told


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_is_welchs(seeds: int) -> None:
    """What scipy finds at the 5 % level; where its degrees of freedom lie between two whole ones we are stricter."""
    stats = pytest.importorskip("scipy.stats")
    generator, agreed = np.random.default_rng(0), 0
    for _ in range(300):
        a, b = generator.normal(0, 1, seeds).tolist(), generator.normal(2, 0.5, seeds).tolist()
        theirs = bool(stats.ttest_ind(a, b, equal_var=False).pvalue < 0.05)
        assert theirs or not differ(a, b)
        agreed += theirs == differ(a, b)
    assert agreed > 250
    assert not differ(a[:1], b)


def test_where_nothing_differs_one_figure_in_twenty_is_marked_at_most() -> None:
    generator, marked = np.random.default_rng(0), 0
    for _ in range(1_000):
        values = {name: generator.normal(0, 1, 3).tolist() for name in "abcde"}
        marked += bool(Ranking("edit.psnr", {}, values).behind)
    assert marked <= 50


def test_marks_need_seeds_and_a_measure_of_their_own() -> None:
    def figure(name: str, **values: list[float]) -> Ranking:
        return Ranking(name, dict.fromkeys(values, "p"), values)

    good = figure("reconstruction.ssim", a=[0.9, 0.91, 0.9], b=[0.5, 0.52, 0.51], c=[0.89, 0.92, 0.88])
    assert (good.best, good.behind) == ("a", ["b"])
    low = figure("samples.frechet_distance", a=[9.0, 9.1, 9.0], b=[5.0, 5.2, 5.1])
    assert (low.best, low.behind) == ("b", ["a"])
    assert figure("reconstruction.ssim", a=[0.9], b=[0.1]).best is None
    assert figure("images.attribute_accuracy", a=[0.9, 0.9], b=[0.1, 0.1]).best is None
    unlike = Ranking("edit.leakage", {"a": "75 edits", "b": "20 edits"}, {"a": [0.1, 0.1], "b": [0.5, 0.5]})
    assert (unlike.best, unlike.behind) == (None, [])
    of_a = [entry("a", s, [1], figures={"edit.psnr": float(s)}, protocols={"edit.psnr": "p"}) for s in (0, 1)]
    assert rankings([*of_a, entry("b", 0, [1])]) == [Ranking("edit.psnr", {"a": "p"}, {"a": [0.0, 1.0]})]


def test_names_are_taken_from_all_over() -> None:
    assert all_over("abcdefghij", 2) == ["c", "h"]
    assert all_over("ab", 4) == ["a", "b"]
    assert all_over("", 4) == []


def test_undrawn_faces_have_the_labels_of_the_drawn_ones(tmp_path: Path) -> None:
    drawn, undrawn = write_faces(tmp_path / "faces", count=40, size=16), undrawn_faces(16, 40)
    assert torch.equal(drawn.attributes, undrawn.attributes)
    assert torch.equal(drawn.identity, undrawn.identity)
    assert drawn.split.tolist() == undrawn.split.tolist()
    assert (undrawn.schema, undrawn.image_size, len(undrawn)) == (faces.SCHEMA, 16, 40)


CYCLEGAN = ["compare", "cvae", "cyclegan-64", "--images", "9"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare", "cvae", "--images", "9"], "at least two recipes, all of different names; got cvae"),
        (["compare", "cvae", "cgan"], "either --budget or --images"),
        (["compare", "cvae", "cgna", "--images", "9"], "no recipe 'cgna'"),
        (["compare", "cvae", "quickstart", "--images", "9"], "such as --size 32"),
        (["compare", "cvae", "cgan", "--budget", "soon"], "a time such as 90s"),
        (["compare", "cvae", "cgan", "--images", "9", "--seeds", "0"], "seeds must be at least 1"),
        (["compare", "cvae", "cgan", "--images", "9", "--count", "0"], "count must be at least 1"),
        (["compare", "cvae", "cgan", "--images", "9", "--judge", "none.safetensors"], "none.safetensors"),
        (
            ["compare", "cvae", "cgan", "--images", "9", "--sed", "3"],
            "no option --sed; see `attrimorph compare --help`",
        ),
        (["compare", "cvae", "cgan", "--images", "9", "--seedz", "3"], "no option --seedz; did you mean --seeds"),
        (CYCLEGAN, "cyclegan-64: domains.attribute must name one of"),
        (CYCLEGAN, "add --cyclegan-64.domains.attribute Smiling"),
        ([*CYCLEGAN, "--cyclegan-64.domains.attribute", "Smilng"], "cyclegan-64: there is no attribute 'Smilng'; did"),
        ([*CYCLEGAN, "--cyclegan-64.domian.attribute", "Smiling"], "no field 'domian'; did you mean 'domains'"),
        ([*CYCLEGAN, "--cyclgan-64.domains.attribute", "Smiling"], "did you mean 'cyclegan-64'"),
        ([*CYCLEGAN, "--networks.latent", "8"], "cyclegan-64: a recipe has no field 'networks.latent'"),
        ([*CYCLEGAN, "--cvae.training.images", "8"], "set it for all with --images or --budget"),
        ([*CYCLEGAN, "--size", "16"], "cyclegan-64: data.image_size must be at least 32"),
        (["compare", "cvae", "pix2pix", "--images", "9", "--size", "64"], "with --pix2pix.domains.source edges"),
        (["compare", "cvae", "celeba-64", "--images", "9", "--size", "1024"], "size must lie in 16..512"),
        (["experiment", "rign"], "no experiment 'rign'; did you mean 'ring'"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attrimorph.cli import run

    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    *before, said = capsys.readouterr().err.splitlines()
    assert sentence in said
    assert said.startswith("attrimorph: ")
    assert all(line.startswith("synthetic faces are used") for line in before)
    assert not list(tmp_path.iterdir())


def test_a_named_judge_must_know_the_data(data: PreparedData) -> None:
    from attrimorph.cli.measuring import _suitable
    from attrimorph.evaluators.judge import load_judge

    judge = load_judge("drawn-faces-64")
    with pytest.raises(AttrimorphError, match="the judge must take images of 16 px like the data"):
        _suitable(judge, data, "cpu")
    assert _suitable(None, data, "cpu") is None


def test_experiments_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from attrimorph.cli import run

    assert run(["experiment"]) == 0
    assert "table-one" in capsys.readouterr().out


FAMILIES = {
    "cvae-gan": "--{}.networks.latent 4 --{}.networks.encoder-width 4 --{}.networks.generator-width 4 "
    "--{}.networks.discriminator-width 4 --{}.networks.classifier-width 4",
    "gan": "--{}.networks.latent 4 --{}.networks.generator-width 4 --{}.networks.discriminator-width 4",
    "attribute2image-discvae": "--{}.networks.latent 4 --{}.networks.background-latent 4 --{}.networks.encoder-width 4 "
    "--{}.networks.decoder-width 4 --{}.networks.background-width 4",
    "cyclegan-64": "--{}.domains.attribute Smiling --{}.networks.blocks 1 --{}.networks.generator-width 4 "
    "--{}.networks.discriminator-width 4",
    "homointerp-drawn-64": "--{}.networks.channels 8 --{}.networks.code 6 --{}.networks.encoder-width 4 "
    "--{}.networks.interpolator-width 4 --{}.networks.decoder-width 4 --{}.networks.critic-width 8",
    "pggan-drawn-64": "--{}.networks.latent 6 --{}.networks.width 4 --{}.networks.most 8",
    "pix2pix-64": "--{}.networks.generator-width 4 --{}.networks.discriminator-width 4",
}


def edits_of_few() -> None:
    """Measure edits of few pictures; called in the process of a command."""
    comparison.EDITED = 4


def test_one_recipe_of_each_family_in_a_terminal(tmp_path: Path) -> None:
    """Nobody can do everything; the report shows what each can, and leaves the rest empty."""
    write_faces(tmp_path / "faces", count=300, size=32)
    words = ["compare", *FAMILIES, "--size", "32", "--budget", "0.4s", "--seeds", "1", "--data", "faces"]
    words += ["--count", "9", "--training.precision", "float32", "--training.memory-format", "contiguous"]
    words += [word for name, changes in FAMILIES.items() for word in changes.format(*[name] * 9).split()]
    screen = terminal.run(words, folder=tmp_path, before=f"{__name__}:edits_of_few")
    assert screen.code == 0, screen.text
    assert screen.lines[-3:-1] == ["runs/comparison/results.json", "runs/comparison/report.html"]
    told = json.loads((tmp_path / "runs/comparison/results.json").read_text())
    assert [each["recipe"] for each in told["entries"]] == list(FAMILIES)
    assert not [each["failure"] for each in told["entries"] if each["failure"]]
    page = (tmp_path / "runs/comparison/report.html").read_text()
    for cell in ("gan</td><td>– does not edit<", "cyclegan-64</td><td>– does not sample<", "– does not reconstruct<"):
        assert cell in page
    for title in ("Smiling", "Reconstructions", "Samples", "Translations"):
        assert (tmp_path / "runs/comparison/pictures" / f"{title}.png").exists()
    assert "failed: " not in page
    # The bar tells which of all trainings it is at.
    assert any(frame.startswith("4 of 7: cyclegan-64, seed 0") for frame in screen.frames)
