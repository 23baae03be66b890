"""Through in-between images: what several CycleGANs, one attribute each, make of an image one after another."""

from collections.abc import Mapping

from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import judge_for
from attrimorph.methods.translation.model import Chain
from attrimorph.models.codes import Chains
from attrimorph.models.model import Model, decided


def chain_of(model: Model) -> Chains:
    """Return the model as a chain of CycleGANs.

    Raises:
        AttrimorphError: it is none.
    """
    if isinstance(model, Chains):
        return model
    try:
        return Chain([model])
    except AttrimorphError as error:
        raise AttrimorphError(
            f"a path through in-between images needs CycleGANs; {model.recipe.name!r} ({model.recipe.method}) is none; "
            "name trained ones with commas, --model runs/young,runs/blond"
        ) from error


def stages(model: Model, image: Tensor, changes: Mapping[str, float], other: Tensor | None = None) -> dict[str, Tensor]:
    """Change one attribute after another, and go on to another image if there is one.

    Args:
        model: a chain, or one CycleGAN.
        image: [1, 3, S, S] in [-1, 1].
        changes: attribute -> 1 (set) or -1 (taken away), in their order; see `differences`.
        other: [1, 3, S, S], the end of the path.

    Returns:
        Where the path stops: "input", "Young +1", ..., "to" -> [3, S, S] in [-1, 1].

    Raises:
        AttrimorphError: the model is no chain, nothing changes, or one of the changes is beyond it.
    """
    chain = chain_of(model)
    if not changes:
        raise AttrimorphError(
            "a path through in-between images must change an attribute; got none; "
            f"add --set {next(iter(chain.links))}=1"
        )
    names = ["input", *(f"{name} {strength:+g}" for name, strength in changes.items())]
    found = {name: stage[0].cpu() for name, stage in zip(names, chain.stages(image, changes), strict=True)}
    return found if other is None else {**found, "to": other[0]}


def differences(model: Model, image: Tensor, other: Tensor) -> dict[str, float]:
    """Return what a chain has to change so that an image gets another's attributes, in the order of its models.

    CycleGANs do not tell attributes: the shipped judge of the model's attributes does.

    Args:
        model: a chain, or one CycleGAN.
        image, other: [1, 3, S, S] in [-1, 1].

    Raises:
        AttrimorphError: no judge ships for these attributes, or the two agree in all of them.
    """
    chain = chain_of(model)
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
