"""Through in-between images: what several CycleGANs, one attribute each, make of an image one after another."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attrimorph.applications import paths
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import judge_for
from attrimorph.methods.translation.model import Chain
from attrimorph.models.codes import Chains
from attrimorph.models.model import Model, decided


@dataclass(frozen=True)
class Stages:
    """The images of a path, and where it stops on the way.

    Attributes:
        images: the stops, [n, 3, S, S] in [-1, 1]: the image itself, after each change, and the other image if any.
        names: of the stops: "input", "Young +1", ..., "to".
    """

    images: Tensor
    names: tuple[str, ...]

    def path(self, steps: int) -> Tensor:
        """Return the way through all stops by cross-fades, [steps, 3, S, S]."""
        return paths.crossfade(list(self.images), steps)


def chain_of(model: Model, verb: str) -> Chains:
    """Return the model as a chain of CycleGANs.

    Raises:
        AttrimorphError: it is none; `verb` is named.
    """
    if isinstance(model, Chains):
        return model
    try:
        return Chain([model])
    except AttrimorphError as error:
        raise AttrimorphError(
            f"{verb} needs CycleGANs; {model.recipe.name!r} ({model.recipe.method}) is none; "
            "name trained ones with commas, --model runs/young,runs/blond"
        ) from error


def stages(model: Model, image: Tensor, changes: Mapping[str, float], other: Tensor | None = None) -> Stages:
    """Change one attribute after another, and go on to another image if there is one.

    Args:
        model: a chain, or one CycleGAN.
        image: [1, 3, S, S] in [-1, 1].
        changes: attribute -> 1 (set) or -1 (taken away), in their order; see `differences`.
        other: [1, 3, S, S], the end of the path.

    Raises:
        AttrimorphError: the model is no chain, nothing changes, or one of the changes is beyond it.
    """
    chain = chain_of(model, "a path through in-between images")
    if not changes:
        raise AttrimorphError(
            "a path through in-between images must change an attribute; got none; "
            f"add --set {next(iter(chain.links))}=1"
        )
    found = [stage.cpu() for stage in chain.stages(image, changes)]
    names = ["input", *(f"{name} {strength:+g}" for name, strength in changes.items())]
    if other is not None:
        found.append(other)
        names.append("to")
    return Stages(torch.cat(found), tuple(names))


def differences(model: Model, image: Tensor, other: Tensor) -> dict[str, float]:
    """Return what a chain has to change so that an image gets another's attributes, in the order of its models.

    CycleGANs do not tell attributes: the shipped judge of the model's attributes does.

    Args:
        model: a chain, or one CycleGAN.
        image, other: [1, 3, S, S] in [-1, 1].

    Raises:
        AttrimorphError: no judge ships for these attributes, or the two agree in all of them.
    """
    chain = chain_of(model, "a path through in-between images")
    judge = judge_for(model.schema, model.image_size)
    if judge is None:
        raise AttrimorphError(
            "the changes on the way must be given where no shipped judge can tell them; "
            f"add --set {next(iter(chain.links))}=1"
        )
    before, after = (decided(judge(each), model.schema)[0] for each in (image, other))
    changes = {}
    for name in chain.links:
        column = model.schema.columns(name).start
        if before[column] != after[column]:
            changes[name] = 1.0 if after[column] > 0.5 else -1.0
    if not changes:
        raise AttrimorphError(
            f"the two pictures must differ in {', '.join(chain.links)}; the judge sees them alike; say with --set "
            "what is to change"
        )
    return changes
