"""The judge: an attribute regressor of its own, trained on drawn faces only, that no method ever trains with.

It learns from faces whose attributes are independent of each other (correlation 0), so that it reads the moustache off
the lip and not off the chin; half of them blurred, faded or noisy, so that it keeps its eye on generated images.

    python -m attrimorph.metrics.judge --size 64      trains the judge that ships with the package
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, interpolate

import attrimorph
from attrimorph.data import faces
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.files import write_bytes
from attrimorph.metrics.attributes import attribute_accuracy

FORMAT = "attrimorph judge"
FORMAT_VERSION = 1
SHIPPED = Path(attrimorph.__file__).parent / "shipped"

# (channels, kernel, stride) down to 4x4; few channels where the image is large.
TRUNK = ((48, 4, 2), (48, 3, 1), (96, 4, 2), (96, 3, 1), (128, 4, 2))
FIRST = {32: ((24, 3, 1),), 64: ((24, 4, 2),), 128: ((16, 4, 2), (24, 4, 2))}


class JudgeNetwork(nn.Module):
    """Images [B, 3, S, S] in [-1, 1] -> logits [B, A] (does it hold?) and degrees [B, A] (how much, 0..1).

    Args:
        image_size: S: 32, 64 or 128.
        outputs: A.
    """

    def __init__(self, image_size: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels, kernel, stride in (*FIRST[image_size], *TRUNK):
            layers += [
                nn.Conv2d(before, channels, kernel, stride, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            before = channels
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Linear(before * 16, 2 * outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, degrees = self.last(self.trunk(images).flatten(1)).chunk(2, dim=1)
        return logits, degrees.sigmoid()


@dataclass(frozen=True)
class JudgeRecipe:
    """How a judge was trained.

    Attributes:
        image_size: of the faces, 32, 64 or 128.
        images: different faces drawn for it.
        presentations: faces seen in all, repetitions counted.
        batch_size: faces a step.
        learning_rate: the highest; one cycle, AdamW.
        seed: of faces, weights and order.
        correlation: of the faces' attributes.
        unseen: faces it is measured on; half as many others set its temperature.
    """

    image_size: int = 64
    images: int = 24_000
    presentations: int = 112_000
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 770_001
    correlation: float = 0.0
    unseen: int = 2_000


@dataclass(frozen=True)
class Judge:
    """A trained judge.

    Attributes:
        name: e.g. "judge drawn-faces-64".
        schema: the attributes it knows, all binary.
        image_size: of the images it takes.
        network: in eval mode.
        temperature: divides the logits; fitted on faces that were not trained on.
        recipe: how it was trained.
        accuracies: attribute -> share of right decisions on unseen faces.
    """

    name: str
    schema: Schema
    image_size: int
    network: JudgeNetwork
    temperature: float
    recipe: dict[str, Any]
    accuracies: dict[str, float]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the probability of each attribute, [B, A], for images [B, 3, S, S] in [-1, 1]."""
        return torch.cat([logits for logits, _ in self._outputs(images)]).div(self.temperature).sigmoid()

    @torch.inference_mode()
    def degrees(self, images: Tensor) -> Tensor:
        """Return how much each attribute holds: the drawn face's factor as seen, [B, A] in 0..1."""
        return torch.cat([degrees for _, degrees in self._outputs(images)])

    def _outputs(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        size = self.image_size
        if images.dim() != 4 or images.shape[1:] != (3, size, size):
            raise AttrimorphError(
                f"{self.name} takes images [B, 3, {size}, {size}]; got {tuple(images.shape)}; resize them first"
            )
        for part in torch.split(images, 256):
            yield self.network(part.to(memory_format=torch.channels_last))


def _channels_last(network: JudgeNetwork) -> JudgeNetwork:
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def drawn_faces(count: int, size: int, seed: int, *, correlation: float = 0.0) -> tuple[Tensor, Tensor]:
    """Draw faces as (images uint8 [N, 3, S, S], factors [N, F]); seeds give unrelated faces."""
    chunks = list(faces.draw(count, size, seed, correlation=correlation))
    images = torch.cat([chunk.images for chunk in chunks]).permute(0, 3, 1, 2)
    return images, torch.cat([chunk.factors for chunk in chunks])


def from_bytes(images: Tensor) -> Tensor:
    """Turn uint8 into float32 in [-1, 1], channels last."""
    return images.to(torch.float32, memory_format=torch.channels_last).mul_(1 / 127.5).sub_(1)


def train_judge(recipe: JudgeRecipe, *, progress: Callable[[str], None] | None = None) -> Judge:
    """Train a judge from scratch on drawn faces.

    Args:
        recipe: size, amounts, seed.
        progress: gets a line of text now and then.
    """
    if recipe.image_size not in FIRST:
        raise AttrimorphError(f"a judge's image_size must be 32, 64 or 128; got {recipe.image_size}; choose one")
    say = progress or (lambda line: None)
    size, count = recipe.image_size, len(faces.SCHEMA.names)
    begin = time.perf_counter()
    images, factors = drawn_faces(recipe.images, size, recipe.seed, correlation=recipe.correlation)
    say(f"drew {recipe.images:,} faces in {time.perf_counter() - begin:.0f} s")
    labels, degrees = faces.attributes(factors), factors[:, :count]

    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = _channels_last(JudgeNetwork(size, count))
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=0.02)
    steps = recipe.presentations // recipe.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, total_steps=steps, pct_start=0.15)
    order = torch.empty(0, dtype=torch.long)
    total = 0.0
    for step in range(1, steps + 1):
        if len(order) < recipe.batch_size:
            order = torch.cat([order, torch.randperm(len(images), generator=generator)])
        rows, order = order[: recipe.batch_size], order[recipe.batch_size :]
        batch = worn(from_bytes(images[rows]), generator)
        logits, seen = network(batch)
        loss = binary_cross_entropy_with_logits(logits, labels[rows])
        loss = loss + 2 * (seen - degrees[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += loss.item()
        if step % 100 == 0:
            seconds = time.perf_counter() - begin
            say(f"{step * recipe.batch_size:,} faces, {seconds:.0f} s, loss {total / 100:.4f}")
            total = 0.0
    return _finished(network.eval(), recipe)


def _finished(network: JudgeNetwork, recipe: JudgeRecipe) -> Judge:
    """Calibrate on one unseen set and measure on another."""
    name = f"judge drawn-faces-{recipe.image_size}"
    judge = Judge(name, faces.SCHEMA, recipe.image_size, network, 1.0, asdict(recipe), {})
    images, factors = drawn_faces(recipe.unseen // 2, recipe.image_size, recipe.seed + 1)
    probabilities = judge(from_bytes(images)).clamp(1e-6, 1 - 1e-6)
    temperature = fitted_temperature(probabilities.logit(), faces.attributes(factors))
    images, factors = drawn_faces(recipe.unseen, recipe.image_size, recipe.seed + 2)
    accuracies = attribute_accuracy(judge(from_bytes(images)), faces.attributes(factors), faces.SCHEMA)
    return Judge(name, faces.SCHEMA, recipe.image_size, network, temperature, asdict(recipe), accuracies)


def fitted_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature in 0.1..10 under which the logits' cross-entropy is least (it is convex in 1 / T)."""
    candidates = torch.logspace(-1, 1, 201)
    losses = [binary_cross_entropy_with_logits(logits / t, labels) for t in candidates]
    return float(candidates[torch.stack(losses).argmin()])


def worn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Make one half of a batch look generated: soft (shrunk and enlarged), faded, noisy; the other half stays.

    Args:
        images: [B, 3, S, S] in [-1, 1].
        generator: the only source of randomness.
    """
    half = len(images) // 2
    part, rest = images[:half], images[half:]
    soft = interpolate(avg_pool2d(part, 2), scale_factor=2, mode="bilinear", align_corners=False)
    share = torch.rand(half, 1, 1, 1, generator=generator)
    part = torch.lerp(part, soft, share)
    gain = 0.85 + 0.3 * torch.rand(half, 1, 1, 1, generator=generator)
    shift = 0.1 * torch.randn(half, 3, 1, 1, generator=generator)
    noise = 0.04 * torch.rand(half, 1, 1, 1, generator=generator)
    part = part * gain + shift + noise * torch.randn(part.shape, generator=generator)
    return torch.cat([part.clamp(-1, 1), rest]).contiguous(memory_format=torch.channels_last)


def save_judge(judge: Judge, path: Path) -> None:
    """Write a judge as safetensors, weights in float16, everything else in the header."""
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in judge.network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "name": judge.name,
        "image_size": str(judge.image_size),
        "schema": json.dumps(judge.schema.to_json()),
        "temperature": repr(judge.temperature),
        "recipe": json.dumps(judge.recipe),
        "accuracies": json.dumps(judge.accuracies),
    }
    write_bytes(path, safetensors.torch.save(tensors, header))


def load_judge(source: str | Path) -> Judge:
    """Read a judge from a file, or the shipped one by the name of its data ("drawn-faces-64").

    Raises:
        AttrimorphError: there is none, or the file is no judge.
    """
    shipped = SHIPPED / f"judge-{source}.safetensors"
    path = shipped if shipped.is_file() else Path(source)
    if not path.is_file():
        known = sorted(file.stem.removeprefix("judge-") for file in SHIPPED.glob("judge-*.safetensors"))
        raise AttrimorphError(
            f"there is no judge {str(source)!r}; shipped are: {', '.join(known) or 'none'}; name one or a file"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        if header.get("format") != FORMAT or header.get("format_version") != str(FORMAT_VERSION):
            raise AttrimorphError(f"{path} must be a judge of format {FORMAT_VERSION}; it is none; train one")
        schema, size = Schema.from_json(json.loads(header["schema"])), int(header["image_size"])
        network = JudgeNetwork(size, schema.width)
        network.load_state_dict(tensors, strict=False)
        if missing := [key for key in network.state_dict() if key not in tensors and "batches" not in key]:
            raise KeyError(missing[0])
        return Judge(
            header["name"],
            schema,
            size,
            _channels_last(network.eval()),
            float(header["temperature"]),
            json.loads(header["recipe"]),
            json.loads(header["accuracies"]),
        )
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise AttrimorphError(f"the judge {path} is damaged ({error}); train or fetch it again") from error


def main() -> None:
    """Train the judge of one size and write it where the package looks for it."""
    parser = argparse.ArgumentParser(description="Train an attribute judge on drawn faces.")
    parser.add_argument("--size", type=int, default=64, help="32, 64 or 128")
    parser.add_argument("--images", type=int, default=JudgeRecipe.images)
    parser.add_argument("--presentations", type=int, default=JudgeRecipe.presentations)
    parser.add_argument("--seed", type=int, default=JudgeRecipe.seed)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    recipe = JudgeRecipe(words.size, words.images, words.presentations, seed=words.seed)
    judge = train_judge(recipe, progress=lambda line: print(line, flush=True))
    out = words.out or SHIPPED / f"judge-drawn-faces-{words.size}.safetensors"
    save_judge(judge, out)
    for name, accuracy in sorted(judge.accuracies.items(), key=lambda item: item[1]):
        print(f"{accuracy:.4f}  {name}")
    mean = sum(judge.accuracies.values()) / len(judge.accuracies)
    print(f"{mean:.4f}  mean on {recipe.unseen:,} unseen faces; temperature {judge.temperature:.3f}; wrote {out}")


if __name__ == "__main__":
    main()
