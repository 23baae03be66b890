"""EXPERIMENTS: the experiments of the papers, by name, in words, and the function that does each.

No torch here: the command line lists them without it.
"""

import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from attrimorph.errors import AttrimorphError, suggestion


class Experiment(NamedTuple):
    """One figure or table, in words.

    Attributes:
        paper: whose it is.
        about: what it shows.
        function: what does it: the module of this folder, a dot, and its name there.
        letter: its letter; table-one is two of them; "" outside the CVAE-GAN paper.
        title, lead: of its page.
        source: who says what is claimed, where a claim does not tell.
        protocol: what -> how it was measured; names in braces are filled in.
        claims: key -> the claim (`more`, `least` or `most`), the names of its figures, source and form.
    """

    paper: str
    about: str
    function: str
    letter: str = ""
    title: str = ""
    lead: str = ""
    source: str = ""
    protocol: Mapping[str, str] = {}
    claims: Mapping[str, Mapping[str, Any]] = {}

    def run(self, request: Any) -> Any:
        """Do the experiment: a `frame.Request` -> its `frame.Outcome`; only its own module is imported for it."""
        module, name = self.function.split(".")
        return getattr(import_module(f"{__name__}.{module}"), name)(request)


with Path(__file__).with_name("experiments.toml").open("rb") as _file:
    EXPERIMENTS = {name: Experiment(**words) for name, words in tomllib.load(_file).items()}


def names_of(name: str) -> list[str]:
    """Return the names that a name, a letter, a paper or "all" stands for.

    Raises:
        AttrimorphError: there is no such experiment.
    """
    if name == "all":
        return list(EXPERIMENTS)
    if name in EXPERIMENTS:
        return [name]
    if of_paper := [key for key, each in EXPERIMENTS.items() if each.paper.lower() == name.lower()]:
        return of_paper
    by_letter = [key for key, each in EXPERIMENTS.items() if len(name) == 1 and name in each.letter]
    if not by_letter:
        raise AttrimorphError(f"there is no experiment {name!r}; {suggestion(name, EXPERIMENTS)}")
    return by_letter
