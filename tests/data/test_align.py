"""Alignment: the transform in closed form, and the detector on pictures of two machine-made people."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attrimorph.data import faces, images
from attrimorph.data.faces import TURNS, Array, find_faces
from attrimorph.errors import AttrimorphError

PEOPLE = Path(__file__).parent.parent / "fixtures" / "photographs"
# The middles of the eyes, as an eye sees them in the pictures of 256 x 256 pixels.
EYES = {"woman": ((98, 93), (143, 87)), "man": ((98.5, 97), (135, 98))}


def person(name: str) -> Image.Image:
    return Image.open(PEOPLE / f"{name}.jpg").convert("RGB")


@pytest.mark.parametrize(
    "eyes", [((30.0, 40.0), (70.0, 40.0)), ((50.0, 20.0), (60.0, 90.0)), ((70.0, 40.0), (30.0, 35.0))]
)
def test_the_frame_takes_the_places_to_the_eyes(eyes: tuple[tuple[float, float], tuple[float, float]]) -> None:
    frame = images.aligned_frame(eyes, 64)
    a, b, c, d, e, f = frame.matrix
    for (x, y), expected in zip(images.EYES, eyes, strict=True):
        assert (a * 64 * x + b * 64 * y + c, d * 64 * x + e * 64 * y + f) == pytest.approx(expected)
    # A similarity: equal scale both ways, right angles, no mirroring.
    assert (a, b) == pytest.approx((e, -d))
    assert a * e - b * d == pytest.approx(frame.scale**2)
    # There and back.
    p, q, r, s, t, u = frame.inverse
    for (x, y), (right, down) in zip(frame.corners, [(0, 0), (64, 0), (64, 64), (0, 64)], strict=True):
        assert (p * x + q * y + r, s * x + t * y + u) == pytest.approx((right, down), abs=1e-9)


def test_a_frame_cuts_out_what_lies_in_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    image = Image.fromarray(pixels)
    assert np.array_equal(images.Frame((1, 0, 7, 0, 1, 5), 16).cut(image), pixels[5:21, 7:23])
    # A quarter turn: the square's right is the photograph's up.
    assert np.array_equal(images.Frame((0, 1, 7, -1, 0, 21), 16).cut(image), np.rot90(pixels[5:21, 7:23], -1))
    # Beyond the border the photograph is mirrored.
    found = np.asarray(images.Frame((1, 0, -4, 0, 1, 30), 16).cut(image))
    padded = np.pad(pixels, ((0, 6), (4, 0), (0, 0)), mode="symmetric")
    assert np.array_equal(found, padded[30:46, 0:16])
    # Twice as large, each pixel is the mean of four, give or take the rounding of sampling finer.
    half = images.Frame((2, 0, 0, 0, 2, 0), 16).cut(image)
    means = pixels[:32, :32].reshape(16, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(np.asarray(half) - means).max() <= 1


@pytest.mark.parametrize("name", EYES)
@pytest.mark.parametrize("turns", range(4))
def test_eyes_are_found_whichever_way_up(name: str, turns: int) -> None:
    image = person(name)
    (face,) = find_faces(image)
    assert face.score > 0.99
    assert np.abs(np.subtract(face.eyes, EYES[name])).max() < 3
    transpose = TURNS[turns]
    (turned,) = find_faces(image if transpose is None else image.transpose(transpose))
    assert turned.turns == (4 - turns) % 4
    back = np.array([*turned.points, turned.box[:2], turned.box[2:]])
    for _ in range(turns):  # clockwise again
        back = np.stack([256 - back[:, 1], back[:, 0]], 1)
    assert np.abs(back[:5] - face.points).max() < 3
    # The frame goes with the face: what is cut out is the same.
    one, other = (
        images.aligned_frame(found.eyes, 32).cut(picture)
        for found, picture in ((face, image), (turned, image if transpose is None else image.transpose(transpose)))
    )
    assert np.abs(np.asarray(one).astype(float) - np.asarray(other)).mean() < 8


@pytest.mark.parametrize("side", [40, 80, 300])
def test_faces_from_40_pixels_on_are_found(side: int) -> None:
    size = round(256 * side / find_faces(person("man"))[0].side)
    (face,) = find_faces(person("man").resize((size, size), Image.Resampling.LANCZOS))
    assert face.side == pytest.approx(side, rel=0.15)
    # And in a larger picture, among noise.
    room = Image.effect_noise((900, 700), 50).convert("RGB")
    room.paste(person("man").resize((size, size), Image.Resampling.LANCZOS), (310, 40))
    faces = find_faces(room)
    assert len(faces) == 1
    assert np.abs(np.subtract(faces[0].eyes, np.array(EYES["man"]) * size / 256 + (310, 40))).max() < 0.15 * side


def test_searching_has_an_end_whatever_a_picture_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = 0

    def nothing(_: object, picture: Image.Image, scale: float) -> tuple[Array, Array]:
        nonlocal searched
        searched += picture.width * picture.height
        return np.empty((0, 4)), np.empty(0)

    with monkeypatch.context() as patch:
        patch.setattr(faces, "_proposals", nothing)
        assert find_faces(Image.new("RGB", (4000, 3000))) == []
    # Of 2,400 x 1,800 pixels and all smaller sizes once, of 960 x 720 four times.
    assert searched < 2.1 * 2400 * 1800 + 4 * 2.1 * 960 * 720
    # Windows that all look like a face.
    corners = np.random.default_rng(0).uniform(0, 1e6, (faces.MOST + 500, 2))
    boxes, scores = np.concatenate([corners, corners + 12], 1), np.linspace(0, 1, len(corners))
    assert faces._suppressed(boxes, scores, 0.7) == [*range(len(boxes) - 1, 499, -1)]
    man = person("man")
    (face,) = find_faces(man)
    left, top, side = int(face.box[0] - face.side / 4), int(face.box[1] - face.side / 4), int(1.5 * face.side)
    small = man.crop((left, top, left + side, top + side)).resize((100, 100))
    crowd = Image.new("RGB", (1500, 1500))
    for place in range(15 * 15):
        crowd.paste(small, (100 * (place % 15), 100 * (place // 15)))
    assert len(find_faces(crowd)) == faces.MOST_FACES


def test_eyes_come_to_lie_at_their_places() -> None:
    for name in EYES:
        for angle in (0, 20, -30):
            turned = person(name).rotate(angle, Image.Resampling.BICUBIC, expand=True)
            face = images.align(turned, 160)
            assert face.size == (160, 160)
            (found,) = find_faces(face)
            for eye, place in zip(found.eyes, images.EYES, strict=True):
                assert np.hypot(eye[0] - 160 * place[0], eye[1] - 160 * place[1]) < 4


def test_a_picture_without_a_face_is_told() -> None:
    for picture in (Image.effect_noise((120, 120), 20), Image.radial_gradient("L"), Image.new("L", (30, 9))):
        with pytest.raises(AttrimorphError, match=re.escape("no face was found")):
            images.align(picture.convert("RGB"), 32)
