"""Every result has a receipt, and the receipt makes it again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.files import file_sha256
from attrimorph.loading import load
from attrimorph.models.model import Model
from attrimorph.pictures import to_pil
from attrimorph.requests.edit import Edit
from attrimorph.requests.generating import Reconstruct, Sample, Transfer
from attrimorph.requests.morph import Morph
from attrimorph.requests.receipt import Written, read_receipt
from attrimorph.requests.replay import replay
from tests.tiny_models import tiny_model

Verb = Callable[[Model, list[Path], Path, str], Written]
VERBS: dict[str, Verb] = {
    "sample": lambda m, p, out, named: Sample(model=named, count=5, seed=3, changes={"Male": 1.0}).write(out, m),
    "reconstruct": lambda m, p, out, named: Reconstruct(model=named, images=p, known={"Male": 0}).write(out, m),
    "edit": lambda m, p, out, named: Edit(model=named, images=p, changes={"Smiling": 1.0, "Bald": 0.5}).write(out, m),
    "morph": lambda m, p, out, named: Morph(model=named, images=p, steps=4, path="slerp", mp4=True).write(out, m),
    "bilinear": lambda m, p, out, named: Morph(model=named, images=[*p, *p[::-1]], steps=3, path="bilinear").write(
        out, m
    ),
    "pixel": lambda m, p, out, named: Morph(model=named, images=p, steps=3, path="pixel").write(out, m),
    "transfer": lambda m, p, out, named: Transfer(model=named, image=p[0], source=p[1], only=["Male"]).write(out, m),
}


@pytest.fixture
def workplace(tmp_path: Path) -> tuple[Model, list[Path], Path]:
    model = tiny_model(tmp_path / "run")
    images = faces.render(faces.sample_factors(2, torch.Generator().manual_seed(1)), 32)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for image, path in zip(to_pil(images), paths, strict=True):
        image.save(path)
    return model, paths, tmp_path / "results" / "it.png"


@pytest.mark.parametrize("verb", VERBS)
def test_a_receipt_makes_the_same_pixels_again(verb: str, workplace: tuple[Model, list[Path], Path]) -> None:
    model, paths, out = workplace
    named = str(out.parent.parent / "run")
    written = VERBS[verb](model, paths, out, named)
    assert written.pictures[0] == out
    assert written.receipt == out.with_suffix(".json")
    again = replay(written.receipt)
    assert again.identical
    for old, new in zip(written.pictures, again.written.pictures, strict=True):
        assert old != new
        if old.suffix == ".png":
            with Image.open(old) as one, Image.open(new) as other:
                assert one.tobytes() == other.tobytes()
        else:
            assert old.read_bytes() == new.read_bytes()


@pytest.mark.parametrize("verb", VERBS)
def test_a_receipt_holds_everything_and_pictures_are_tagged(
    verb: str, workplace: tuple[Model, list[Path], Path]
) -> None:
    model, paths, out = workplace
    written = VERBS[verb](model, paths, out, str(out.parent.parent / "run"))
    told = json.loads(written.receipt.read_text())
    assert told["format_version"] == 1
    verb = told["verb"]
    assert verb in VERBS
    assert told["model"] == {"name": str(out.parent.parent / "run"), "sha256": model.hash}
    inputs = [*paths, *paths[::-1]] if told["arguments"].get("path") == "bilinear" else paths
    assert [item["sha256"] for item in told["inputs"]] == ([] if verb == "sample" else [file_sha256(p) for p in inputs])
    assert [item["file"] for item in told["outputs"]] == [picture.name for picture in written.pictures]
    assert [item["sha256"] for item in told["outputs"]] == [file_sha256(picture) for picture in written.pictures]
    with Image.open(out) as image:
        assert f"verb {verb}; model run {model.hash[:12]}" in image.text["attrimorph"]


def test_each_edited_image_also_stands_alone(workplace: tuple[Model, list[Path], Path]) -> None:
    model, paths, out = workplace
    written = Edit(model="run", images=paths, changes={"Smiling": 1.0}).write(out, model)
    assert [picture.name for picture in written.pictures] == ["it.png", "it.edited-1.png", "it.edited-2.png"]
    with Image.open(written.pictures[1]) as image:
        assert image.size == (32, 32)  # as large as the photograph


def test_a_changed_input_is_noticed(workplace: tuple[Model, list[Path], Path]) -> None:
    model, paths, out = workplace
    written = VERBS["edit"](model, paths, out, str(out.parent.parent / "run"))
    Image.new("RGB", (32, 32)).save(paths[1])
    with pytest.raises(AttrimorphError, match=r"b\.png must be the file of the receipt; it has changed"):
        replay(written.receipt)
    paths[1].unlink()
    with pytest.raises(AttrimorphError, match=r"cannot read .*b\.png"):
        replay(written.receipt)


def test_a_changed_model_is_noticed(workplace: tuple[Model, list[Path], Path]) -> None:
    model, paths, out = workplace
    written = VERBS["sample"](model, paths, out, str(out.parent.parent / "run"))
    tiny_model(out.parent.parent / "run", seed=9)
    with pytest.raises(AttrimorphError, match="must be the one of the receipt"):
        replay(written.receipt)


def test_a_result_that_differs_is_called_different(workplace: tuple[Model, list[Path], Path]) -> None:
    model, paths, out = workplace
    written = VERBS["sample"](model, paths, out, str(out.parent.parent / "run"))
    told = json.loads(written.receipt.read_text())
    told["arguments"]["seed"] = 4
    written.receipt.write_text(json.dumps(told))
    assert not replay(written.receipt).identical


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "else"}, "it is none"),
        ({"format_version": 9}, "must have receipt format 1; got 9"),
        ({"model": None}, "is damaged"),
        ({"arguments": {}}, "is damaged"),
        ({"verb": "smaple"}, "did you mean 'sample'"),
    ],
)
def test_broken_receipts_get_a_sentence(
    workplace: tuple[Model, list[Path], Path], change: dict[str, object], sentence: str
) -> None:
    model, paths, out = workplace
    written = VERBS["sample"](model, paths, out, str(out.parent.parent / "run"))
    told = json.loads(written.receipt.read_text())
    written.receipt.write_text(json.dumps(told | change))
    with pytest.raises(AttrimorphError, match=sentence):
        replay(written.receipt)


def test_a_result_must_be_a_png(workplace: tuple[Model, list[Path], Path]) -> None:
    model, _, out = workplace
    with pytest.raises(AttrimorphError, match=r"must be a \.png file"):
        Sample(model="run").write(out.with_suffix(".jpg"), model)
    assert not out.parent.exists()


def test_a_receipt_names_a_shipped_model_by_name(workplace: tuple[Model, list[Path], Path]) -> None:
    model, paths, out = workplace
    written = VERBS["sample"](model, paths, out, "drawn-faces-64")
    assert read_receipt(written.receipt).model.name == "drawn-faces-64"
    assert replay(written.receipt, model=load(out.parent.parent / "run")).identical
