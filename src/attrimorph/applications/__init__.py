"""How codes are looked for, how edits go along axes, what they show: plain values, read by commands without torch."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from attrimorph.errors import AttrimorphError, shown

MOST_STEPS, MOST_CANDIDATES = 100_000, 65_536
ONLY_KNOWN: Any = {"extra": "forbid"}  # for pydantic: a receipt says no more than there is
PRIOR = 0.002
Range = Literal["-1..1", "0..1", "0..255"]
"""Of the images of a generator from outside."""
Composition = Literal["fields", "whole face", "earlier"]
"""What an edit shows: the input's own pixels as fields change them; the model's own picture; as receipts without this
word mean it."""


@dataclass(frozen=True)
class Meant:
    """Which faces of a photograph are meant.

    Attributes:
        face: "largest", "all", a number (1 the largest), or "x,y", a point within one.
        box: "x,y,w,h": where the face is, in place of looking for it.
        aligned: the picture is a face already.
    """

    face: str = "largest"
    box: str | None = None
    aligned: bool = False


LARGEST = Meant()


def checked_seed(seed: int) -> int:
    """Return a seed that torch takes.

    Raises:
        AttrimorphError: it is none.
    """
    if not 0 <= seed < 2**63:
        raise AttrimorphError(f"seed must lie in 0..2**63 - 1; got {shown(seed)}; choose a smaller one")
    return seed


@dataclass(frozen=True)
class Search:
    """How a code is looked for.

    Attributes:
        steps: of Adam.
        rate: its learning rate at its height, in units of z; it falls as a cosine.
        label_rate: the same of unknown attributes.
        prior: weight of R(z) against distances, which are for a deviation of 1 on the scale of [-1, 1].
        candidates: samples among which a start is looked for.
        starts: the best so many of them are all followed, and the best end is kept.
        seed: of the samples.
        seconds: budget of time, None for none; the search ends with what it has found by then. Of many images the first
            that are looked for together show how many steps there is time for.
        within: no code lies farther out than so many times the length that drawn ones have; None = anywhere. Some
            generators hardly see how long z is, and Adam makes it longer: scores along axes then mean something else.
        stop: after so many steps, the rate falling as if all were to come: repeats a search that time ended.
    """

    __pydantic_config__ = ONLY_KNOWN
    steps: int = 100
    rate: float = 0.2
    label_rate: float = 0.2
    prior: float = PRIOR
    candidates: int = 256
    starts: int = 1
    seed: int = 0
    seconds: float | None = None
    within: float | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= MOST_STEPS:
            raise AttrimorphError(f"steps must lie in 0..{MOST_STEPS}; got {self.steps}; try 100")
        if not 1 <= self.starts <= self.candidates <= MOST_CANDIDATES:
            raise AttrimorphError(
                f"candidates must lie in 1..{MOST_CANDIDATES} and starts in 1..candidates; "
                f"got {self.candidates} and {self.starts}; try 256 and 1"
            )
        above = {"rate": self.rate, "label_rate": self.label_rate, "seconds": self.seconds, "within": self.within}
        for name, value in above.items():
            if value is not None and not 0 < value < math.inf:
                raise AttrimorphError(f"{name} must be above 0; got {value:g}; leave it out")
        if self.stop is not None and not 0 <= self.stop <= self.steps:
            raise AttrimorphError(f"stop must lie in 0..steps; got {shown(self.stop)} of {self.steps}; leave it out")
        checked_seed(self.seed)
        if not 0 <= self.prior < math.inf:
            raise AttrimorphError(f"prior must be at least 0; got {self.prior:g}; leave it out")

    def to_json(self, done: int) -> dict[str, Any]:
        """Return plain values that repeat this search, which ended after `done` steps, whatever ended it."""
        # What was done, not what was allowed: without a budget of time it can be done again.
        words = ("rate", "label_rate", "candidates", "starts", "prior", "seed")
        return {"steps": done, "of": self.steps, **{name: getattr(self, name) for name in words}}


@dataclass(frozen=True)
class AxisOptions:
    """How an edit along axes goes, as a command or a receipt says it.

    Attributes:
        pack: the axes.
        locks: attributes that stay.
        judge: who measures, and who is followed where a judge is; None = the one that `judge_named` finds.
        follow: what is followed in place of straight axes: the pack's curved ones, or the judge's gradient.
        seed, count: of pictures that the generator draws, in place of photographs; seed None = photographs.
        values: of a generator from outside.
        sphere: move on the sphere where the generator normalises z; see `AxisEditor`. Receipts from before it was told
            mean straight on.
    """

    __pydantic_config__ = ONLY_KNOWN
    pack: Path
    locks: tuple[str, ...] = ()
    judge: str | None = None
    follow: Literal["curved", "judge"] | None = None
    seed: int | None = None
    count: int = 1
    values: Range = "-1..1"
    sphere: bool = True

    def __post_init__(self) -> None:
        checked_seed(self.seed or 0)
