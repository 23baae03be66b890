"""How long one training step takes: our fast path, our float32 NCHW, and pythae's VAEGAN at equal networks.

    python benchmarks/step.py [small] [paper] [pythae] [--rounds 9] [--threads 1] [--batch-size 32]
        [--paper-batch-size 8] [--precision auto] [--memory-format auto]

Every comparison has the same weights, batch and threads on all sides; steps are interleaved and medians printed as
JSON. With one thread the clock is the processor's (a busy machine does not disturb it much), with more the wall's.

small: recipe cvae-gan, networks for CPUs at 64x64. paper: recipe cvae-gan-paper at the published widths, 128x128.
pythae: our method vae-gan against the step of pythae's trainer for its VAEGAN, whose encoder, decoder and discriminator
are our modules. It needs `pip install --no-deps pythae cloudpickle`, in an environment of its own.
"""

import argparse
import importlib.util
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attrimorph.data.drawn.faces import SCHEMA
from attrimorph.data.loader import Batch
from attrimorph.methods.cvae_gan.recipe import Recipe
from attrimorph.methods.recipes import recipe_named
from attrimorph.recipe import AnyRecipe
from attrimorph.training import FastPath, choose_fast_path
from attrimorph.training.trainer import build

PLAIN = FastPath("float32", "contiguous", {})
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
Step = Callable[[], object]


def machine(threads: int) -> dict[str, object]:
    """What the figures depend on."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    values = {name.strip(): value.strip() for name, value in values.items()}
    return {
        "cpu": values.get("model name", platform.processor()),
        "flags": {flag: flag in values.get("flags", "").split() for flag in FLAGS},
        "threads": threads,
        "torch": torch.__version__,
    }


def batch(recipe: AnyRecipe, path: FastPath, batch_size: int) -> tuple[Tensor, Tensor]:
    """Images [B, 3, S, S] and labels [B, W], the same for every path; every other image smiles: CycleGAN's domains."""
    generator = torch.Generator().manual_seed(0)
    size = recipe.data.image_size
    images = torch.rand(batch_size, 3, size, size, generator=generator) * 2 - 1
    labels = torch.randint(2, (batch_size, SCHEMA.width), generator=generator).float()
    labels[:, SCHEMA.columns("Smiling").start] = torch.arange(batch_size) % 2
    return images.contiguous(memory_format=path.layout), labels


def our_step(recipe: Recipe, path: FastPath, batch_size: int) -> Step:
    """One step of our algorithm."""
    algorithm = build(recipe, SCHEMA, path)
    images, labels = batch(recipe, path, batch_size)
    generator = torch.Generator().manual_seed(1)
    return lambda: algorithm.step(Batch(images, labels), generator)


def pythae_step(recipe: Recipe, batch_size: int, folder: str) -> Step:
    """One step of pythae's trainer, as its training loop takes it, on our modules; float32 NCHW as it ships.

    Its margins, under which it leaves out some of its three backward passes, are set so that every step is whole.
    """
    from pythae.data.datasets import BaseDataset, DatasetOutput
    from pythae.models import VAEGAN, VAEGANConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
    from pythae.trainers import CoupledOptimizerAdversarialTrainer, CoupledOptimizerAdversarialTrainerConfig

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Any:
            mean, logvar = self.network(x, x.new_zeros(len(x), 0))
            return ModelOutput(embedding=mean, log_covariance=logvar)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z, z.new_zeros(len(z), 0)))

    class Discriminator(BaseDiscriminator):  # type: ignore[misc]
        depth = 1

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> Any:
            logits, features = self.network(x, x.new_zeros(len(x), 0))
            if output_layer_levels is not None:
                return ModelOutput(embedding_layer_1=features)
            return ModelOutput(embedding=torch.sigmoid(logits))

    networks = build(recipe, SCHEMA, PLAIN).networks
    images, labels = batch(recipe, PLAIN, batch_size)
    size, rate = recipe.data.image_size, recipe.optimiser.learning_rate
    model = VAEGAN(
        VAEGANConfig(input_dim=(3, size, size), latent_dim=recipe.networks.latent, reconstruction_layer=1, margin=1e9),
        encoder=Encoder(networks["encoder"]),
        decoder=Decoder(networks["generator"]),
        discriminator=Discriminator(networks["discriminator"]),
    )
    options = CoupledOptimizerAdversarialTrainerConfig(
        output_dir=folder,
        per_device_train_batch_size=batch_size,
        encoder_learning_rate=rate,
        decoder_learning_rate=rate,
        discriminator_learning_rate=rate,
        no_cuda=True,
    )
    trainer = CoupledOptimizerAdversarialTrainer(model, BaseDataset(images, labels), training_config=options)
    trainer.set_encoder_optimizer()
    trainer.set_decoder_optimizer()
    trainer.set_discriminator_optimizer()
    inputs = DatasetOutput(data=images)

    def step() -> list[float]:
        output = model(inputs)
        trainer._optimizers_step(output)
        losses = (output.encoder_loss, output.decoder_loss, output.discriminator_loss)
        return [loss.item() for loss in (*losses, sum(losses))]

    return step


def compare(sides: dict[str, Step], rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Take steps in turn; return medians in milliseconds, and every side's ratio to the first.

    A ratio is the median over the rounds of the ratios within one: what disturbs a round disturbs both.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, step in sides.items():
            begin = clock()
            step()
            times[name].append((clock() - begin) * 1e3)
    taken = {name: values[1:] for name, values in times.items()}  # the first warms up
    first, *others = taken
    ratios = {name: [b / a for a, b in zip(taken[first], taken[name], strict=True)] for name in others}
    return {
        "milliseconds": {name: round(statistics.median(values), 1) for name, values in taken.items()},
        "least_milliseconds": {name: round(min(values), 1) for name, values in taken.items()},
        "times_slower_than_" + first.replace(" ", "_"): {
            name: {
                "median": round(statistics.median(values), 2),
                "quartiles": [round(value, 2) for value in statistics.quantiles(values)[::2]],
            }
            for name, values in ratios.items()
        },
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["small", "paper", "pythae"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--paper-batch-size", type=int, default=8)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--memory-format", default="auto", choices=["auto", "contiguous", "channels_last"])
    options = parser.parse_args()
    what = options.what or ["small", "paper", "pythae"]
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    fast = choose_fast_path(options.precision, options.memory_format)
    result: dict[str, Any] = {"machine": machine(options.threads), "fast_path": asdict(fast)}
    for name, recipe, size in (
        ("small", recipe_named("cvae-gan"), options.batch_size),
        ("paper", recipe_named("cvae-gan-paper"), options.paper_batch_size),
    ):
        if name in what:
            sides = {"fast path": our_step(recipe, fast, size), "float32 NCHW": our_step(recipe, PLAIN, size)}
            result[name] = {"recipe": recipe.name, "batch_size": size} | compare(sides, options.rounds, clock)
    if "pythae" in what:
        if importlib.util.find_spec("pythae") is None:
            result["pythae"] = "left out: pythae is not installed here (pip install --no-deps pythae cloudpickle)"
        else:
            recipe = recipe_named("vae-gan")
            with tempfile.TemporaryDirectory() as folder:
                sides = {
                    "fast path": our_step(recipe, fast, options.batch_size),
                    "float32 NCHW": our_step(recipe, PLAIN, options.batch_size),
                    "pythae": pythae_step(recipe, options.batch_size, folder),
                }
                figures = compare(sides, options.rounds, clock)
            result["pythae"] = {"recipe": recipe.name, "batch_size": options.batch_size} | figures
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
