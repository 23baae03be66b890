"""Before a training: whether it will be refused, and how fast it will be. Nothing is written."""

import time
from collections.abc import Iterator

import torch

from attrimorph.data import Schema
from attrimorph.data.loader import generator_for
from attrimorph.data.prepared import PreparedData
from attrimorph.recipe import AnyRecipe
from attrimorph.training import FastPath, keep_memory, tensor_cores
from attrimorph.training.folder import Ema
from attrimorph.training.trainer import NOISE, build, check_labels, check_size, fast_path_of, loader_of

PLAIN = FastPath("float32", "contiguous", {})
LEAST_PLACES, MOST_PLACES = 3, 32


def check_data(recipe: AnyRecipe, data: PreparedData) -> None:
    """Refuse data that `train` refuses for a recipe; of their images only the size is looked at.

    Raises:
        AttrimorphError: as `train` would.
    """
    check_labels(recipe, data.schema)
    check_size(recipe, data)
    loader_of(recipe, data)


def check_networks(recipe: AnyRecipe, schema: Schema) -> None:
    """Refuse a recipe whose networks cannot be built for data of that schema; this takes a second for large ones.

    Raises:
        AttrimorphError: as `train` would.
    """
    build(recipe, schema, PLAIN)


def seconds_per_image(recipe: AnyRecipe, data: PreparedData, device: str, seconds: float) -> float:
    """Return how long an image of a training takes, on an average over the whole of it.

    Steps are taken at places spread over the run's clock, for what a step costs may change with it: a warm-up, networks
    that grow. Every beginning of the row of places is spread evenly, so a slow method is measured at fewer of them.

    Args:
        recipe: the whole run.
        data: what it trains on.
        device: where to compute.
        seconds: for measuring; three places are looked at however long they take.
    """
    keep_memory()
    options = recipe.training
    path = fast_path_of(recipe, data, device)
    with torch.random.fork_rng(devices=[]), tensor_cores(path.tf32):
        algorithm = build(recipe, data.schema, path, device)
        loader = loader_of(recipe, data, device=device, channels_last=path.memory_format == "channels_last")
        ema = Ema({name: algorithm.networks[name] for name in algorithm.kept}, options.ema_images)
        begin, taken = time.perf_counter(), list[float]()
        for share in places():
            seen = int(share * options.images) // options.batch_size * options.batch_size
            # Methods without phases of their own keep no clock.
            algorithm.load_state(algorithm.state() | {"images_seen": seen})
            # The first step of all makes room for what later ones find.
            for _ in range(1 if taken else 2):
                since = time.perf_counter()
                values = algorithm.step(loader.batch(seen), generator_for(options.seed, NOISE, seen, 0))
                ema.update(seen, options.batch_size)
                float(next(iter(values.values())))  # waits for an accelerator
            taken.append(time.perf_counter() - since)
            if len(taken) >= LEAST_PLACES and time.perf_counter() - begin > seconds:
                break
    return sum(taken) / len(taken) / options.batch_size


def places() -> Iterator[float]:
    """Yield shares of a run: 1/2, 1/4, 3/4, 1/8, 5/8, ... (van der Corput's sequence)."""
    for number in range(1, MOST_PLACES + 1):
        yield sum((number >> bit & 1) / 2 ** (bit + 1) for bit in range(number.bit_length()))
