"""Experiment e of the CVAE-GAN paper: a hole of 50x50 in 128x128, filled again and again."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from attrimorph.applications.inpaint import inpaint
from attrimorph.metrics.reconstruction import psnr
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import Claim, more
from attrimorph.reproductions.class_models import Setting, class_model, real_images, setting, top_1
from attrimorph.reproductions.outcome import Outcome, Request

NAME = "inpainting"
IMAGES = 200  # that are measured
TIMES = 10
SIDE = 50 / 128  # of the hole, as a share of the image's
SHOWN = 6
COLUMNS = (0, 1, 2, 3, 5, 10)  # steps of the picture
KEPT = 0.9  # of the untouched images' top-1
SOURCE = "paper, image inpainting"


def run(request: Request) -> Outcome:
    """Cut a hole into held-out images, fill it, and measure what stands in it after every iteration."""
    place = setting(request)
    model = class_model(request, place)
    images, labels = real_images(place, most=IMAGES)
    masks = holes(len(images), images.shape[-1])
    done = inpaint(model, images, masks, one_hot(labels, len(place.classes)).float(), TIMES)
    figures = {
        "PSNR in the hole by step": [float(psnr(images, step, masks).mean()) for step in done.steps],
        "top-1 by step": [top_1(place, step, labels) for step in done.steps],
        "top-1 of the untouched images": [top_1(place, images, labels)],
    }
    outcome = Outcome(
        name=NAME,
        title="Inpainting",
        lead="A square hole is filled with what the model makes of the rest, and the result is fed back.",
        protocol={
            **place.protocol(),
            "model": f"{model.recipe.name}, sha256 {model.hash[:16]}",
            "holes": f"squares of {side_of(images.shape[-1])} px at random places in {len(images)} held-out images; "
            "their class is given; at first a hole holds what surrounds it, spread inwards",
        },
        claims=claims(place, figures, len(images)),
        figures=figures,
    )
    rows = []
    for row in range(min(SHOWN, len(images))):
        holed = torch.where(masks[row] > 0, torch.zeros(()), images[row])
        rows.append(torch.stack([images[row], holed, *(done.steps[step, row] for step in COLUMNS)]))
    words = ["image", "hole", "filling", *(str(step) for step in COLUMNS[1:])]
    outcome.show("inpainted", sheet(rows, columns=words, cell=64, clear=True), "Numbers: iterations.")
    outcome.pieces.append(
        report.curves(
            [
                report.chart(name, {"steps": list(enumerate(figures[name]))}, x_label="iterations")
                for name in ("PSNR in the hole by step", "top-1 by step")
            ]
        )
    )
    return outcome


def side_of(size: int) -> int:
    """Return the side of the hole in images of `size` pixels."""
    return round(SIDE * size)


def holes(count: int, size: int) -> Tensor:
    """Return masks with a square hole at a random place each, [N, 1, S, S], 1 = hole; always the same ones."""
    random = torch.Generator().manual_seed(0)
    side = side_of(size)
    masks = torch.zeros(count, 1, size, size)
    for mask, (top, left) in zip(masks, torch.randint(0, size - side + 1, (count, 2), generator=random), strict=True):
        mask[:, top : top + side, left : left + side] = 1
    return masks


def claims(place: Setting, figures: dict[str, list[float]], counted: int) -> list[Claim]:
    """Return what the paper shows, held against the figures of the one model on so many images."""
    in_hole, recognised = figures["PSNR in the hole by step"], figures["top-1 by step"]
    untouched = figures["top-1 of the untouched images"][0]
    return [
        more(
            "The hole is filled with what belongs there, better than by what surrounds it",
            in_hole[-1:],
            in_hole[:1],
            source=SOURCE,
            names=("PSNR in the hole in dB after the iterations", "of the first filling"),
            form=".2f",
        ),
        more(
            "Feeding the result back improves it",
            in_hole[-1:],
            in_hole[1:2],
            source=SOURCE,
            names=(f"PSNR in the hole in dB after {TIMES} iterations", "after one"),
            form=".2f",
        ),
        more(
            "The inpainted image is still recognised",
            recognised[-1:],
            [untouched],
            source="ours",
            names=(f"top-1 by {place.recogniser.name}", "of the untouched images"),
            form=".1%",
            counted=counted,
            times=KEPT,
        ),
    ]
