"""What an experiment is asked for, and what it leaves: a page, pictures, and results.json."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from attrimorph.data.source import Source
from attrimorph.files import write_json
from attrimorph.pictures import write_png
from attrimorph.reproductions import report
from attrimorph.reproductions.claims import RULE, Claim, Decision, decide
from attrimorph.version import __version__

FORMAT = "attrimorph experiment"
Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


def nothing(*_: object) -> None:
    """Take what is said and say it to nobody."""


@dataclass(frozen=True)
class Form:
    """How large experiments are.

    Attributes:
        name: stands in the names of folders.
        people, images: of drawn data: how many people, and images of each on average.
        presentations: to the recogniser.
        changes: fields of every recipe that differ from the recipe's own.
        per_class: samples of every class that are measured.
        iterations: of the ring; its variants take `VARIANT_SHARE` of them.
        few: real images of a class where few are to be had.
        more: images generated of each class then.
        strangers, of_a_stranger: new people that are generated then, and images of each.
        faces: drawn faces to train on where there are no classes.
        unseen: drawn faces to measure on then.
        codes: drawn codes that axes are fitted to.
    """

    name: str = "full"
    people: int = 60
    images: int = 250
    presentations: int = 60_000
    changes: Mapping[str, Any] = field(default_factory=dict)
    per_class: int = 100
    iterations: int = 200_000
    few: int = 20
    more: int = 200
    strangers: int = 120
    of_a_stranger: int = 40
    faces: int = 40_000
    unseen: int = 500
    codes: int = 50_000


FULL = Form()
QUICK = Form("quick", 12, 120, 8_000, {"training.images": 8_000}, 40, 20_000, 10, 50, 24, 20, 4_000, 100, 2_000)


@dataclass(frozen=True)
class Request:
    """What the user asks of an experiment.

    Attributes:
        out: the folder of all experiments: data and models that several share lie in it too.
        data: a folder of images in any known layout, or None for drawn ones.
        classes: the attribute that tells the classes; None = the first categorical one, or else the identities.
        model: a trained model to use in place of training one, where the experiment looks at one.
        other_model: a second one, where it looks at two.
        seeds: of the trainings.
        form: how large everything is: `FULL`, or `QUICK` for minutes on two cores.
        images: length of each training in place of the form's.
        device: where to train.
        say: gets a line of text at each stage.
        progress: called with (what, done, in all).
    """

    out: Path = Path("runs/experiments")
    data: Path | Source | None = None
    classes: str | None = None
    model: str | None = None
    other_model: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    form: Form = FULL
    images: int | None = None
    device: str = "cpu"
    say: Say = nothing
    progress: Progress = nothing


@dataclass
class Outcome:
    """What an experiment found.

    Attributes:
        name: its folder.
        title, lead: of its page.
        protocol: everything that the figures depend on: data, sizes, seeds, extractors.
        claims: with their verdicts.
        figures: plain values for results.json.
        pictures: file name -> picture.
        pieces: HTML of the page, below the claims.
    """

    name: str
    title: str
    lead: str
    protocol: dict[str, Any]
    claims: list[Claim] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)

    def show(self, name: str, picture: Image.Image, caption: str = "") -> None:
        """Keep a picture and put it on the page."""
        self.pictures[name] = picture
        self.pieces.append(report.picture(picture, caption))


def write_outcome(outcome: Outcome, out: Path) -> Path:
    """Write OUT/NAME/results.json, report.html and pictures/*.png; return the path of the page."""
    folder = Path(out) / outcome.name
    for name, picture in outcome.pictures.items():
        write_png(folder / "pictures" / f"{name}.png", picture, f"experiment {outcome.name} by attrimorph; {name}")
    write_json(
        folder / "results.json",
        {
            "format": FORMAT,
            "format_version": 2,
            "attrimorph": __version__,
            "experiment": outcome.name,
            "machine": machine(),
            "protocol": outcome.protocol,
            "rule": RULE,
            "claims": [decision.to_json() for decision in decide(outcome.claims)],
            "figures": outcome.figures,
        },
    )
    rows = [[report.text(str(key)), report.text(str(value))] for key, value in outcome.protocol.items()]
    return report.write_page(
        folder / "report.html",
        title=outcome.title,
        eyebrow=f"attrimorph experiment {outcome.name}",
        lead=outcome.lead,
        pieces=[
            verdicts(decide(outcome.claims)),
            *outcome.pieces,
            report.heading("How it was measured"),
            report.table(["what", "as here"], rows),
        ],
        footer=f"attrimorph {__version__}; {machine()}",
    )


def verdicts(decisions: Sequence[Decision]) -> str:
    """Return the table of claims, each with what decided."""
    rows = [
        [f"<b>{report.text(each.verdict)}</b>",
         *map(report.text, (each.claim.words, each.claim.evidence, each.why, each.claim.source))]
        for each in decisions
    ]  # fmt: skip
    head = ["verdict", "claim", "measured", "what decided", "who says so"]
    return report.heading("Verdicts", RULE) + report.table(head, rows)


def machine() -> str:
    """Return in words what computed."""
    return f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads"
