"""Which faces of a photograph are meant, where a model is shown them, and when an edit of them cannot be trusted."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from attrimorph.data.images import EYES, Frame, Point, aligned_frame
from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from attrimorph.data.faces import Face

REMEDIES = "say where one is with --box x,y,w,h, or give --aligned for a picture that is a face already"
# Of a typical face in its box, medians over 500 photographs of LFW: the middle of the eyes above that of the box, and
# the eyes' distance, both as parts of the box's height.
RAISED, APART = 0.11, 0.34
LEAST_SIDE = 40  # pixels
LEAST_SCORE = 0.97
MOST_ASIDE = 0.4  # the nose from the middle of the eyes, in parts of their distance: 99 of 100 of LFW lie nearer
# A picture is a face already where the eyes lie at most so far from their places, in parts of the frame's side, and are
# so far apart in parts of these places' distance: of 232 drawn faces all that were found upright.
NEAR, FILLING = 0.07, (0.8, 1.2)
INK, PAPER = (255, 196, 0), (20, 20, 20)


def chosen_faces(faces: "Sequence[Face]", which: str) -> "list[Face]":
    """Return the faces that are meant.

    Args:
        faces: all of a photograph, the largest first.
        which: "largest", "all", a number as of `numbered_faces`, or "x,y": a point of the photograph within one.

    Raises:
        AttrimorphError: there are none, or none is meant.
    """
    if not faces:
        raise AttrimorphError(f"no face was found in this photograph; {REMEDIES}")
    if which in ("largest", "all"):
        return list(faces if which == "all" else faces[:1])
    try:
        numbers = [float(part) for part in which.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0].is_integer():
        if 1 <= numbers[0] <= len(faces):
            return [faces[int(numbers[0]) - 1]]
        raise AttrimorphError(
            f"face must be a number from 1 to {len(faces)}, as many as were found; got {which}; --faces shows them"
        )
    if len(numbers) == 2:
        around = [face for face in faces if _inside(face, numbers[0], numbers[1])]
        if around:
            return [min(around, key=lambda face: math.dist(_middle(face), numbers))]
        raise AttrimorphError(f"face must be a point within a face; there is none at {which}; --faces shows them")
    raise AttrimorphError(f"face must be largest, all, a number or a point x,y; got {which!r}; --faces shows them")


def _inside(face: "Face", x: float, y: float) -> bool:
    left, top, right, bottom = face.box
    return left <= x <= right and top <= y <= bottom


def _middle(face: "Face") -> tuple[float, float]:
    left, top, right, bottom = face.box
    return (left + right) / 2, (top + bottom) / 2


def frame_in_box(words: str, size: tuple[int, int], side: int, places: tuple[Point, Point] = EYES) -> Frame:
    """Return the frame of an upright face that a person drew a box around, forehead to chin.

    Args:
        words: "x,y,w,h", in pixels of the upright photograph.
        size: width and height of the photograph.
        side: of the model's square.
        places: of the eyes in the model's pictures.

    Raises:
        AttrimorphError: the words are no box within the photograph.
    """
    try:
        x, y, width, height = (float(part) for part in words.split(","))
    except ValueError:
        x = y = width = height = math.nan
    if not (0 <= x < x + width <= size[0] and 0 <= y < y + height <= size[1]):
        raise AttrimorphError(
            f"box must be x,y,w,h in pixels within the photograph of {size[0]}x{size[1]}; got {words!r}; try "
            f"{size[0] // 4},{size[1] // 4},{size[0] // 2},{size[1] // 2}"
        )
    middle, eyes, apart = x + width / 2, y + height * (0.5 - RAISED), APART * height / 2
    return aligned_frame(((middle - apart, eyes), (middle + apart, eyes)), side, places)


def square_frame(box: tuple[float, float, float, float], side: int) -> Frame:
    """Return the frame of an upright square (left, top, right, bottom): of a picture that is a face already."""
    left, top, right, bottom = box
    return Frame(((right - left) / side, 0.0, left, 0.0, (bottom - top) / side, top), side)


def frames_of(
    image: Image.Image,
    whole: Frame,
    which: str = "largest",
    *,
    box: str | None = None,
    aligned: bool = False,
    needed: bool = False,
    places: tuple[Point, Point] = EYES,
    find: "Callable[[Image.Image], list[Face]] | None" = None,
) -> tuple[list[Frame], list[str]]:
    """Return the frames in which a photograph is edited, and sentences worth reading.

    A picture in which the face lies as in the model's pictures, or of the model's own size, is taken as a face already;
    so is one in which none is found, unless one is needed.

    Args:
        image: upright RGB.
        whole: the frame of a picture that is a face already.
        which: as of `chosen_faces`.
        box: as of `frame_in_box`, in place of looking for faces.
        aligned: whether the picture is a face already.
        needed: whether there must be a face: the model's pictures were aligned. Those of others may be of anything.
        places: of the eyes in the model's pictures.
        find: in place of `find_faces`, by whoever has found them before.

    Raises:
        AttrimorphError: there is no such face, or the box is none.
    """
    if box is not None:
        return [frame_in_box(box, image.size, whole.side, places)], []
    if aligned or image.size == (whole.side, whole.side):
        return [whole], []
    if find is None:
        from attrimorph.data.faces import find_faces

        find = find_faces
    faces = find(image)
    if which in ("largest", "all") and faces and _fills(faces[0], whole, places):
        return [whole], []
    if not faces and which == "largest" and not needed:
        return [whole], ["no face was found; the largest centred square is edited (another place: --box x,y,w,h)"]
    chosen, said = chosen_faces(faces, which), []
    if which == "largest" and len(faces) > 1:
        said.append(f"{len(faces)} faces were found, the largest is edited; --face all or a number takes others")
    for face in chosen:
        if reasons := "; ".join(doubts(face, whole.side, places)):
            said.append(f"face {faces.index(face) + 1} may not be edited well: {reasons}")
    return [aligned_frame(face.eyes, whole.side, places) for face in chosen], said


def _fills(face: "Face", whole: Frame, places: tuple[Point, Point]) -> bool:
    """Tell whether a face lies in a frame about as faces do in the model's pictures."""
    a, b, c, d, e, f = whole.inverse
    eyes = [((a * x + b * y + c) / whole.side, (d * x + e * y + f) / whole.side) for x, y in face.eyes]
    least, most = (share * math.dist(*places) for share in FILLING)
    near = all(math.dist(eye, place) < NEAR for eye, place in zip(eyes, places, strict=True))
    return near and least < math.dist(*eyes) < most


def doubts(face: "Face", side: int, places: tuple[Point, Point] = EYES) -> Iterator[str]:
    """Yield why an edit of a face cannot be trusted, with figures; nothing where it can.

    Args:
        face: as found.
        side: of the model's square, in pixels.
        places: of the eyes in the model's pictures.
    """
    points = np.array(face.points)
    across = points[1] - points[0]
    apart = float(np.hypot(*across))
    aside = float((points[2] - points[:2].mean(0)) @ across) / apart**2
    if abs(aside) > MOST_ASIDE:
        yield f"it is turned aside (nose {abs(aside):.0%} of the eyes' distance aside; at most {MOST_ASIDE:.0%})"
    if face.side < LEAST_SIDE:
        yield f"it is small ({face.side:.0f} pixels; {LEAST_SIDE} are needed)"
    elif apart < math.dist(*places) * side / 2:
        yield f"it is less than half as large as the model's pictures (eyes {apart:.0f} pixels apart)"
    if face.score < LEAST_SCORE:
        yield f"it is hidden, blurred or no face (detector's score {face.score:.2f}; {LEAST_SCORE} is little)"


def numbered_faces(
    image: Image.Image, faces: "Sequence[Face]", places: tuple[Point, Point] = EYES, side: int = 64
) -> Image.Image:
    """Return an RGB photograph with the frame of each face drawn, and its number, 1 the largest; see `frames_of`."""
    shown = image.copy()
    draw = ImageDraw.Draw(shown)
    line = max(2, round(max(image.size) / 400))
    for number, face in enumerate(faces, 1):
        corners = [(float(x), float(y)) for x, y in aligned_frame(face.eyes, side, places).corners]
        draw.line([*corners, corners[0], corners[1]], INK, line, joint="curve")
        height = max(12, round(math.dist(corners[0], corners[1]) / 8))
        # Inside the photograph, wherever the frame lies.
        x = min(max(min(x for x, _ in corners), 0), image.width - height)
        y = min(max(min(y for _, y in corners), 0), image.height - height)
        font = ImageFont.load_default(height)
        draw.text((x + line, y + line), str(number), INK, font, stroke_width=max(1, line // 2), stroke_fill=PAPER)
    return shown
