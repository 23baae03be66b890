"""Attributes as somebody tells them: who does, what is decided, and how often that is right."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from attrimorph.data import Attribute, Schema


class Judges(Protocol):
    """Anything that tells attributes, for example a `Judge`."""

    @property
    def name(self) -> str:
        """How it stands in the names of figures."""

    @property
    def schema(self) -> Schema:
        """The attributes it knows."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return probabilities [B, width] for images [B, 3, S, S] in [-1, 1]."""


class HasSchema(Protocol):
    """Anything that knows attributes."""

    @property
    def schema(self) -> Schema:
        """The attributes it knows."""


def decisions(probabilities: Tensor, schema: Schema) -> Tensor:
    """Decide every attribute: binary at one half, categorical by the largest, real as it stands.

    Members of an exclusive group are decided one by one, because none of them may hold.

    Args:
        probabilities: [B, width].

    Returns:
        [B, width]; 0 or 1 in binary and categorical columns.
    """
    decided = (probabilities > 0.5).to(probabilities.dtype)
    for attribute in schema.attributes:
        columns = schema.columns(attribute.name)
        if attribute.kind == "categorical":
            best = probabilities[:, columns].argmax(1, keepdim=True)
            decided[:, columns] = torch.zeros_like(probabilities[:, columns]).scatter_(1, best, 1)
        elif attribute.kind == "real":
            decided[:, columns] = probabilities[:, columns]
    return decided


def known_answers(answers: Tensor, truth: Tensor, schema: Schema) -> Iterator[tuple[Attribute, Tensor, Tensor]]:
    """Yield each binary or categorical attribute with its answers and truth, both [known, columns], where it is known.

    Args:
        answers: [N, width].
        truth: [N, width], NaN = missing; attributes without any known row are left out.
    """
    for attribute in schema.attributes:
        columns = schema.columns(attribute.name)
        known = ~truth[:, columns].isnan().any(1)
        if attribute.kind != "real" and bool(known.any()):
            yield attribute, answers[known][:, columns], truth[known][:, columns]


def attribute_accuracy(probabilities: Tensor, truth: Tensor, schema: Schema) -> dict[str, float]:
    """Share of right decisions per attribute, over the rows where the truth is known.

    Args:
        probabilities: [N, width].
        truth: [N, width], NaN = missing.

    Returns:
        Name -> 0..1; real attributes and those without any known row are left out.
    """
    return {
        attribute.name: float((decided == true).all(1).double().mean())
        for attribute, decided, true in known_answers(decisions(probabilities, schema), truth, schema)
    }


def binary_names(schema: Schema) -> tuple[str, ...]:
    """Return the names of the binary attributes: those that an edit can set and take away."""
    return tuple(attribute.name for attribute in schema.attributes if attribute.kind == "binary")


def editable_names(model: HasSchema) -> tuple[str, ...]:
    """Return the binary attributes that edits of a model can change; all where it does not say."""
    named: tuple[str, ...] = getattr(model, "editable", binary_names(model.schema))
    return named
