"""What the models of a comparison make of the same held-out images, side by side; a few words where one cannot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from attrimorph.applications.sample import sample
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import editable_names
from attrimorph.loading import load
from attrimorph.metrics.evaluation_set import EvaluationSet
from attrimorph.models.codes import Edits, Encodes
from attrimorph.models.model import Model
from attrimorph.reproductions.comparison import SHOWN, Contest, Entry

ATTRIBUTES = 4  # whose edits are shown
SEED = 1  # of the samples


@dataclass
class Gallery:
    """One thing that models do, each in a row.

    Attributes:
        title, below: over the rows.
        make: what a model makes: [B, 3, S, S].
        given: the images that all are given, over the rows; None where they are given none.
        rows: recipe -> what it makes, or why there is nothing.
    """

    title: str
    below: str
    make: Callable[[Model], Tensor]
    given: Tensor | None = None
    rows: dict[str, Tensor | str] = field(default_factory=dict)


class Cannot(AttrimorphError):
    """What a method does not do, in a few words."""


def galleries(contest: Contest, entries: Sequence[Entry]) -> list[Gallery]:
    """Return edits, reconstructions, samples and translations of each recipe's first model."""
    models: dict[str, Model | None] = {}
    for name in contest.entrants:
        run = next((each.run for each in entries if each.name == name and each.digest), None)
        models[name] = None if run is None else load(run, contest.device)
    shown = contest.shown
    found = [
        *(
            Gallery(name, "Set where it is absent, taken away where it is present.", partial(edited, shown, name))
            for name in shown_attributes(models)
        ),
        Gallery("Reconstructions", "The same images without any change.", partial(reconstructed, shown)),
    ]
    for each in found:
        each.given = shown.images
    found += [
        Gallery("Samples", f"New images; z and attributes are drawn with the seed {SEED}.", sampled),
        Gallery("Translations", "What the generator is given, and what it makes of it.", partial(translated, shown)),
    ]
    for gallery in found:
        gallery.rows = {name: row(gallery, model) for name, model in models.items()}
    return [each for each in found if any(isinstance(row, Tensor) for row in each.rows.values())]


def row(gallery: Gallery, model: Model | None) -> Tensor | str:
    """Return what a model makes, or why there is nothing."""
    if model is None:
        return "no model"
    try:
        return gallery.make(model).detach().cpu()
    except Cannot as error:
        return str(error)
    # Told in its place on the page; whatever else there is to see is shown.
    except Exception as error:
        return f"failed: {' '.join(str(error).split())[:200]}"


def shown_attributes(models: Mapping[str, Model | None]) -> list[str]:
    """Return attributes to show edits of: those that most of the models edit come first."""
    able = [editable_names(model) for model in models.values() if model and isinstance(model, Edits)]
    count = {name: sum(name in names for names in able) for names in able for name in names}
    common = [name for name in count if count[name] == max(count.values())]
    others = [name for name in count if name not in common]
    chosen = spread(common, ATTRIBUTES)
    return chosen + spread(others, ATTRIBUTES - len(chosen))


def spread(names: Sequence[str], count: int) -> list[str]:
    """Return at most so many names, from all over."""
    count = min(count, len(names))
    return [names[(2 * place + 1) * len(names) // (2 * count)] for place in range(count)]


def edited(shown: EvaluationSet, name: str, model: Model) -> Tensor:
    """Return images with one attribute set where it is absent and taken away where it is present."""
    if not isinstance(model, Edits):
        raise Cannot("does not edit")
    if name not in editable_names(model):
        raise Cannot(f"does not edit {name}")
    there = shown.labels[:, model.schema.columns(name).start] == 1
    made = {goal: model.edit(shown.images, {name: goal}, shown.labels).cpu() for goal in (1.0, -1.0)}
    return torch.where(there[:, None, None, None], made[-1.0], made[1.0])


def reconstructed(shown: EvaluationSet, model: Model) -> Tensor:
    """Return images as a model makes them without any change."""
    if not isinstance(model, Encodes):
        raise Cannot("does not reconstruct")
    return model.decode(model.encode(shown.images, shown.labels))


def sampled(model: Model) -> Tensor:
    """Return new images, two rows of them."""
    try:
        return sample(model, 2 * SHOWN, seed=SEED).images
    except AttrimorphError as error:
        raise Cannot("does not sample") from error


def translated(shown: EvaluationSet, model: Model) -> Tensor:
    """Return sources and what becomes of them, for methods that do nothing else."""
    rows = [] if isinstance(model, Edits | Encodes) else model.sheet_rows(shown.images, shown.labels, shown.masks)
    if not rows:
        raise Cannot("does not translate")
    return torch.cat(rows[1:])
