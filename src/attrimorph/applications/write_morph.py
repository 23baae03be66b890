"""Morphs as files: a strip, an animation there and back, and the receipt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.coding import told
from attrimorph.applications.inputs import photographs
from attrimorph.applications.inversion.search import Inversion, Progress
from attrimorph.applications.morph import (
    MOST_ROWS,
    PATHS,
    THROUGH_CODES,
    among,
    between,
    check_codes,
    check_steps,
    ends,
    morph,
)
from attrimorph.applications.options import Search
from attrimorph.applications.receipt import Written, write_result
from attrimorph.applications.stages import differences, stages
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.models.model import Model
from attrimorph.pictures import check_video, enlarge, sheet, to_pil

SMOOTH = 24  # frames of an animation, at least
PICTURES = {**dict.fromkeys(PATHS, (2, 2)), "bilinear": (4, 4), "cyclegan-chain": (1, 2)}
"""Path -> how many pictures it takes, at least and at most."""
GROUPS = ("all", "one-by-one")
WORDS = ("no", "one", "two", "three", "four")


@dataclass(frozen=True)
class Drawn:
    """A morph as pictures.

    Attributes:
        pictures: suffix -> picture.
        frames: of the animation.
        facts: worth telling.
        inversion: how codes were found; None where they are the encoder's, or there are none.
    """

    pictures: dict[str, Image.Image]
    frames: list[Image.Image]
    facts: dict[str, Any]
    inversion: Inversion | None = None


def frames(images: Tensor, *, width: int = 192) -> list[Image.Image]:
    """Return the frames of an animation that goes there and back, waiting a little at both ends."""
    there = [enlarge(image, width) for image in to_pil(images)]
    return [*[there[0]] * 4, *there, *[there[-1]] * 4, *there[-2:0:-1]]


def around(images: Tensor, *, width: int = 192) -> list[Image.Image]:
    """Return the frames of an animation along the border of a square [rows, columns, 3, S, S], waiting at corners."""
    sides = (images[0], images[:, -1], images[-1].flip(0), images[:, 0].flip(0))
    found: list[Image.Image] = []
    for side in sides:
        walked = [enlarge(image, width) for image in to_pil(side[:-1])]
        found += [*[walked[0]] * 4, *walked[1:]]
    return found


def write_morph(
    model: Model,
    inputs: Sequence[Path],
    out: Path,
    *,
    named: str | Path,
    path: str = "linear",
    steps: int = 8,
    groups: str = "all",
    changes: Mapping[str, float] | None = None,
    mp4: bool = False,
    invert: Search | None = None,
    progress: Progress | None = None,
) -> Written:
    """Morph photographs; write the strip (a square of four), an animation, and the receipt.

    Args:
        model: one that can go the path.
        inputs: the photographs: two, four for bilinear, one or two for cyclegan-chain.
        out: the strip; the others are named after it. NAME.gif and NAME.mp4 stand for NAME.png.
        named: the model as the user named it.
        path: one of `PICTURES`.
        steps: images on the way, both ends counted; bilinear: along each side.
        groups: homomorphic: "all" at once, or "one-by-one".
        changes: cyclegan-chain: attribute -> 1 or -1; what the two pictures differ in when there are none.
        mp4: whether an MP4 is written too.
        invert: linear, slerp, uniform, bilinear: how to look for the codes; None = take the encoder's.
        progress: of the inversion, called with (steps done, steps).

    Raises:
        AttrimorphError: the model cannot, something does not go together, or a package for MP4 is missing.
    """
    out, mp4 = Path(out), mp4 or Path(out).suffix.lower() == ".mp4"
    if out.suffix.lower() in (".mp4", ".gif"):
        out = out.with_suffix(".png")
    _check(path, len(inputs), groups, dict(changes or {}))
    check_codes(path, invert)
    check_steps(steps, MOST_ROWS if path == "bilinear" else 1000)
    if mp4:
        check_video()
    images = photographs(model, inputs)
    if path == "bilinear":
        drawn = _draw_square(model, images, steps, invert, progress)
    elif path == "cyclegan-chain":
        drawn = _draw_stages(model, images, steps, dict(changes or {}))
    else:
        drawn = _draw_way(model, images, steps, path, groups == "one-by-one", invert, progress)
    arguments = {"path": path, "steps": steps, "groups": groups, "changes": dict(changes or {}), "mp4": mp4}
    return write_result(
        out,
        "morph",
        model,
        drawn.pictures,
        named=named,
        arguments={**arguments, **told(invert, drawn.inversion)},
        inputs=inputs,
        facts=drawn.facts,
        animation=drawn.frames,
        mp4=mp4,
    )


def _check(path: str, count: int, groups: str, changes: dict[str, float]) -> None:
    """Refuse what does not go together."""
    if path not in PICTURES:
        raise AttrimorphError(f"there is no path {path!r}; {suggestion(path, PICTURES)}")
    if groups not in GROUPS:
        raise AttrimorphError(f"groups must be all or one-by-one; got {groups!r}; {suggestion(groups, GROUPS)}")
    least, most = PICTURES[path]
    if not least <= count <= most:
        wanted = WORDS[least] if least == most else f"{WORDS[least]} or {WORDS[most]}"
        remedy = "add the others" if count < least else "leave some out"
        pictures = "picture" if count == 1 else "pictures"
        raise AttrimorphError(f"the path {path} takes {wanted} pictures; got {count} {pictures}; {remedy}")
    if groups != "all" and path != "homomorphic":
        raise AttrimorphError(
            f"groups one by one belong to the path homomorphic; got them with {path}; add --path homomorphic"
        )
    if changes and path != "cyclegan-chain":
        raise AttrimorphError(
            f"--set belongs to the path cyclegan-chain; got it with {path}; leave it out, or edit the pictures first"
        )


def _draw_way(
    model: Model,
    images: Tensor,
    steps: int,
    path: str,
    one_by_one: bool,
    invert: Search | None,
    progress: Progress | None,
) -> Drawn:
    first, second = torch.split(images, 1)
    lengths, found = (steps, max(steps, SMOOTH)), None
    if path in THROUGH_CODES:
        # Looked for once: strip and animation show the same ends.
        (a, b), found = ends(model, (first, second), invert=invert, progress=progress)
        way, smooth = (between(model, a, b, length, path=path).images.cpu() for length in lengths)
    else:
        way, smooth = (
            morph(model, first, second, length, path=path, one_by_one=one_by_one).images.cpu() for length in lengths
        )
    words = [f"{100 * step / (steps - 1):.0f} %" for step in range(steps)]
    if path != "pixel":
        way, words = torch.cat([first, way, second]), ["from", *words, "to"]
    return Drawn({"": sheet([way], columns=words, cell=max(96, model.image_size))}, frames(smooth), {}, found)


def _draw_square(model: Model, images: Tensor, steps: int, invert: Search | None, progress: Progress | None) -> Drawn:
    corners, found = ends(model, torch.split(images, 1), invert=invert, progress=progress)
    filled, smooth = (among(model, corners, rows).images.cpu() for rows in (steps, max(steps, SMOOTH)))
    return Drawn({"": sheet(list(filled), cell=max(64, model.image_size))}, around(smooth), {}, found)


def _draw_stages(model: Model, images: Tensor, steps: int, changes: dict[str, float]) -> Drawn:
    other = images[1:] if len(images) == 2 else None
    if not changes and other is not None:
        changes = differences(model, images[:1], other)
    found = stages(model, images[:1], changes, other)
    words = [f"{100 * step / (steps - 1):.0f} %" for step in range(steps)]
    cell = max(96, model.image_size)
    pictures = {
        "": sheet([found.path(steps)], columns=words, cell=cell),
        "stages": sheet([found.images], columns=found.names, cell=cell),
    }
    smooth = found.path(max(steps, SMOOTH // 2 * (len(found.images) - 1) + 1))
    return Drawn(pictures, frames(smooth), {"changes on the way": changes})
