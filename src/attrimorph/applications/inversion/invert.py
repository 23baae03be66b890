"""Invert: the code of an image, found by optimisation through the frozen generator: for any model that generates.

It starts from the encoder where there is one, and from the best of many samples where there is none; see `hunt`. What
is compared is a choice, see `distances`: all pixels, those that are known (completion), a smaller image
(super-resolution), or what a network sees.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.applications.inputs import photographs
from attrimorph.applications.inversion.distances import Distance, Downsampled, Perceptual, Pixels, perceptual_maps
from attrimorph.applications.inversion.search import Hunt, Inversion, Progress
from attrimorph.applications.options import Search
from attrimorph.applications.receipt import Written, write_result
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models.codes import Code, Encodes, Generates
from attrimorph.models.model import Model
from attrimorph.pictures import sheet_of, to_pil

AT_ONCE = 64  # images that are inverted together
Compared = Literal["pixel", "perceptual"]


def invert(
    model: Model,
    images: Tensor,
    attributes: Tensor | None = None,
    *,
    distance: Distance | None = None,
    search: Search | None = None,
    progress: Progress | None = None,
) -> Code:
    """Return the codes of images; arguments and errors as of `inversion`."""
    return inversion(model, images, attributes, distance=distance, search=search, progress=progress).code


def inversion(
    model: Model,
    images: Tensor,
    attributes: Tensor | None = None,
    *,
    distance: Distance | None = None,
    search: Search | None = None,
    progress: Progress | None = None,
) -> Inversion:
    """Look for the codes of images by optimisation.

    Args:
        model: one that generates from z and y; an encoder, a classifier and a fitted prior are used where it has them.
        images: [B, 3, S, S] in [-1, 1], what an encoder is shown.
        attributes: [B, W]; NaN where unknown, those are looked for too. None: all of them are, starting from the
            classifier's guess where there is one.
        distance: to the images; of all pixels when None.
        search: how.
        progress: called with (steps done, steps).

    Raises:
        AttrimorphError: the model generates nothing, or the images have another size.
    """
    if not isinstance(model, Generates):
        raise AttrimorphError(
            f"invert needs a model that generates images from codes; {model.recipe.name!r} ({model.recipe.method}) "
            "does not; use a CVAE-GAN or a GAN, for example drawn-faces-64"
        )
    if images.shape[1:] != (3, model.image_size, model.image_size):
        raise AttrimorphError(
            f"this model takes images of {model.image_size}x{model.image_size}; "
            f"got {images.shape[-1]}x{images.shape[-2]}; resize them first"
        )
    # The first optimiser of a process imports it, which takes seconds: not those of the budget.
    import torch._dynamo

    begin, search = time.perf_counter(), search or Search()
    distance = distance or Pixels(images.to(model.device))
    parts = list(torch.split(torch.arange(len(images)), AT_ONCE))
    found = []
    for number, rows in enumerate(parts):
        given = None if attributes is None else attributes[rows]
        until = math.inf
        if search.seconds is not None:
            # All images get as many steps as the first have time for: so the whole can be repeated.
            until, search = begin + search.seconds / len(parts), replace(search, seconds=None)
        hunt = Hunt(model, images[rows], given, distance, rows.to(model.device), search, until)
        found.append(hunt.run(progress if len(parts) == 1 else _share(progress, number, len(parts))))
        search = replace(search, stop=found[0].steps)
    return Inversion(
        code=_joined([each.code for each in found]),
        start=_joined([each.start for each in found]),
        before=torch.cat([each.before for each in found]),
        after=torch.cat([each.after for each in found]),
        steps=min(each.steps for each in found),
        seconds=time.perf_counter() - begin,
    )


def _joined(codes: list[Code]) -> Code:
    return Code(torch.cat([code.z for code in codes]), torch.cat([code.attributes for code in codes]))


def _share(progress: Progress | None, number: int, parts: int) -> Progress | None:
    return None if progress is None else lambda done, steps: progress(number * steps + done, parts * steps)


def distance_to(
    model: Model, images: Tensor, compared: Compared = "pixel", *, known: Tensor | None = None, factor: int = 1
) -> Distance:
    """Return the distance that the command line's words stand for.

    Args:
        model: whose pictures are compared.
        images: [B, 3, S, S] in [-1, 1].
        compared: pixels, or what a network sees.
        known: [1, 1, S, S], 0 where a pixel is to be completed.
        factor: the images are compared so many times smaller.

    Raises:
        AttrimorphError: the words do not go together.
    """
    if factor < 1 or model.image_size % factor:
        raise AttrimorphError(
            f"factor must divide the model's image size, {model.image_size}; got {factor}; try 2, 4 or 8"
        )
    if (compared == "perceptual") + (known is not None) + (factor > 1) > 1:
        raise AttrimorphError("an inversion compares what is seen, or known pixels, or smaller images; choose one")
    if compared == "perceptual":
        return Perceptual(images.to(model.device), perceptual_maps(model)[1])
    if factor > 1:
        return Downsampled(F.avg_pool2d(images, factor))
    return Pixels(images, known)


def write_invert(
    model: Model,
    paths: Sequence[Path],
    out: Path,
    *,
    named: str | Path,
    known: Mapping[str, float] | None = None,
    compared: Compared = "pixel",
    mask: Path | None = None,
    factor: int = 1,
    search: Search | None = None,
    progress: Progress | None = None,
) -> Written:
    """Invert photographs; write a sheet (input, what the encoder makes of it, what was found), each alone, a receipt.

    Args:
        known: attributes of all images; the others are looked for.
        mask: a picture as large as the photographs, white where pixels are known, black where they are completed.
        factor: only the photographs' means over factor x factor pixels are taken as known.
        search: how.
        progress: called with (steps done, steps).
    """
    paths, search = [Path(path) for path in paths], search or Search()
    images = photographs(model, paths)
    seen = None if mask is None else (photographs(model, [mask]).mean(1, keepdim=True) > 0).float()
    distance = distance_to(model, images, compared, known=seen, factor=factor)
    shown = images if seen is None else images * seen
    if factor > 1:
        shown = F.interpolate(F.avg_pool2d(images, factor), scale_factor=factor, mode="bilinear")
    attributes = known_alone(model.schema, len(images), known or {})
    result = inversion(model, shown, attributes, distance=distance, search=search, progress=progress)
    found = model.decode(result.code).cpu()
    columns = {"input": images, "found": found}
    if shown is not images:
        columns = {"input": images, "given": shown, "found": found}
    elif isinstance(model, Encodes):
        columns = {"input": images, "encoder": model.decode(result.start).cpu(), "found": found}
    rows = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
    pictures = to_pil(found)
    suffixes = ["found"] if len(pictures) == 1 else [f"found-{number}" for number in range(1, len(pictures) + 1)]
    return write_result(
        out,
        "invert",
        model,
        {
            **sheet_of(len(pictures), rows, columns=list(columns), cell=max(128, model.image_size)),
            **dict(zip(suffixes, pictures, strict=True)),
        },
        named=named,
        arguments={
            "known": dict(known or {}),
            "compared": compared,
            "mask": mask is not None,
            "factor": factor,
            **search.to_json(result.steps),
        },
        inputs=[*paths, *([mask] if mask is not None else [])],
        facts={
            "psnr of the start (dB, at the model's size)": decibels(model.decode(result.start).cpu(), images),
            "psnr of what was found": decibels(found, images),
            "seconds": round(result.seconds, 2),
            "attributes": [model.schema.describe(row) for row in result.code.attributes.cpu()],
            "z": [[round(value, 5) for value in row] for row in result.code.z.cpu().flatten(1).tolist()],
        },
    )


def decibels(pictures: Tensor, images: Tensor) -> list[float]:
    """Return the PSNR of each picture, data range 1."""
    squared = (pictures - images).div(2).square().mean((1, 2, 3)).clamp_min(1e-10)
    return [round(value, 3) for value in (-10 * squared.log10()).tolist()]


def known_alone(schema: Schema, count: int, known: Mapping[str, float]) -> Tensor:
    """Return attributes [count, W] that are NaN, but for those that are known: name -> 0 or 1, or a real one's value.

    Raises:
        AttrimorphError: there is no such attribute, or the value is none of its.
    """
    y = torch.full((count, schema.width), torch.nan)
    for key, value in schema.facts(known).items():
        attribute, _ = schema.find(key)
        columns = schema.columns(attribute.name)
        if attribute.kind == "real":
            y[:, columns] = (value - attribute.mean) / attribute.scale
        else:
            start = schema.fill_value.expand(count, -1)
            y[:, columns] = schema.edit(start, {key: 1.0 if value else -1.0})[:, columns]
    return y
