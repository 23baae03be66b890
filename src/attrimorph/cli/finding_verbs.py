"""quickstart, doctor."""

from pathlib import Path

from attrimorph.cli.app import FIND, app
from attrimorph.errors import AttrimorphError


@app.command(group=FIND)
def quickstart(*, out: Path = Path("runs/quickstart")) -> None:
    """Draw faces, train on them, measure, edit, and write a report: minutes on two cores.

    Parameters
    ----------
    out
        The folder for it all.
    """
    from attrimorph.experiments.quickstart import quickstart as run

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
