"""How photographs are told from drawn faces: the weights of `looks_drawn` are fitted and measured here.

    python benchmarks/drawn.py PORTRAITS [MORE ...] [--fit]

Every other picture of the folder PORTRAITS and drawn faces of one seed teach, also as JPEG, enlarged, cut out on white
as pictures with alpha are, photographs on plain paper too. The others, drawn faces of other seeds and the folders MORE
are counted.
--fit prints the weights for `data/images.py`.
"""

import argparse
import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from attrimorph.data.drawn import faces, tied_factors, to_bytes
from attrimorph.data.images import edges_of, looks_drawn, open_image

DRAWN, DECAY = 2_000, 3e-4
SURE = 0.5  # a photograph that is taken for a drawn face is worse than the reverse
Way = Callable[[Image.Image, np.random.Generator], Image.Image]


def as_jpeg(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Return what a JPEG of quality 50 to 95 makes of a picture."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(chance.integers(50, 96)))
    return Image.open(file).convert("RGB")


def enlarged(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Return it at 512 pixels."""
    return image.resize((512, 512), Image.Resampling.BICUBIC)


def cut_out(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Return a head on white."""
    (width, height), mask = image.size, Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse((0.2 * width, 0.1 * height, 0.8 * width, 1.05 * height), fill=255)
    return Image.composite(image, Image.new("RGB", image.size, "white"), mask)


def on_paper(image: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Return it anywhere on plain paper, white or not, up to three times as wide."""
    side = int(image.width * chance.uniform(1.05, 3))
    colour = (255, 255, 255) if chance.random() < 0.5 else tuple(map(int, chance.integers(256, size=3)))
    sheet = Image.new("RGB", (side, max(side, image.height)), colour)
    sheet.paste(
        image, (int(chance.integers(side - image.width + 1)), int(chance.integers(sheet.height - image.height + 1)))
    )
    return sheet


WAYS: dict[str, Way] = {
    "as it is": lambda image, chance: image, "JPEG": as_jpeg, "at 512 px": enlarged, "cut out": cut_out,
}  # fmt: skip


def drawn(count: int, seed: int, size: int = 64, *, tied: bool = False) -> list[Image.Image]:
    """Draw faces."""
    factors = tied_factors(count, torch.Generator().manual_seed(seed)) if tied else faces.factors_of(count, seed)
    images = [to_bytes(faces.render(part, size)) for part in factors.split(100)]
    return [Image.fromarray(image) for image in torch.cat(images).movedim(1, 3).contiguous().numpy()]


def fit(photographs: list[Image.Image]) -> tuple[NDArray[np.int8], float]:
    """Return weights [16, 16], times 24, and the level above which a picture is drawn: a logistic regression."""
    chance, taught = np.random.default_rng(0), (photographs, drawn(DRAWN, 101))
    parts = [[edges_of(way(image, chance)) for way in WAYS.values() for image in images] for images in taught]
    parts[0] += [edges_of(on_paper(image, chance)) for image in photographs for _ in range(2)]
    x = torch.from_numpy(np.stack([*parts[0], *parts[1]]))
    x = torch.cat([x, x.flip(2)]).flatten(1)  # a mirrored picture is one, too
    y = torch.tensor([0.0] * len(parts[0]) + [1.0] * len(parts[1])).repeat(2)
    weights, level = torch.zeros(x.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, level], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        fault = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights - level, y)
        value = fault + DECAY * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    found = weights.detach().view(16, 16)
    return (found + found.flip(1)).mul(12).round().clamp(-128, 127).numpy().astype(np.int8), float(
        level.detach()
    ) + SURE


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("more", type=Path, nargs="*")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()

    def opened(folder: Path, most: int) -> list[Image.Image]:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
        return [open_image(path) for path in paths[:: -(-len(paths) // most)]]

    portraits = opened(options.portraits, 10_000)
    if options.fit:
        weights, level = fit(portraits[::2])
        print(f'EDGES = base64.b85decode("{base64.b85encode(weights.tobytes()).decode()}")\nNO_EDGES = {level:.2f}')
        import attrimorph.data.images as images

        images.EDGES, images.NO_EDGES = weights.tobytes(), level
    sets = {
        "drawn at 64 px": drawn(1000, 102), "at 128 px": drawn(300, 103, 128), "at 512 px": drawn(100, 104, 512),
        "tied faces at 64 px": drawn(300, 105, tied=True), str(options.portraits): portraits[1::2],
    } | {str(folder): opened(folder, 1000) for folder in options.more}  # fmt: skip
    chance = np.random.default_rng(1)
    for name, images in sets.items():
        for way, make in (WAYS | {"on paper": on_paper}).items():
            found = sum(looks_drawn(make(image, chance)) for image in images)
            print(f"{name}, {way}: {found} of {len(images)} look drawn", flush=True)


if __name__ == "__main__":
    main()
