"""From a recipe to a method that can step, and to the rows of the data that it learns from."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from attrimorph.data.prepared import PreparedData
from attrimorph.data.schema import Schema
from attrimorph.errors import AttrimorphError
from attrimorph.methods import METHODS
from attrimorph.methods.base import Algorithm
from attrimorph.methods.cvae_gan.terms import METHODS as FAMILY
from attrimorph.recipe import AnyRecipe
from attrimorph.training.hardware import FastPath


def build(
    recipe: AnyRecipe,
    schema: Schema,
    path: FastPath,
    device: str = "cpu",
    reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
) -> Algorithm:
    """Return the recipe's method with fresh weights drawn from its seed.

    Args:
        recipe: the run.
        schema: of the data.
        path: precision and memory format.
        device: where the networks live.
        reduce_gradients: averages gradients over processes.
    """
    check_labels(recipe, schema)
    return (
        METHODS[recipe.method]
        .step()
        .build(
            recipe,
            schema,
            device=device,
            layout=path.layout,
            autocast=path.autocast,
            reduce_gradients=reduce_gradients,
        )
    )


def check_labels(recipe: AnyRecipe, schema: Schema) -> None:
    """Refuse images without labels for a recipe that learns from labels.

    Raises:
        AttrimorphError: the data have no attributes, and the recipe needs some.
    """
    if not schema.attributes and recipe.learns_from_labels:
        without = [name for name, method in FAMILY.items() if not method.conditional]
        raise AttrimorphError(
            f"{recipe.name} learns from labels, and these images have none; put them into one folder for each class, "
            f"name a CSV of labels with --table, or train what needs none: {', '.join([*without, 'pggan'])}"
        )


def training_rows(recipe: AnyRecipe, data: PreparedData) -> NDArray[np.int64]:
    """Return the rows to learn from, [N]; [N, 2] where pairs stay together.

    Raises:
        AttrimorphError: the data have not what the recipe learns from.
    """
    return METHODS[recipe.method].step().rows(recipe, data)
