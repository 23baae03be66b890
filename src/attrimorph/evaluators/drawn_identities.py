"""Identity encoders of drawn people, those that ship.

    python -m attrimorph.evaluators.drawn_identities --size 64      trains the one that ships with the package

People are drawn with correlation 0, so that beards and make-up, which come and go, say nothing of who it is.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from attrimorph.console import Meter
from attrimorph.data.drawn import faces
from attrimorph.evaluators.fitting import BATCH, Progress
from attrimorph.evaluators.identity_encoder import IdentityEncoder, save_identity_encoder
from attrimorph.evaluators.identity_training import IdentityRecipe, of_bytes, train_on_images, verified
from attrimorph.evaluators.trunk import SHIPPED


def drawn_people(people: Tensor, size: int, seed: int, *, correlation: float = 0.0) -> Tensor:
    """Draw one face for each entry of `people`, identities [N], as uint8 [N, 3, S, S]."""
    generator = torch.Generator().manual_seed(seed)
    factors = faces.sample_factors(len(people), generator, correlation=correlation, identities=people)
    return torch.cat([faces.to_bytes(faces.render(part, size)) for part in torch.split(factors, BATCH)])


def train_drawn_identity_encoder(
    size: int,
    *,
    people: int = 1_000,
    images: int = 30,
    recipe: IdentityRecipe | None = None,
    unseen: int = 500,
    progress: Progress | None = None,
) -> IdentityEncoder:
    """Train an identity encoder on drawn people, and measure verification on others.

    Args:
        size: of the images, in pixels.
        people: identities 0 .. people - 1.
        images: of each.
        recipe: amounts, rates, seed.
        unseen: people to verify, four images of each.
        progress: called with (images seen, images in all, figures).
    """
    recipe = recipe or IdentityRecipe(dropout=0.0)
    labels = torch.arange(people).repeat_interleave(images)
    pixels = drawn_people(labels, size, recipe.seed)
    found = train_on_images(
        pixels, labels, range(people), image_size=size, recipe=recipe, name=f"drawn-faces-{size}", progress=progress
    )
    found.trained_on["drawn people"] = people
    measures = dict(found.measures)
    for correlation in (0.0, 0.5):
        others = (people + torch.arange(unseen)).repeat_interleave(4)
        drawn = drawn_people(others, size, recipe.seed + 1, correlation=correlation)
        words = f"unseen drawn people, correlation {correlation:g}"
        measures |= verified(found, of_bytes(drawn, others, words))
    return replace(found, measures=measures)


def main() -> None:
    """Train the identity encoder of one size and write it where the package looks for it."""
    parser = argparse.ArgumentParser(description="Train an identity encoder on drawn people.")
    parser.add_argument("--size", type=int, default=64, help="a power of two from 16 on")
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--images", type=int, default=30, help="of each person")
    parser.add_argument("--presentations", type=int, default=IdentityRecipe.presentations)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    recipe = IdentityRecipe(words.presentations, dropout=0.0, precision=words.precision)
    with Meter(f"training the identity encoder of {words.size} px", "faces") as meter:
        found = train_drawn_identity_encoder(
            words.size, people=words.people, images=words.images, recipe=recipe, progress=meter.update
        )
    out = words.out or SHIPPED / f"recogniser-drawn-faces-{words.size}.safetensors"
    save_identity_encoder(found, out)
    for name, value in found.measures.items():
        print(f"{value:.4f}  {name}")
    print(f"temperature {found.temperature:.3f}; wrote {out}, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
