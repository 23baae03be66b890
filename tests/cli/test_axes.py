"""axes fit, add, show by the command line, on a tiny run; sentences where something is amiss."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph.applications.axes import load_pack
from attrimorph.cli import run

Say = Callable[..., object]


@pytest.fixture(scope="module")
def pack(tiny_run: Path) -> Path:
    words = ["axes", "fit", str(tiny_run), "--judge", str(tiny_run), "--samples", "600"]
    if run(words) != 0:
        # A tiny classifier may see an attribute never or always; by default such are left out, so this is a fault.
        raise AssertionError("axes fit failed")
    return tiny_run / "axes.safetensors"


def test_fit_writes_a_pack_beside_the_model(pack: Path) -> None:
    found = load_pack(pack)
    assert found.names
    assert found.about["samples"] == 600
    assert found.about["by"].startswith("classifier of")
    assert found.curved is not None
    assert found.curved.names == found.names


def test_add_takes_examples_and_says_how_sure_it_is(say: Say, tiny_run: Path, pack: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for word, level in (("with", 200), ("without", 60)):
        (tmp_path / word).mkdir()
        for number in range(6):
            pixels = random.integers(level - 40, level + 40, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / word / f"{number}.png")
    options = ["--judge", tiny_run, "--samples", 300]
    said = say("axes", "add", tiny_run, "Bright", "--examples", tmp_path, *options)
    assert said.code == 0, said.err  # type: ignore[attr-defined]
    assert "Bright: " in said.out  # type: ignore[attr-defined]
    assert "sure" in said.out  # type: ignore[attr-defined]
    assert load_pack(pack).names[-1] == "Bright"
    # A straight axis alone: nothing is known of how it bends.
    lock = load_pack(pack).names[0]
    words = ["--model", tiny_run, "--seed", 0, "--lock", lock, "--set", "Bright=1"]
    refused = say("edit", *words, "--follow", "curved")
    assert refused.code == 2  # type: ignore[attr-defined]
    assert "there is no curved axis 'Bright'" in refused.err  # type: ignore[attr-defined]
    files = sorted((tmp_path / "with").iterdir()), sorted((tmp_path / "without").iterdir())
    named = [word for path in files[0] for word in ("--positive", path)]
    named += [word for path in files[1] for word in ("--negative", path)]
    again = say("axes", "add", tiny_run, "Light", *named, *options)
    assert again.code == 0, again.err  # type: ignore[attr-defined]
    by_codes = say("axes", "add", tiny_run, "Codes", "--examples", tmp_path, "--by", "codes")
    assert by_codes.code == 0, by_codes.err  # type: ignore[attr-defined]


def test_show_writes_a_page(say: Say, tiny_run: Path, pack: Path, tmp_path: Path) -> None:
    name = load_pack(pack).names[0]
    said = say("axes", "show", tiny_run, "--judge", tiny_run, "--lock", name, "--out", tmp_path)
    assert said.code == 0, said.err  # type: ignore[attr-defined]
    page = (tmp_path / "axes.html").read_text()
    assert "Overlap" in page
    assert "Response" in page
    assert (tmp_path / "axes.json").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show"], "there are no axes of"),
        (["fit", "--attributes", "Smilng"], "knows no 'Smilng'; did you mean 'Smiling'"),
        (["fit", "--judge", "nobody"], "there is no judge 'nobody'"),
        (["fit", "--judge", "x", "--labels", "y.csv"], "either --judge or --labels"),
        (["fit", "--samples", "1"], "samples must be at least 2; got 1"),
        (["add"], "by --examples FOLDER, or by --positive and --negative"),
        (["add", "--examples", "."], "must hold the folders with and without"),
    ],
)
def test_what_is_amiss_is_one_sentence(
    say: Say, tiny_run: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    verb, *rest = words
    model = tmp_path / "model.safetensors"
    newest = sorted((tiny_run / "checkpoints").iterdir())[-1]
    model.write_bytes((newest / "model.safetensors").read_bytes())
    name = ["New"] if verb == "add" else []
    few = ["--samples", "64", "--judge", tiny_run] if verb == "fit" and "--samples" not in words else []
    if "--judge" in rest:
        few = ["--samples", "64"]
    said = say("axes", verb, model, *name, *rest, *few)
    assert said.code == 2  # type: ignore[attr-defined]
    assert sentence in said.err  # type: ignore[attr-defined]


def test_edit_and_morph_go_along_axes_and_tell_first_what_that_does(
    say: Say, tiny_run: Path, pack: Path, face: Path, tmp_path: Path
) -> None:
    name, lock = load_pack(pack).names[:2]
    words = ["--model", tiny_run, "--set", f"{name}=1", "--lock", lock]
    for number, (verb, more) in enumerate(
        (
            ("edit", [face]),
            ("edit", ["--seed", 3, "--count", 2, "--axes", pack]),
            ("edit", [face, "--invert", "--invert-steps", 3, "--follow", "judge", "--axes", "own"]),
            ("edit", ["--seed", 3, "--follow", "curved"]),
            ("morph", [face, "--steps", 3]),
            ("morph", ["--seed", 1, "--steps", 3]),
        )
    ):
        out = tmp_path / f"{number}.png"
        said = say(verb, *more, *words, "--out", out)
        assert said.code == 0, said.err  # type: ignore[attr-defined]
        lines = said.out.splitlines()  # type: ignore[attr-defined]
        assert lines[0] == "on drawn pictures:"
        assert "linear model" in lines[1]
        assert "classifier of" in lines[1]
        told = {line.split()[-1]: line.split() for line in lines[2:] if line.startswith(("reached", "locked"))}
        assert told[name][0] == "reached"
        assert told[lock][:2] == ["locked", "–" if "--follow" in more else "0.0%"]
        assert lines.index(str(out)) > 3
        again = say("replay", out.with_suffix(".json"))
        assert "every pixel is the same" in again.out  # type: ignore[attr-defined]
