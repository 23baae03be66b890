"""Edits of drawn faces put into their pictures, beside the true counterfactuals: at the models' size and at 512 pixels.

    python benchmarks/composition.py [MODEL ...] [--images 120] [--large 4]

The first line of a model is of `evaluate`: every attribute flipped on so many images, at most 20 of each attribute and
direction held against the truth, as decoded and put into their images. The second is of pictures of 512 pixels, so
many of each attribute and direction: no edit, the picture enlarged (bicubic), fields. The last line of all is the time
that the fields of two edits added take on one megapixel, the median of 20.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from PIL import Image

import attrimorph
from attrimorph.applications.edit import edit, frame_of
from attrimorph.data.drawn import faces
from attrimorph.data.images import Frame
from attrimorph.evaluators.judge import load_judge
from attrimorph.metrics.edits import directions
from attrimorph.metrics.evaluate import evaluate
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.metrics.similarity import psnr
from attrimorph.models.model import Model
from attrimorph.photographs.fields import apply, explain
from attrimorph.pictures import to_pil

MODELS = ("drawn-faces-64", "homointerp-drawn-64", "discvae-drawn-64")
LARGE = 512
FIGURES = ("target_reached", "leakage", "psnr", "perceptual_distance")


def small(model: Model, images: int) -> list[float]:
    """Return the figures of edits as decoded and put into their images, one after the other."""
    found = evaluate(
        model,
        None,
        load_judge("drawn-faces-64"),
        metrics=["edits"],
        count=images,
        edits=25 * images,
        counterfactuals=20,
    )
    return [found.figures[f"{prefix}.{key}"] for key in FIGURES for prefix in ("edit", "composed")]


def large(model: Model, each: int) -> list[float]:
    """Return the PSNR to the truth, in dB, of no edit, the enlarged picture and fields, on pictures of 512 pixels."""
    unseen, schema = drawn_images(200, model.image_size), faces.SCHEMA
    sums: list[list[float]] = []
    for name in (each for each in model.changeable if each in schema.names):
        for goal, rows in directions(unseen.labels, schema, name, drawn=True):
            rows, changes = rows[:each], {name: 1.0 if goal else -1.0}
            truth = to_pil(faces.render(faces.set_attribute(unseen.factors[rows], name, goal), LARGE))
            pictures = to_pil(faces.render(unseen.factors[rows], LARGE))
            found = edit(model, pictures, changes, unseen.labels[rows])
            own = edit(model, pictures, changes, unseen.labels[rows], composition="whole face")
            for row, (picture, true) in enumerate(zip(pictures, truth, strict=True)):
                pasted = to_pil(own.edited[row, None])[0].resize((LARGE, LARGE), Image.Resampling.BICUBIC)
                put = apply(np.asarray(picture), frame_of(model, picture), found.fields[row])
                sums.append([decibels(each, true) for each in (picture, pasted, put)])
    return np.mean(sums, 0).tolist()


def decibels(picture: Image.Image | np.ndarray, truth: Image.Image) -> float:
    """Return the PSNR of a picture of 8 bits."""
    both = (torch.from_numpy(np.array(each)).permute(2, 0, 1)[None].float() / 127.5 - 1 for each in (picture, truth))
    return float(psnr(*both))


def milliseconds(model: Model) -> float:
    """Return the time of the fields of two edits added, on a picture of one megapixel that its square fills."""
    factors, names = drawn_images(1, model.image_size).factors, ("Male", "Young")
    picture = to_pil(faces.render(factors, 1000))[0]
    signs = [-1.0 if float(factors[0, faces.SCHEMA.names.index(name)]) > 0.5 else 1.0 for name in names]
    edits = [edit(model, picture, {n: sign}, composition="whole face") for n, sign in zip(names, signs, strict=True)]
    one, other = (explain(each.reconstructions, each.edited) for each in edits)
    pixels, frame, times = np.asarray(picture), Frame((1000 / 64, 0, 0, 0, 1000 / 64, 0), 64), []
    for _ in range(20):
        begin = time.perf_counter()
        apply(pixels, frame, one + other)
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--large", type=int, default=4)
    options = parser.parse_args()
    models = {name: attrimorph.load(name) for name in options.models}
    with torch.no_grad():
        for name, model in models.items():
            print(name, *(f"{key} {a:.4f} -> {b:.4f}" for key, a, b in triples(small(model, options.images))), sep="; ")
            print(name, *(f"{each:.2f} dB" for each in large(model, options.large)), flush=True)
        print(f"{milliseconds(next(iter(models.values()))):.1f} ms")


def triples(values: list[float]) -> list[tuple[str, float, float]]:
    """Return each figure's name, its value as decoded and put into the image."""
    return list(zip(FIGURES, values[::2], values[1::2], strict=True))


if __name__ == "__main__":
    main()
