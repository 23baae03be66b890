"""What a model's attributes are: kinds, values, what can be changed, and how well it was measured to go."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from attrimorph.console import table
from attrimorph.data.attribute import Kind
from attrimorph.errors import suggestion

SET, TAKEN_AWAY = "edit.reached_when_set", "edit.reached_when_taken_away"
"""Keys of an evaluation; of one attribute they go on with its name."""


@dataclass(frozen=True)
class AttributeFacts:
    """One attribute of a model.

    Attributes:
        name: as changes name it; a value of a categorical attribute is named "name=value".
        kind: "binary", "categorical" or "real".
        values: the names of a categorical attribute's values; empty otherwise.
        edits: whether the model changes it in given pictures.
        samples: whether the model's samples can be asked to have it.
        reached_when_set: share of edits of strength 1 that reached it, in 0..1; None where nobody measured.
        reached_when_taken_away: the same of strength -1.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    edits: bool = False
    samples: bool = False
    reached_when_set: float | None = None
    reached_when_taken_away: float | None = None


@dataclass(frozen=True, repr=False)
class Attributes(Mapping[str, AttributeFacts]):
    """A model's attributes by name, in the order of its schema; printed, they are a table.

    Attributes:
        facts: one for each.
    """

    facts: tuple[AttributeFacts, ...]

    def __getitem__(self, name: str) -> AttributeFacts:
        """Return the attribute of that name.

        Raises:
            KeyError: there is none; the sentence names the nearest.
        """
        for fact in self.facts:
            if fact.name == name:
                return fact
        raise KeyError(f"there is no attribute {name!r}; {suggestion(name, list(self))}")

    def __iter__(self) -> Iterator[str]:
        return (fact.name for fact in self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def __repr__(self) -> str:
        head = ("attribute", "edits", "samples", "reached when set", "when taken away", "kind")
        rows: list[tuple[str, ...]] = [
            (
                fact.name,
                "yes" if fact.edits else "no",
                "yes" if fact.samples else "no",
                share(fact.reached_when_set),
                share(fact.reached_when_taken_away),
                f"one of {', '.join(fact.values)}" if fact.values else fact.kind,
            )
            for fact in self.facts
        ]
        return table(rows, head)


def share(value: float | None) -> str:
    """Write a share as a person reads it."""
    return "not measured" if value is None else f"{value:.1%}"
