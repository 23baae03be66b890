"""From a recipe of CycleGAN or pix2pix to an algorithm that can step."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attrimorph.algorithms.cyclegan import DISCRIMINATORS, GENERATORS, CycleGAN
from attrimorph.algorithms.pix2pix import Pix2Pix
from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.kinds.translation import edited_attribute, translation_networks
from attrimorph.networks.translation import PatchDiscriminator
from attrimorph.recipes.translation import TranslationRecipe
from attrimorph.training.hardware import FastPath

BANK = 16


def translation_rows(recipe: TranslationRecipe, data: PreparedData) -> NDArray[np.int64]:
    """Return the rows to learn from, [N]; pairs, [N, 2].

    Raises:
        AttrimorphError: the data have not what the recipe learns from: pairs, masks, or images of both domains.
    """
    rows = data.indices("train")
    if recipe.method == "pix2pix":
        if recipe.domains.source == "pairs":
            return paired_rows(recipe, data)
        if recipe.domains.source == "mask" and data.masks is None:
            raise AttrimorphError(
                "domains.source mask needs data with masks; these have none; "
                "take grey or edges, or find masks with attrimorph data mask"
            )
        return rows
    name = edited_attribute(recipe, data.schema)
    domain = data.attributes[:, data.schema.columns(name).start].numpy()[rows]
    for value, word in ((1, "with"), (0, "without")):
        if not (domain == value).any():
            raise AttrimorphError(
                f"a CycleGAN needs training images with {name} and without it; none is {word} it; "
                "choose another with --domains.attribute"
            )
    return rows


def paired_rows(recipe: TranslationRecipe, data: PreparedData) -> NDArray[np.int64]:
    """Return the training pairs, [N, 2]: the source, then the image that belongs to it.

    A pair shares an identity; its source lacks the attribute.

    Raises:
        AttrimorphError: there is no pair.
    """
    column = data.schema.columns(edited_attribute(recipe, data.schema)).start
    rows = data.indices("train")
    identity, domain = data.identity.numpy()[rows], data.attributes[:, column].numpy()[rows]
    sides = []
    for side in (0, 1):
        own = (domain == side) & (identity >= 0)
        numbers, first, counts = np.unique(identity[own], return_index=True, return_counts=True)
        sides.append(dict(zip(numbers[counts == 1].tolist(), rows[own][first[counts == 1]].tolist(), strict=True)))
    found = [(sides[0][number], sides[1][number]) for number in sorted(sides[0].keys() & sides[1].keys())]
    if not found:
        raise AttrimorphError(
            "domains.source pairs needs pairs of images: trainA and trainB with the same file names; these data have "
            "none; name the files alike and prepare again, or make sources of the images with --domains.source edges"
        )
    return np.array(found, dtype=np.int64)


def build_translation(
    recipe: TranslationRecipe,
    schema: Schema,
    path: FastPath,
    device: str = "cpu",
    reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
) -> CycleGAN | Pix2Pix:
    """Return CycleGAN or pix2pix with fresh weights drawn from the recipe's seed.

    Args:
        recipe: the run.
        schema: of the data.
        path: precision and memory format.
        device: where the networks live.
        reduce_gradients: averages gradients over processes.

    Raises:
        AttrimorphError: the attribute that tells the domains must be named.
    """
    paired = recipe.method == "pix2pix"
    names = ("discriminator",) if paired else DISCRIMINATORS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        networks = translation_networks(recipe, schema)
        networks |= {
            name: PatchDiscriminator(6 if paired else 3, recipe.networks.discriminator_width) for name in names
        }
    for network in networks.values():
        network.to(device, memory_format=path.layout).train()  # type: ignore[call-overload]
        if recipe.training.compile:
            network.compile()

    def adam(learning: Iterable[str]) -> torch.optim.Optimizer:
        options = recipe.optimiser
        parameters = [p for name in learning for p in networks[name].parameters()]
        rate = options.learning_rate
        if options.discriminator_rate is not None and set(learning) <= set(names):
            rate = options.discriminator_rate
        return torch.optim.Adam(parameters, lr=rate, betas=(options.beta1, options.beta2), fused=True)

    if paired:
        told = recipe.domains.source == "pairs"
        return Pix2Pix(
            networks,
            {name: adam([name]) for name in ("generator", "discriminator")},
            source=recipe.domains.source,
            column=schema.columns(edited_attribute(recipe, schema)).start if told else 0,
            l1=recipe.losses.l1,
            autocast=path.autocast,
            reduce_gradients=reduce_gradients,
        )
    return CycleGAN(
        networks,
        {"generators": adam(GENERATORS), "discriminators": adam(DISCRIMINATORS)},
        column=schema.columns(edited_attribute(recipe, schema)).start,
        cycle=recipe.losses.cycle,
        identity=recipe.losses.identity,
        pool=recipe.losses.pool,
        bank=max(BANK, recipe.training.batch_size),
        autocast=path.autocast,
        reduce_gradients=reduce_gradients,
    )
