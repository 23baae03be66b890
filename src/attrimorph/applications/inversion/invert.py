"""Invert: the code of an image, found by optimisation through the frozen generator: for any model that generates.

It starts from the encoder where there is one, and from the best of many samples where there is none, see
`CodeSearch`. What is compared is a choice, see `distances`: all pixels, those that are known (completion), a smaller
image (super-resolution), or what a network sees.
"""

import math
import time
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from attrimorph.applications.inversion import CodeSearch, Inversion, Progress
from attrimorph.applications.inversion.distances import Distance, Downsampled, Perceptual, Pixels, perceptual_maps
from attrimorph.applications.options import Search
from attrimorph.data.schema import Changes, Schema
from attrimorph.errors import AttrimorphError
from attrimorph.models.model import Code, Generates, Model

AT_ONCE = 64  # images that are inverted together
Compared = Literal["pixel", "perceptual"]


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
    found: list[Inversion] = []

    def report(done: int, steps: int) -> None:
        if progress is not None:
            progress(len(found) * steps + done, len(parts) * steps)

    for rows in parts:
        given = None if attributes is None else attributes[rows]
        until = math.inf
        if search.seconds is not None:
            # All images get as many steps as the first have time for: so the whole can be repeated.
            until, search = begin + search.seconds / len(parts), replace(search, seconds=None)
        codes = CodeSearch(model, images[rows], given, distance, rows.to(model.device), search, until)
        found.append(codes.run(report))
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


def known_alone(schema: Schema, count: int, known: Changes) -> Tensor:
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
