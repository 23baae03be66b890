"""Groups of attributes that change together: one branch of the interpolator each."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from attrimorph.data import Schema
from attrimorph.data.drawn import faces
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.methods.homointerp.recipe import CELEBA_GROUPS, InterpolationRecipe

REST = "everything else"
"""The name of the residual branch."""


def grouping(recipe: InterpolationRecipe, schema: Schema) -> dict[str, tuple[str, ...]]:
    """Return the recipe's groups as far as the data have their attributes, in order.

    Where the data have none of them, each attribute is a group.

    Raises:
        AttrimorphError: a group names an attribute that neither the data nor CelebA have.
    """
    known = {*schema.names, *faces.SCHEMA.names, *(name for group in CELEBA_GROUPS.values() for name in group)}
    for group, names in recipe.networks.groups.items():
        for name in names:
            if name not in known:
                raise AttrimorphError(
                    f"the group {group!r} has no attribute {name!r}; {suggestion(name, schema.names)}"
                )
    groups = {
        name: tuple(attribute for attribute in group if attribute in schema.names)
        for name, group in recipe.networks.groups.items()
    }
    groups = {name: group for name, group in groups.items() if group}
    if not groups or recipe.networks.others == "own":
        taken = {attribute for group in groups.values() for attribute in group}
        groups |= {name: (name,) for name in schema.names if name not in taken}
    return groups


def membership(groups: Mapping[str, Sequence[str]], schema: Schema) -> Tensor:
    """Return which columns of y a branch changes: bool [groups + 1, W]; the residual branch, the last, none."""
    members = torch.zeros(len(groups) + 1, schema.width, dtype=torch.bool)
    for row, group in enumerate(groups.values()):
        for name in group:
            members[row, schema.columns(name)] = True
    return members
