"""Showing a model of drawn faces: its edits, its strengths, its morphs, on faces that nothing trained on."""

import torch
from torch import Tensor

from attrimorph.applications.edit import edit
from attrimorph.applications.morph import morph
from attrimorph.data.drawn import faces
from attrimorph.metrics.evaluation_set import drawn_images
from attrimorph.models.model import Model
from attrimorph.pictures import frames, gif_bytes, sheet
from attrimorph.reproductions import report

SEED = 20_260  # of the faces that are shown; nothing trains or is measured on them
SHOWN = (
    "Smiling", "Eyeglasses", "Blond_Hair", "Black_Hair", "Bangs", "No_Beard", "Wearing_Hat", "Young", "Male",
    "Heavy_Makeup", "Pale_Skin",
)  # fmt: skip
WAYS = ("Smiling", "Young", "Blond_Hair", "Pale_Skin")


def faces_to_show(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Draw faces for the eye: (images [N, 3, size, size], factors)."""
    unseen = drawn_images(count, size, SEED)
    assert unseen.factors is not None
    return unseen.images, unseen.factors


def edit_matrix(model: Model, count: int = 6) -> str:
    """Return faces and what becomes of them, one attribute a column: each is set where absent, else taken away."""
    images, factors = faces_to_show(count, model.image_size)
    labels = faces.attributes(factors)
    unchanged = edit(model, images, {SHOWN[0]: 0.0}, labels).edited.cpu()
    columns = {"input": images, "reconstruction": unchanged}
    for name in SHOWN:
        holds = labels[:, model.schema.names.index(name)] > 0.5
        edited = torch.empty_like(images)
        for rows, strength in ((~holds, 1.0), (holds, -1.0)):
            if bool(rows.any()):
                result = edit(model, images[rows], {name: strength}, labels[rows])
                edited[rows] = result.edited.cpu()
        columns[name] = edited
    lines = [torch.stack(line) for line in zip(*columns.values(), strict=True)]
    return report.picture(
        sheet(lines, columns=list(columns), cell=96, clear=True),
        "Each column turns one attribute the other way round: set where it was absent, taken away where it was "
        "present; all else should stay.",
    )


def part_of_the_way(model: Model) -> str:
    """Return edits of rising strength."""
    images, factors = faces_to_show(12, model.image_size)
    labels = faces.attributes(factors)
    rows: list[Tensor] = []
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    for name in WAYS:
        absent = (labels[:, model.schema.names.index(name)] < 0.5).nonzero()[:, 0]
        pick = absent[len(rows) % len(absent)].view(1)
        rows.append(torch.cat([edit(model, images[pick], {name: s}, labels[pick]).edited.cpu() for s in strengths]))
    picture = sheet(
        rows, columns=[f"{s:g}" for s in strengths], labels=[f"{name} +" for name in WAYS], cell=96, clear=True
    )
    return report.picture(picture, "Strength: 0 = unchanged, 1 = set, between = part of the way.")


def moving(model: Model) -> str:
    """Return a morph as a strip and an animation."""
    images, _ = faces_to_show(6, model.image_size)
    first, second = images[4:5], images[5:6]
    strip = morph(model, first, second, 9).images.cpu()
    smooth = morph(model, first, second, 24).images.cpu()
    words = ["from", *[f"{100 * step / 8:.0f} %" for step in range(9)], "to"]
    picture = sheet([torch.cat([first, strip, second])], columns=words, cell=96, clear=True)
    return report.picture(picture, "A morph: z and y go from one face to the other.") + report.animation(
        gif_bytes(frames(smooth, width=192)), "The same, there and back."
    )
