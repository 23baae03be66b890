"""Live edits: subjects, locks that hold, and PNGs that carry their receipts."""

import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from attrimorph.applications.axes import Axis
from attrimorph.applications.axes.choosing import judge_named
from attrimorph.applications.axes.space import Space
from attrimorph.applications.edit import (
    EditTarget,
    edit,
    found_source,
    free_of,
    logits_of,
    moved_code,
    put_together,
    rendered,
    sampled_sources,
    side_effects,
    with_locks,
)
from attrimorph.applications.generating import sample
from attrimorph.data import Attribute, Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load
from attrimorph.methods.homointerp.model import InterpolationModel
from attrimorph.models.model import Code
from attrimorph.pictures import to_pil
from attrimorph.requests.receipt import EMBEDDED
from attrimorph.requests.replay import replay
from attrimorph.requests.saved import saved_png
from attrimorph.studio.model_store import can, sliders
from tests.small_models import small_model
from tests.tiny_models import tiny_layers, tiny_model


@pytest.fixture
def face() -> Image.Image:
    return to_pil(faces.render(faces.sample_factors(1, torch.Generator().manual_seed(1)), 32))[0]


def test_a_subject_is_edited_as_the_command_line_edits(tmp_path: Path, face: Image.Image) -> None:
    for model in (tiny_model(tmp_path / "family"), tiny_layers(tmp_path / "layers")):
        subject = found_source(model, face, {"Male": 1})
        changes = {"Smiling": 1.0, "Bald": 0.5}
        told, own = (edit(model, model.prepared(face), changes, subject.attributes, composition=each)
                     for each in ("fields", "whole face"))  # fmt: skip
        picture = rendered(model, [subject], [moved_code(model, subject, EditTarget(changes))], [EditTarget(changes)])
        assert torch.equal(picture, own.edited)
        shown, _ = put_together(subject.image, model.decode(subject.code), picture)
        assert torch.equal(shown, told.edited)
        assert not torch.equal(told.edited, own.edited)


def test_sliders_are_what_a_model_can_change(tmp_path: Path) -> None:
    family = sliders(tiny_model(tmp_path / "family"))
    assert [each.name for each in family] == list(faces.SCHEMA.names)
    assert {(each.least, each.most, each.step) for each in family} == {(-1.0, 1.0, 0.01)}
    assert [(each.name, each.step) for each in sliders(small_model(tmp_path / "cycle", "cyclegan-64"))] == [
        ("Smiling", 1.0)
    ]
    interpolating = small_model(tmp_path / "homointerp", "homointerp-drawn-64")
    assert isinstance(interpolating, InterpolationModel)
    groups = {name for group in interpolating.groups.values() for name in group}
    assert {each.name for each in sliders(interpolating)} == groups
    assert sliders(tiny_model(tmp_path / "gan", method="gan")) == []
    colours = Schema((Attribute("Hair", "categorical", ("red", "blue")), Attribute("Age", "real")))
    assert [(each.name, each.most) for each in sliders(tiny_model(tmp_path / "other", schema=colours))] == [
        ("Hair=red", 1.0), ("Hair=blue", 1.0), ("Age", 3.0),
    ]  # fmt: skip


def test_a_model_without_codes_keeps_the_picture(tmp_path: Path, face: Image.Image) -> None:
    model = small_model(tmp_path / "cycle", "cyclegan-64")
    subject = found_source(model, face)
    assert subject.code is None
    assert not can(model)["lock"]
    assert torch.equal(
        rendered(model, [subject], [None], [EditTarget({"Smiling": 1.0})]),
        model.edit(subject.image, {"Smiling": 1.0}, subject.attributes),  # type: ignore[attr-defined]
    )
    with pytest.raises(AttrimorphError, match="cannot lock"):
        rendered(model, [subject], [None], [EditTarget({"Smiling": 1.0}, ("Male",))])


def test_drawn_subjects_are_the_samples(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    subjects = sampled_sources(model, 3, 7, {"Male": 1.0})
    drawn = sample(model, 3, seed=7, changes={"Male": 1.0})
    together = rendered(model, subjects, [each.code for each in subjects], [EditTarget()] * 3)
    assert torch.equal(together, drawn.images)


def test_wishes_are_decoded_together(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    subjects = sampled_sources(model, 3, 7)
    wishes = [EditTarget({"Smiling": 1.0}), EditTarget({"Male": -0.5}), EditTarget()]
    codes = [moved_code(model, *pair) for pair in zip(subjects, wishes, strict=True)]
    together = rendered(model, subjects, codes, wishes)
    for row, (subject, wish) in enumerate(zip(subjects, wishes, strict=True)):
        alone = rendered(model, [subject], [moved_code(model, subject, wish)], [wish])
        assert torch.allclose(together[row], alone[0], atol=1e-4)


def test_locks_hold_what_a_judge_sees() -> None:
    """On the shipped model, where without a lock other attributes do come along."""
    model = load("drawn-faces-64")
    judge = judge_named(None, model)
    strayed, mended, wished = [], [], []
    subjects = sampled_sources(model, 96, 5)
    codes = [subject.code for subject in subjects]
    seen = judge(rendered(model, subjects, codes, [EditTarget()] * len(subjects)))
    for name in ("Young", "Heavy_Makeup", "Blond_Hair"):
        column = model.schema.columns(name).start
        changes = [{name: 1.0 if before[column] < 0.5 else -1.0} for before in seen]
        wishes = [EditTarget(change) for change in changes]
        free = [moved_code(model, *pair) for pair in zip(subjects, wishes, strict=True)]
        dragged = judge(rendered(model, subjects, free, wishes))
        for subject, before, after, change in zip(subjects, seen, dragged, changes, strict=True):
            along = side_effects(judge.schema, before, after, change, 0.25)
            if not along:
                continue
            locked = moved_code(model, subject, EditTarget(change, tuple(along)), judge)
            kept = judge(model.decode(locked))[0]
            places = [judge.schema.columns(other).start for other in along]
            strayed += (after - before).abs()[places].tolist()
            mended += (kept - before).abs()[places].tolist()
            wished.append(float(kept[column] if change[name] > 0 else 1 - kept[column]))
    assert len(strayed) >= 5
    assert sum(mended) < 0.4 * sum(strayed)
    assert min(wished) > 0.5


def test_a_lock_never_makes_it_worse(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    judge = judge_named(None, model)
    for subject in sampled_sources(model, 6, 2):
        assert subject.code is not None
        before, changes = logits_of(judge, model.decode(subject.code)), {"Smiling": 1.0}
        free = Code(subject.code.z, model.moved(subject.code.attributes, changes))
        tied = with_locks(model, judge, before, free, ["Male", "Young"], changes)
        places = [judge.schema.columns(name).start for name in ("Male", "Young")]

        def stray(code: Code, before: torch.Tensor = before, places: list[int] = places) -> float:
            return float((logits_of(judge, model.decode(code)) - before)[0, places].square().sum())

        assert stray(tied) <= stray(free) + 1e-6


def test_what_is_edited_and_what_gives_way_is_not_locked() -> None:
    locks = ["Male", "Blond_Hair", "Brown_Hair", "Male"]
    assert free_of(faces.SCHEMA, locks, {"Blond_Hair": 1.0}) == ["Male"]
    assert free_of(faces.SCHEMA, locks, {"Blond_Hair": -1.0}) == ["Male", "Brown_Hair"]
    assert free_of(faces.SCHEMA, locks, {"Blond_Hair": 0.0}) == ["Male", "Blond_Hair", "Brown_Hair"]


def test_side_effects_leave_out_what_was_asked_for() -> None:
    before, after = torch.zeros(25), torch.zeros(25)
    for name, change in {"Smiling": 0.9, "Male": -0.3, "Young": 0.5, "Black_Hair": 0.8, "Bald": 0.1}.items():
        after[faces.SCHEMA.columns(name).start] = change
    found = side_effects(faces.SCHEMA, before, after, {"Smiling": 1, "Blond_Hair": 1, "Bald": 0}, 0.2)
    assert list(found.items()) == [("Young", 0.5), ("Male", -0.3)]


def taught(model_size: int) -> Axis:
    direction = torch.zeros(model_size, dtype=torch.float64)
    direction[0] = 1
    return Axis("Puzzled", direction, 1.0, 0.0, -2.0, 2.0)


def test_a_taught_axis_moves_the_code(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    space = Space.of(model)
    subject, axis = sampled_sources(model, 1, 3)[0], taught(space.size)
    assert subject.code is not None
    code = moved_code(model, subject, EditTarget({"Puzzled": 1.0, "Smiling": 1.0}, axes=(axis,)))
    plain = Code(subject.code.z, model.moved(subject.code.attributes, {"Smiling": 1.0}))
    assert float(space.coordinates(code, model.schema.fill_value)[0, 0]) == pytest.approx(2.0, abs=1e-3)
    rest = (space.coordinates(code, model.schema.fill_value) - space.coordinates(plain, model.schema.fill_value))[0, 1:]
    assert float(rest.abs().max()) < 1e-4


@pytest.mark.parametrize("kind", ["photograph", "sample", "without codes"])
def test_a_saved_png_makes_itself_again(kind: str, tmp_path: Path, face: Image.Image) -> None:
    folder = tmp_path / "run"
    model = small_model(folder, "cyclegan-64") if kind == "without codes" else tiny_model(folder)
    judge = None if kind == "without codes" else judge_named(None, model)
    subject = sampled_sources(model, 1, 3)[0] if kind == "sample" else found_source(model, face)
    axes = () if kind == "without codes" else (taught(Space.of(model).size),)
    wish = EditTarget(
        {"Smiling": 0.7 if axes else 1.0, **({"Puzzled": 0.5} if axes else {})}, ("Male",) if judge else (), axes
    )
    path = tmp_path / "saved.png"
    path.write_bytes(saved_png(model, subject, wish, judge, model_name=folder))
    with Image.open(path) as image:
        assert "edited by attrimorph" in image.text["attrimorph"]
    again = replay(path)
    assert again.identical
    assert again.written.pictures == (tmp_path / "saved.again.png",)
    assert replay(again.written.receipt).identical


def test_a_png_with_other_pixels_is_called_different(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    content = saved_png(
        model, sampled_sources(model, 1, 3)[0], EditTarget(), None, model_name=tmp_path / "run", label=False
    )
    with Image.open(io.BytesIO(content)) as image:
        assert "attrimorph" not in image.info
        told = json.loads(image.info[EMBEDDED])
    told["outputs"][0]["pixels_sha256"] = "0" * 64
    assert not replay(resaved(tmp_path / "other.png", told)).identical


def resaved(path: Path, receipt: object) -> Path:
    info = PngInfo()
    info.add_itxt(EMBEDDED, receipt if isinstance(receipt, str) else json.dumps(receipt))
    Image.new("RGB", (16, 16)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"code": {"z": "AAAA", "shape": [8], "attributes": "AAAA"}}, "numbers are damaged"),
        ({"code": {"z": "AAAAAA==", "shape": [1], "attributes": "AAAAAA=="}}, "must fit the model"),
        ({"code": {"z": 3}}, "'code' is missing or wrong"),
        ({"code": None, "picture": "no"}, "picture is damaged|no readable image"),
        ({"changes": {"Smiling": "much"}}, "'changes' is missing or wrong"),
    ],
)
def test_a_damaged_receipt_gets_a_sentence(change: dict[str, object], sentence: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "run")
    content = saved_png(model, sampled_sources(model, 1, 3)[0], EditTarget(), None, model_name=tmp_path / "run")
    with Image.open(io.BytesIO(content)) as image:
        told = json.loads(image.info[EMBEDDED])
    told["arguments"] |= change
    with pytest.raises(AttrimorphError, match=sentence):
        replay(resaved(tmp_path / "broken.png", told))


def test_a_picture_without_a_receipt_gets_a_sentence(tmp_path: Path, face: Image.Image) -> None:
    face.save(tmp_path / "plain.png")
    with pytest.raises(AttrimorphError, match="it holds no receipt"):
        replay(tmp_path / "plain.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "plain.png").read_bytes()[:40])
    with pytest.raises(AttrimorphError, match="no readable image"):
        replay(tmp_path / "cut.png")
    with pytest.raises(AttrimorphError, match="no readable picture"):
        replay(resaved(tmp_path / "words.png", "{"))
