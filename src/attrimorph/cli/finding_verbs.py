"""quickstart, doctor, attributes."""

from pathlib import Path

from attrimorph.cli.app import FIND, app
from attrimorph.errors import AttrimorphError
from attrimorph.requests import DEFAULT_MODEL

REACHED = "edit.target_reached"


@app.command(group=FIND)
def quickstart(*, out: Path = Path("runs/quickstart")) -> None:
    """Draw faces, train on them, measure, edit, and write a report: minutes on two cores.

    Parameters
    ----------
    out
        The folder for it all.
    """
    from attrimorph.reproductions.quickstart import quickstart as run

    run(out, say=lambda line: print(line, flush=True))


@app.command(group=FIND)
def doctor() -> None:
    """Look at this machine: packages, speed, memory, disk, extras, models."""
    from attrimorph.doctor import examine

    bad = False
    for finding in examine():
        bad = bad or finding.bad
        print(f"{finding.name + ':':<19}{finding.text}", flush=True)
        if finding.remedy:
            print(f"{'':<19}-> {finding.remedy}")
    if bad:
        raise AttrimorphError("this installation cannot work as it is; see the arrows above")


@app.command(group=FIND)
def attributes(model: str = DEFAULT_MODEL, /, *, evaluation: Path | None = None, json: bool = False) -> None:
    """List a model's attributes: names, kinds, values, what it can change, and how well.

    Parameters
    ----------
    model
        A run folder, a model file or a shipped model; several CycleGANs with commas.
    evaluation
        What `attrimorph evaluate` wrote of this model, where the model's own file tells no figures.
    json
        Print JSON instead of a table.
    """
    from dataclasses import asdict
    from json import dumps

    from attrimorph.applications.axes.choosing import pack_of
    from attrimorph.applications.axes.editor import AxisEditor
    from attrimorph.loading import load
    from attrimorph.metrics.figures import card_figures
    from attrimorph.models.model import Edits, Moves, attributes_of
    from attrimorph.reproductions.evaluation import read_evaluation

    report = None if evaluation is None else read_evaluation(evaluation)
    loaded = load(model)
    if not isinstance(loaded, Edits) and (pack := pack_of(model)) is not None:
        loaded = AxisEditor(loaded, pack)
    if report is not None and report["about"].get("model sha256") != loaded.hash:
        raise AttrimorphError(f"{evaluation} was measured on another model than {model}; evaluate this one")
    figures, protocols = card_figures(loaded.card) if report is None else (report["figures"], report["protocols"])
    found = attributes_of(loaded, figures)
    if json:
        print(dumps([asdict(each) for each in found.facts], indent=2))
        return
    print(f"{loaded!r}"[1:-1])
    print(found)
    if any(each.reached_when_set is not None for each in found.facts):
        told = protocols.get(REACHED, "").removeprefix("mean over attributes; ")
        print(f"reached: share of edits after which it is so; {told}")
    elif isinstance(loaded, Moves):
        print(f"how well: attrimorph axes show {model}")
    elif any(each.edits for each in found.facts):
        print(f"how well: not measured; run attrimorph evaluate {model}, then add --evaluation with its folder")
