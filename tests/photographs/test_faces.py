"""Which faces are meant, the frames that people draw, and when an edit cannot be trusted."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attrimorph import load
from attrimorph.applications.edit import trained_on
from attrimorph.data.drawn.faces import render, sample_factors
from attrimorph.data.faces import Face, find_faces
from attrimorph.data.images import DRAWN_EYES, EYES, Frame, aligned_frame
from attrimorph.errors import AttrimorphError
from attrimorph.photographs.faces import (
    INK,
    chosen_faces,
    doubts,
    frame_in_box,
    frames_of,
    numbered_faces,
    square_frame,
)
from attrimorph.pictures import to_pil

PEOPLE = Path(__file__).parent.parent / "fixtures" / "photographs"


@pytest.fixture(scope="module")
def group() -> Image.Image:
    """Two people in one photograph: a man of about 200 pixels, and a smaller woman on his right."""
    room = Image.new("RGB", (800, 500), (90, 110, 120))
    room.paste(Image.open(PEOPLE / "man.jpg").resize((460, 460)), (10, 20))
    room.paste(Image.open(PEOPLE / "woman.jpg").resize((260, 260)), (520, 180))
    return room


@pytest.fixture(scope="module")
def faces(group: Image.Image) -> list[Face]:
    return find_faces(group)


def test_the_faces_that_are_meant(faces: list[Face]) -> None:
    man, woman = faces
    assert man.side > woman.side
    assert chosen_faces(faces, "largest") == chosen_faces(faces, "1") == [man]
    assert chosen_faces(faces, "all") == [man, woman]
    assert chosen_faces(faces, "2") == [woman]
    x, y = woman.points[2]
    assert chosen_faces(faces, f"{x:.0f},{y:.0f}") == [woman]


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        ("3", "face must be a number from 1 to 2, as many as were found; got 3"),
        ("0", "from 1 to 2"),
        ("790,10", "face must be a point within a face; there is none at 790,10"),
        ("smallest", "face must be largest, all, a number or a point x,y; got 'smallest'"),
        ("1.5", "face must be largest"),
        ("nan,nan", "there is none at nan,nan"),
    ],
)
def test_a_face_that_is_not_there(faces: list[Face], which: str, sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=re.escape(sentence)):
        chosen_faces(faces, which)


def test_none_found_says_what_to_do() -> None:
    with pytest.raises(AttrimorphError, match=r"no face was found in this photograph; .*--box x,y,w,h.*--aligned"):
        chosen_faces([], "largest")


def test_a_box_around_a_face_is_about_the_frame_of_its_eyes(faces: list[Face]) -> None:
    for face in faces:
        left, top, right, bottom = face.box
        frame = frame_in_box(f"{left},{top},{right - left},{bottom - top}", (800, 500), 64)
        a, b, c, d, e, f = frame.matrix
        for (x, y), eye in zip(EYES, face.eyes, strict=True):
            place = 64 * a * x + 64 * b * y + c, 64 * d * x + 64 * e * y + f
            assert np.hypot(*np.subtract(place, eye)) < 0.12 * face.side
    for words in ("1,2,3", "700,400,200,50", "0,0,0,10", "a,b,c,d", "-1,0,50,50", "nan,0,5,5"):
        with pytest.raises(AttrimorphError, match=re.escape("box must be x,y,w,h in pixels within the photograph of")):
            frame_in_box(words, (800, 500), 64)


def test_a_square_that_is_a_face_already() -> None:
    assert square_frame((0, 0, 64, 64), 64).matrix == (1, 0, 0, 0, 1, 0)
    assert square_frame((100, 0, 612, 512), 64).corners.tolist() == [[100, 0], [612, 0], [612, 512], [100, 512]]


def test_the_frames_of_a_photograph(group: Image.Image, faces: list[Face]) -> None:
    whole = square_frame((150, 0, 650, 500), 64)
    man, woman = (aligned_frame(face.eyes, 64) for face in faces)
    frames, said = frames_of(group, whole)
    assert frames == [man]
    assert said == ["2 faces were found, the largest is edited; --face all or a number takes others"]
    assert frames_of(group, whole, "all") == ([man, woman], [])
    assert frames_of(group, whole, "2") == ([woman], [])
    assert frames_of(group, whole, aligned=True) == ([whole], [])
    assert frames_of(group, whole, box="10,20,100,120")[0] == [frame_in_box("10,20,100,120", (800, 500), 64)]
    (sentence,) = frames_of(group, square_frame((150, 0, 650, 500), 512), "2")[1]
    assert sentence.startswith("face 2 may not be edited well: it is less than half as large")


def test_a_picture_that_is_a_face_already_is_taken_whole(group: Image.Image, faces: list[Face]) -> None:
    cut = aligned_frame(faces[0].eyes, 128).cut(group)
    assert frames_of(cut, square_frame((0, 0, 128, 128), 64)) == ([square_frame((0, 0, 128, 128), 64)], [])
    own = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    whole = square_frame((0, 0, 64, 64), 64)
    assert frames_of(own, whole) == ([whole], [])
    # Pictures of a model that was not trained on aligned faces may be of anything.
    whole = square_frame((25, 0, 175, 150), 64)
    frames, (sentence,) = frames_of(own.resize((200, 150)), whole)
    assert frames == [whole]
    assert "no face was found; the largest centred square is edited" in sentence
    for words in ({"needed": True}, {"which": "all"}):
        with pytest.raises(AttrimorphError, match="no face was found in this photograph"):
            frames_of(own.resize((200, 150)), whole, **words)


def test_a_square_whose_face_is_small_is_no_face_already(group: Image.Image, faces: list[Face]) -> None:
    """As people hold a telephone: the face in the middle, but half as large as in the model's pictures."""
    frame = aligned_frame(faces[0].eyes, 256)
    a, b, c, d, e, f = frame.matrix
    wide = Frame((2 * a, 2 * b, c - 128 * (a + b), 2 * d, 2 * e, f - 128 * (d + e)), 256).cut(group)
    whole = square_frame((0, 0, 256, 256), 64)
    ((found,), _) = frames_of(wide, whole)
    assert found.scale == pytest.approx(2, rel=0.1)
    # Or as large, but elsewhere.
    aside = Frame((a, b, c - 24 * a, d, e, f - 24 * d), 256).cut(group)
    ((found,), _) = frames_of(aside, whole)
    assert found.matrix[2] == pytest.approx(24, abs=4)


def test_a_model_of_drawn_faces_is_shown_the_eyes_where_they_have_them(group: Image.Image, faces: list[Face]) -> None:
    drawn = render(sample_factors(24, torch.Generator().manual_seed(3)), 256)
    whole = square_frame((0, 0, 256, 256), 64)
    eyes = np.array([found[0].eyes for image in to_pil(drawn) if (found := find_faces(image))])
    assert len(eyes) >= 15
    assert np.abs(np.median(eyes, 0) / 256 - DRAWN_EYES).max() < 0.02
    ((frame,), _) = frames_of(group, square_frame((150, 0, 650, 500), 64), places=DRAWN_EYES)
    assert frame == aligned_frame(faces[0].eyes, 64, DRAWN_EYES)
    for image in to_pil(drawn):
        assert frames_of(image, whole, places=DRAWN_EYES)[0] == [whole]
    assert trained_on(load("drawn-faces-64")) == {"needed": False, "places": DRAWN_EYES}


def test_what_cannot_be_trusted_is_told_with_figures(faces: list[Face]) -> None:
    man, _ = faces
    assert list(doubts(man, 64)) == []
    (words,) = doubts(man, 600)
    assert "less than half as large as the model's pictures" in words
    # How large the model's faces are says where its pictures have their eyes.
    between = round(2 * float(np.hypot(*np.subtract(*man.points[:2]))) / 0.24)
    assert "less than half as large" in next(doubts(man, between))
    assert list(doubts(man, between, DRAWN_EYES)) == []
    (left, y), (right, _), *_ = man.points
    aside = replace(man, points=(*man.points[:2], (right - 5, y + 40), *man.points[3:]))
    assert "turned aside" in next(doubts(aside, 64))
    assert "score 0.91" in next(doubts(replace(man, score=0.912), 64))
    assert "it is small (30 pixels; 40 are needed)" in list(doubts(replace(man, box=(left, y, left + 30, y + 30)), 8))


def test_frames_are_drawn_with_their_numbers(group: Image.Image, faces: list[Face]) -> None:
    drawn = np.asarray(numbered_faces(group, faces))
    larger = np.asarray(numbered_faces(group, faces, DRAWN_EYES))
    assert (larger != drawn).any()
    x, y = aligned_frame(faces[0].eyes, 64, DRAWN_EYES).corners[2].round().astype(int)
    assert (larger[y - 2 : y + 3, x - 2 : x + 3] == INK).all(2).any()
    assert drawn.shape == (500, 800, 3)
    changed = (drawn != np.asarray(group)).any(2)
    for face in faces:
        left, top, right, bottom = (round(value) for value in face.box)
        assert changed[max(0, top - 90) : bottom + 90, max(0, left - 90) : right + 90].sum() > 500
        # The face itself stays to be seen.
        x, y = (round(value) for value in face.points[2])
        assert not changed[y - 10 : y + 10, x - 10 : x + 10].any()
    assert (drawn[changed] == INK).all(1).mean() > 0.5
