"""A person's photograph comes back at its own size and in its own format, changed only where it should."""

import copy
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from attrimorph.applications import AxisOptions
from attrimorph.applications.axes import save_pack
from attrimorph.applications.edit import look, unlike
from attrimorph.data import faces as detector
from attrimorph.errors import AttrimorphError
from attrimorph.models import DRAWN
from attrimorph.models.model import Model
from attrimorph.photographs.file import Photograph, read_photograph
from attrimorph.requests.edit import Edit
from attrimorph.requests.edit_folder import EditFolder
from attrimorph.requests.receipt import Receipt, read_receipt
from attrimorph.requests.replay import replay
from tests.applications.axes.test_along import some_axes
from tests.small_models import small_model
from tests.tiny_models import tiny_model

PEOPLE = Path(__file__).parent.parent / "fixtures" / "photographs"


UNLIKE = "unlike what drawn-faces-64 was trained on (drawn faces): reconstructed at "
"""The shipped model says so of every photograph."""


@pytest.fixture(scope="module")
def model() -> Model:
    return Edit(images=[PEOPLE / "man.jpg"], changes={"Eyeglasses": 1}, model=DRAWN).load()


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = Image.effect_noise((711, 402), 30).convert("RGB")
    room.paste(Image.open(PEOPLE / "man.jpg").resize((380, 380)), (3, 10))
    room.paste(Image.open(PEOPLE / "woman.jpg").resize((260, 260)), (440, 100))
    path = tmp_path_factory.mktemp("group") / "group.png"
    room.save(path)
    return path


def written(out: Path, model: Model, image: Path, **words: Any) -> tuple[Photograph, Receipt, list[str]]:
    """Edit a photograph; returns what was written, its receipt, and what was said."""
    said: list[str] = []
    done = Edit(images=[image], changes={"Eyeglasses": 1}, **words).write(out, model, say=said.append)
    return read_photograph(done.pictures[-1]), read_receipt(done.receipt), [each for each in said if UNLIKE not in each]


def inside(photograph: Photograph, receipt: Receipt, number: int = 0) -> np.ndarray:
    """The pixels within a frame of the receipt, [H, W]."""
    a, _, c, d, _, f = receipt.arguments["frames"][0][number]
    width, height = photograph.size
    y, x = np.mgrid[:height, :width] + 0.5
    m, t = complex(a, d), complex(c, f)
    square = ((x + 1j * y) - t) / m / 64
    return (np.minimum(square.real, square.imag) > -0.02) & (np.maximum(square.real, square.imag) < 1.02)


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("kind", ["png 16", "png RGBA", "tif L", "webp RGB"])
def test_only_what_lies_in_the_frame_changes(tmp_path: Path, model: Model, kind: str, orientation: int) -> None:
    suffix, mode = kind.split()
    upright = Image.effect_noise((319, 271), 30).convert("RGB")
    upright.paste(Image.open(PEOPLE / "woman.jpg").resize((230, 230)), (60, 20))
    exif = Image.Exif()
    exif[0x0112] = {3: 3, 6: 8, 7: 7, 1: 1}[orientation]  # the turn that lays it down
    buffer = io.BytesIO()
    upright.save(buffer, "PNG", exif=exif)
    laid = ImageOps.exif_transpose(Image.open(buffer))
    exif[0x0112] = orientation
    laid = laid if mode == "16" else laid.convert(mode)
    path = tmp_path / f"photo.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    laid.save(path, exif=exif, **options)
    if mode == "16":
        deep = read_photograph(path)
        pixels = deep.pixels.astype(np.uint16) * 257
        pixels[::2, ::3] -= np.minimum(pixels[::2, ::3], 99)
        deep.with_pixels(pixels).write(path)
    before = read_photograph(path)
    assert np.abs(np.asarray(before.rgb().convert("L")).astype(int) - np.asarray(upright.convert("L"))).mean() < 2
    after, receipt, said = written(tmp_path / "made.png", model, path)
    assert said == []
    assert (after.size, after.format, after.orientation) == (before.size, before.format, orientation)
    assert (after.pixels.dtype, after.pixels.shape) == (before.pixels.dtype, before.pixels.shape)
    changed = (after.pixels != before.pixels).any(2)
    frame = inside(before, receipt)
    assert changed.sum() > 100
    assert not (changed & ~frame).any()
    if mode == "RGBA":
        assert np.array_equal(after.pixels[..., 3], before.pixels[..., 3])


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("looked for faces")


def test_the_faces_that_are_meant_are_changed(tmp_path: Path, model: Model, group: Path) -> None:
    before = read_photograph(group)
    man, woman = (slice(0, 402), slice(0, 383)), (slice(0, 402), slice(440, 711))
    for face, expected in {"largest": (1, 0), "all": (1, 1), "2": (0, 1), "570,200": (0, 1)}.items():
        after, receipt, said = written(tmp_path / "made.png", model, group, face=face)
        changed = (after.pixels != before.pixels).any(2)
        assert (changed[man].any(), changed[woman].any()) == expected, face
        assert len(receipt.arguments["frames"][0]) == sum(expected)
        told = ["2 faces were found, the largest is edited; --face all or a number takes others"]
        assert said == (told if face == "largest" else [])
    with pytest.raises(AttrimorphError, match="face must be a number from 1 to 2"):
        written(tmp_path / "made.png", model, group, face="3")
    after, receipt, _ = written(tmp_path / "made.png", model, group, box="500,140,110,150")
    changed = (after.pixels != before.pixels).any(2)
    assert changed[woman].any()
    assert not changed[man].any()
    with pytest.raises(AttrimorphError, match="--face, --box and --aligned each say where the face is"):
        written(tmp_path / "made.png", model, group, box="500,140,110,150", aligned=True)


def test_a_replay_needs_no_detector(tmp_path: Path, model: Model, group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Edit(images=[group], changes={"Eyeglasses": 1}, face="all").write(tmp_path / "made.png", model)
    monkeypatch.setattr(detector, "_found", refuse)
    again = replay(done.receipt, model=model)
    assert again.identical


def test_python_gives_the_photograph_that_the_command_writes(
    tmp_path: Path, model: Any, group: Path, recwarn: pytest.WarningsRecorder
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A maker"
    party = tmp_path / "party.jpg"
    Image.open(group).rotate(90, expand=True).save(party, exif=exif, quality=90)
    wanted, receipt, _ = written(tmp_path / "made.png", model, party, face="all")
    found = model.edit(str(party), {"Eyeglasses": 1}, face="all")
    assert [[frame.matrix for frame in each] for each in found.faces] == [
        [tuple(matrix) for matrix in receipt.arguments["frames"][0]]
    ]
    assert len(found.images) == len(found.faces[0]) == 2
    assert found.save(tmp_path / "out.jpg") == [tmp_path / "out.jpg"]
    made = read_photograph(tmp_path / "out.jpg")
    assert np.array_equal(made.pixels, wanted.pixels)
    assert (made.size, made.orientation) == ((711, 402), 6)
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.getexif()[0x010F] == "A maker"
    before = read_photograph(party).pixels
    after = np.asarray(found.photographs[0])
    (mask,) = found.mask
    assert np.array_equal(mask, (after != before).any(2))
    assert 0 < mask.mean() < 0.6
    assert ["2 of 2 pictures are " + UNLIKE in str(each.message) for each in recwarn.list] == [True]
    found.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.getexif()[0x010F] == "A maker"
        assert np.array_equal(np.asarray(image), after)
    with pytest.warns(UserWarning, match=r"out\.bmp cannot hold EXIF of this photograph; name it \*\.jpg to keep all"):
        found.save(tmp_path / "out.bmp")
    # Pictures in memory go the same way.
    upright = read_photograph(party).rgb()
    for source in (upright, np.asarray(upright), [upright]):
        assert np.array_equal(model.edit(source, {"Eyeglasses": 1}, face="all").photographs[0], after)
    with pytest.warns(UserWarning, match="2 faces were found, the largest is edited"):
        model.edit(upright, {"Eyeglasses": 1})
    with pytest.raises(AttrimorphError, match="face must be a number from 1 to 2"):
        model.edit(upright, {"Eyeglasses": 1}, face=3)
    # What is as the model is shown it comes back as the model makes it.
    own = model.edit(found.images, {"Eyeglasses": 1})
    assert torch.equal(own, model.edit(party, {"Eyeglasses": 1}, face="all", composition="whole face").edited)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_picture_in_memory_keeps_bits_alpha_and_profile(tmp_path: Path, model: Any) -> None:
    colours = np.asarray(Image.open(PEOPLE / "man.jpg").convert("RGB").resize((300, 300)))
    colours = np.pad(colours, ((40, 60), (70, 30), (0, 0)), mode="edge")
    alpha = np.full((400, 400, 1), 255, np.uint8)
    alpha[:, :50] = np.arange(50)[:, None]
    deep = colours.astype(np.uint16) * 257 ^ 5
    grey = Image.fromarray(colours[..., 1])
    with_alpha = Image.fromarray(np.concatenate([colours, alpha], 2))
    with_alpha.info |= {"icc_profile": b"any profile", "exif": Image.open(party_with_exif(tmp_path)).info["exif"]}
    sources: dict[str, Any] = {
        "RGBA": with_alpha, "L": grey, "P": Image.fromarray(colours).quantize(256),
        "CMYK": Image.fromarray(colours).convert("CMYK"), "I;16": Image.fromarray(deep[..., 1]),
        "16": deep, "16 with alpha": np.concatenate([deep, alpha.astype(np.uint16) * 257], 2),
        "array with alpha": np.asarray(with_alpha), "16 as a tensor": torch.from_numpy(deep.transpose(2, 0, 1).copy()),
    }  # fmt: skip
    for name, source in sources.items():
        found = model.edit(source, {"Eyeglasses": 1})
        (pixels,), (mask,) = found.pixels, found.mask
        # What went in, as another reader of arrays sees it.
        given = deep if "16" in name else colours
        given = {"P": np.asarray(sources["P"].convert("RGB")), "L": given[..., 1:2], "I;16": given[..., 1:2],
                 "CMYK": np.asarray(sources["CMYK"].convert("RGB"))}.get(name, given)  # fmt: skip
        assert pixels.dtype == given.dtype, name
        assert 500 < mask.sum() < 0.5 * mask.size, name
        corners = found.faces[0][0].corners.round().astype(int)
        (left, top), (right, bottom) = corners.min(0).clip(0), corners.max(0)
        assert mask[top:bottom, left:right].sum() == mask.sum(), name
        assert np.array_equal(pixels[~mask][:, : given.shape[2]], given[~mask]), name
        if "alpha" in name or name == "RGBA":
            assert np.array_equal(pixels[..., 3], alpha[..., 0].astype(int) * (257 if "16" in name else 1)), name
        else:
            assert pixels.shape == given.shape, name
        for place in (tmp_path / "made.png", tmp_path / "made.tif"):
            found.save(place)
            assert np.array_equal(read_photograph(place).pixels, pixels), (name, place.suffix)
            if name == "RGBA":
                with Image.open(place) as image:
                    assert image.info["icc_profile"] == b"any profile"
                    assert image.getexif()[0x010F] == "A maker"
        modes = {"L": "L", "I;16": "I;16", "RGBA": "RGBA", "array with alpha": "RGBA", "16 with alpha": "RGBA"}
        assert found.photographs[0].mode == modes.get(name, "RGB"), name
        assert (found.photographs[0].info == {}) == (name != "RGBA")


def party_with_exif(folder: Path) -> Path:
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    Image.new("RGB", (8, 8)).save(folder / "exif.jpg", exif=exif)
    return folder / "exif.jpg"


def test_a_picture_unlike_the_models_own_is_told(tmp_path: Path, model: Any) -> None:
    for image, count in {PEOPLE / "man.jpg": 1, PEOPLE.parents[2] / "docs" / "images" / "ada.png": 0}.items():
        said: list[str] = []
        Edit(images=[image], changes={"Eyeglasses": 1}).write(tmp_path / "made.png", model, say=said.append)
        assert sum(UNLIKE in each for each in said) == count
    assert re.search(r"reconstructed at 14\.\d dB, its own pictures at 24\.2 \(at least 18\.2\)", unlike_of(model))
    # The header's own figures come before those of the card.
    other = copy.copy(model)
    other.header = {**model.header, "reconstruction": {"psnr": 20.0, "deviation": 2.0}}
    assert unlike_of(other) == ""


def test_edits_along_axes_and_towards_references_tell_it_too(tmp_path: Path) -> None:
    pack, man = tmp_path / "axes.safetensors", PEOPLE / "man.jpg"
    along, like = tiny_model(tmp_path / "tiny"), small_model(tmp_path / "homo", "homointerp-drawn-64")
    save_pack(some_axes(along), pack)
    for model, words in (
        (along, {"along": AxisOptions(pack), "changes": {"Smiling": 1.0}}),
        (like, {"like": [PEOPLE / "woman.jpg"], "changes": {"hair colour": 1.0}}),
    ):
        model.header["reconstruction"] = {"psnr": 60.0, "deviation": 1.0}
        said: list[str] = []
        Edit(model="x", images=[man], **words).write(tmp_path / "made.png", model, say=said.append)
        assert ["unlike what" in each for each in said].count(True) == 1


def unlike_of(model: Any) -> str:
    images = look(model, PEOPLE / "man.jpg").images
    return "".join(unlike(model, images, model.decode(model.encode(images))))


def test_an_edit_that_changes_nothing_is_told(tmp_path: Path, model: Any) -> None:
    """The model takes the man for somebody without a hat, so that taking it away leaves every pixel."""
    sentence = (
        r"nothing is changed in this picture: .* it has what is asked of Wearing_Hat already; .* --known Wearing_Hat="
    )
    man, said = PEOPLE / "man.jpg", []
    Edit(images=[man], changes={"Wearing_Hat": -1}).write(tmp_path / "made.png", model, say=said.append)
    assert sum(bool(re.match(sentence, each)) for each in said) == 1
    with pytest.warns(UserWarning, match=sentence):
        found = model.edit(str(man), {"Wearing_Hat": -1})
    assert not found.mask[0].any()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "man.jpg").write_bytes(man.read_bytes())
    EditFolder(folder=tmp_path / "in", changes={"Wearing_Hat": -1}).write(tmp_path / "out", model)
    (line,) = csv.DictReader((tmp_path / "out" / "edits.csv").open())
    assert re.search(sentence, str(line))
    # Whoever knows better is believed, and an edit that shows says nothing.
    for words in ({"changes": {"Wearing_Hat": -1}, "known": {"Wearing_Hat": 1}}, {"changes": {"Eyeglasses": 1}}):
        said.clear()
        Edit(images=[man], **words).write(tmp_path / "made.png", model, say=said.append)
        assert "nothing is changed" not in "".join(said)


def test_faces_are_shown_with_their_numbers(tmp_path: Path, model: Model, group: Path) -> None:
    done = Edit(images=[group], numbers=True).write(tmp_path / "faces.png", model)
    assert done.pictures == (tmp_path / "faces.png",)
    with Image.open(done.pictures[0]) as image:
        assert image.size == (711, 402)
        assert (np.asarray(image.convert("RGB")) == (255, 196, 0)).all(2).sum() > 500


def test_a_picture_without_a_face(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "noise.png"
    Image.effect_noise((300, 200), 40).convert("RGB").save(path)
    with pytest.raises(AttrimorphError, match=re.escape("no face was found in this photograph")):
        written(tmp_path / "made.png", model, path, face="all")
    after, _, said = written(tmp_path / "made.png", model, path, known={"Eyeglasses": 0})
    assert said == ["no face was found; the largest centred square is edited (another place: --box x,y,w,h)"]
    same, _, said = written(tmp_path / "made.png", model, path, aligned=True, known={"Eyeglasses": 0})
    assert said == []
    assert np.array_equal(same.pixels, after.pixels)
    assert after.size == (300, 200)
    assert np.array_equal(after.pixels[:, :50], read_photograph(path).pixels[:, :50])


def test_the_place_is_left_out_on_demand(tmp_path: Path, model: Model) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "A maker"
    Image.open(PEOPLE / "man.jpg").save(tmp_path / "photo.jpg", exif=exif, quality=90)
    for no_location in (False, True):
        done = Edit(images=[tmp_path / "photo.jpg"], changes={"Eyeglasses": 1}, no_location=no_location).write(
            tmp_path / "made.png", model
        )
        with Image.open(done.pictures[-1]) as image:
            assert image.format == "JPEG"
            assert image.getexif()[0x010F] == "A maker"
            assert bool(image.getexif().get_ifd(0x8825)) != no_location
            assert b"edited by attrimorph" in image.info["comment"]


def test_a_folder_of_photographs(tmp_path: Path, model: Model, group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "group.png").write_bytes(group.read_bytes())
    (tmp_path / "in" / "man.jpg").write_bytes((PEOPLE / "man.jpg").read_bytes())
    Image.effect_noise((90, 50), 40).convert("RGB").save(tmp_path / "in" / "noise.png")
    request = EditFolder(folder=tmp_path / "in", changes={"Eyeglasses": 1}, face="all")
    done = request.write(tmp_path / "out", model)
    for name in ("group.png", "man.jpg"):
        before, after = read_photograph(tmp_path / "in" / name), read_photograph(tmp_path / "out" / name)
        assert (after.size, after.format) == (before.size, before.format)
    one, other = (read_photograph(tmp_path / each / "group.png").pixels for each in ("in", "out"))
    changed = (one != other).any(2)
    assert changed[:, :383].any()
    assert changed[:, 440:].any()
    with (tmp_path / "out" / "edits.csv").open(newline="") as file:
        table = {row["picture"]: row for row in csv.DictReader(file)}
    assert table["noise.png"]["status"] == "unreadable"
    assert table["noise.png"]["reason"].startswith("no face was found")
    assert [len(json.loads(table[name]["frames"])) for name in ("group.png", "man.jpg")] == [2, 1]
    monkeypatch.setattr(detector, "_found", refuse)
    assert replay(done.receipt, tmp_path / "again", model=model).identical


def test_a_folder_tells_what_is_to_be_said_of_its_pictures(tmp_path: Path, model: Model, group: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "group.png").write_bytes(group.read_bytes())
    (tmp_path / "in" / "man.jpg").write_bytes((PEOPLE / "man.jpg").read_bytes())
    said: list[str] = []
    request = EditFolder(folder=tmp_path / "in", changes={"Eyeglasses": 1})
    request.write(tmp_path / "out", model, say=said.append)
    with (tmp_path / "out" / "edits.csv").open(newline="") as file:
        notes = {row["picture"]: row["reason"] for row in csv.DictReader(file)}
    assert notes["group.png"].startswith("2 faces were found, the largest is edited")
    assert notes["man.jpg"].startswith(f"this picture is {UNLIKE}")
    assert "2 of 2 pictures edited\n2 edited with a note: group.png, man.jpg (notes in edits.csv)" in said
    # The same call again does nothing, and keeps what was found.
    request.write(tmp_path / "out", model)
    assert len(read_receipt(tmp_path / "out" / "edits.json").arguments["frames"]["group.png"]) == 1
