"""What a reference brings of its own: the colour of its hat, its hair and its glasses, put into drawn faces.

    python benchmarks/references.py [MODEL] [--images 96] [--seed 11]

The truth is drawn: the same picture with the reference's attribute, style and colour. Over the pixels that the colour
changes, the mean colour of an edit like the reference, and of one by the attribute alone, is held against the truth's:
the mean distance in RGB, 0..255, and the quotient of the two with its 95 % interval (over pictures, bootstrapped).
Both edits put into their pictures; each reference shares with its picture whatever else its group holds, and hair is
seen in both.
"""

import argparse

import torch
from torch import Tensor

import attrimorph
from attrimorph.data.drawn import COLUMN, HAIR_COLOURS, faces
from attrimorph.data.drawn.faces import factors_of, render, set_attribute, set_factor
from attrimorph.models.model import Model
from attrimorph.photographs.fields import composed

PARTS = {"hat": ("Wearing_Hat", "hat_hue", "hat_style"), "glasses": ("Eyeglasses", "glasses_hue", "glasses_style")}
CHANGED = 12  # of 255: a pixel that the colour changes


def pairs(part: str, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, list[dict[str, float]]]:
    """Draw the factors of faces, references, truths, truths of another colour; the changes by attribute alone."""
    base, reference = factors_of(4 * count, seed), factors_of(4 * count, seed + 1)
    if part == "hair":
        hidden = [COLUMN[name] + side * base.shape[1] for name in ("Bald", "Wearing_Hat") for side in (0, 1)]
        here, there = (set_of[:, [COLUMN[name] for name in HAIR_COLOURS]] > 0.5 for set_of in (base, reference))
        seen = ~(torch.cat([base, reference], 1)[:, hidden] > 0.5).any(1)  # in both faces
        rows = (there.any(1) & (here != there).any(1) & seen).nonzero()[:count, 0]
        base, reference, there = base[rows], reference[rows], there[rows]
        truth, changes = base.clone(), []
        for column in (*(COLUMN[name] for name in HAIR_COLOURS), COLUMN["hair_tone"]):
            truth[:, column] = reference[:, column]
        changes = [{name: 1.0 for name, has in zip(HAIR_COLOURS, row, strict=True) if has} for row in there.tolist()]
        factor = "hair_tone"
    else:
        name, factor, style = PARTS[part]
        free = base[:, COLUMN[name]] < 0.5
        for excluded in ("Bald", "Bangs", "Receding_Hairline") if part == "hat" else ():
            free &= base[:, COLUMN[excluded]] < 0.5
        rows = free.nonzero()[:count, 0]
        base, reference = base[rows], reference[rows]
        kept = ("Arched_Eyebrows", "Bushy_Eyebrows") if part == "glasses" else ("Bald", "Bangs", "Receding_Hairline")
        for column in (COLUMN[each] for each in kept):
            reference[:, column] = base[:, column]
        reference, truth = set_attribute(reference, name, True), set_attribute(base, name, True)
        for column in (COLUMN[factor], COLUMN[style], COLUMN[name]):
            truth[:, column] = reference[:, column]
        changes = [{name: 1.0}] * len(rows)
    other = set_factor(truth, factor, (truth[:, COLUMN[factor]] + 0.5) % 1)
    return base, reference, truth, other, changes


@torch.no_grad()
def distances(model: Model, part: str, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean colours' distances to the truth: like the reference, by the attribute, without edit, each [N]."""
    base, reference, truth, other, changes = pairs(part, count, seed)
    images, like, goal, apart = (render(each, model.image_size) for each in (base, reference, truth, other))
    labels = faces.attributes(base)
    region = ((goal - apart).abs().amax(1, keepdim=True) * 127.5 > CHANGED).float()
    group = model.group_of({"hat": "Wearing_Hat", "glasses": "Eyeglasses", "hair": "Black_Hair"}[part])
    code = model.encode(images, labels)
    own = model.decode(code)
    moved = torch.cat([model.moved(labels[i, None].to(model.device), each) for i, each in enumerate(changes)])
    alone = model.decode(type(code)(code.z, moved))
    edits = [model.follow(images, like, {group: 1.0}), alone]
    shown = [composed(images, own.cpu(), each.cpu()) for each in edits]
    colour = [((each - goal) * region).sum((2, 3)) / region.sum((2, 3)).clamp_min(1) for each in (*shown, images)]
    seen = region.sum((1, 2, 3)) > 8
    return tuple(127.5 * each.square().sum(1).sqrt()[seen] for each in colour)  # type: ignore[return-value]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="homointerp-drawn-64")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    model = attrimorph.load(options.model)
    for part in ("hat", "hair", "glasses"):
        like, alone, none = distances(model, part, options.images, options.seed)
        draws = torch.randint(len(like), (2000, len(like)), generator=torch.Generator().manual_seed(0))
        quotients = (like[draws].mean(1) / alone[draws].mean(1)).quantile(torch.tensor([0.025, 0.975]))
        low, high = quotients.tolist()
        print(
            f"{part:8} like the reference {like.mean():.1f}, by the attribute {alone.mean():.1f}, no edit "
            f"{none.mean():.1f} of 255; quotient {like.mean() / alone.mean():.2f} ({low:.2f} to {high:.2f}), "
            f"{len(like)} pictures",
            flush=True,
        )


if __name__ == "__main__":
    main()
