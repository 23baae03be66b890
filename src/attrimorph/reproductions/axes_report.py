"""The page of an axis pack: how axes overlap before and after untangling, what each really does, how it looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes import AxisPack
from attrimorph.applications.axes.editor import AxisEditor, free_share
from attrimorph.applications.axes.linear import cosines, untangle
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.charts import chart
from attrimorph.evaluators import Judges
from attrimorph.files import write_json
from attrimorph.models.model import Model
from attrimorph.pictures import sheet
from attrimorph.reproductions import report
from attrimorph.version import __version__

STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0)
COUNT = 32
SHOWN = 3
SEED = 11


@dataclass(frozen=True)
class AxisResponse:
    """What a judge sees when drawn codes are moved along one axis, without locks (False) and with them (True).

    Attributes:
        locks: attributes that were locked.
        seen: mean probability of the attribute at every strength; nothing where the judge does not know it.
        drift: mean change of the locked attributes' probabilities at every strength, sizes alone.
        strip: pictures with the locks, a row for each of a few codes: SHOWN of [len(STRENGTHS), 3, S, S].
    """

    locks: tuple[str, ...]
    seen: dict[bool, list[float]]
    drift: dict[bool, list[float]]
    strip: list[Tensor]


def locks_for(name: str, names: Sequence[str], locks: Sequence[str] | None) -> tuple[str, ...]:
    """Return what is locked while `name` is edited: as wished, or all the others."""
    return tuple(other for other in (names if locks is None else locks) if other != name)


def correlations(pack: AxisPack, locks: Sequence[str] | None = None) -> tuple[Tensor, Tensor]:
    """Return the cosines of all axes with all axes [A, A]: as they are, and with each row's axis untangled."""
    rows = pack.rows(pack.names)
    free = [untangle(pack.rows([name]), pack.rows(locks_for(name, pack.names, locks))) for name in pack.names]
    return cosines(rows, rows), torch.cat(free) @ rows.T


@torch.inference_mode()
def respond(model: Model, pack: AxisPack, judge: Judges, name: str, locks: Sequence[str] | None = None) -> AxisResponse:
    """Move drawn codes along one axis, without and with locks, and have the pictures judged."""
    response = AxisResponse(locks_for(name, pack.names, locks), {}, {}, [])
    code = next(drawn_codes(model, COUNT, SEED))
    columns = {each: place for place, each in enumerate(judge.schema.column_names)}
    others = [columns[lock] for lock in response.locks if lock in columns]
    for locked in (False, True):
        editor = AxisEditor(model, pack, locks=response.locks if locked else ())
        images = [editor.decode(editor.move(code, {name: strength})) for strength in STRENGTHS]
        seen = [judge(each).double().cpu() for each in images]
        middle = seen[STRENGTHS.index(0.0)]
        response.seen[locked] = [float(each[:, columns[name]].mean()) for each in seen] if name in columns else []
        response.drift[locked] = [float((each - middle)[:, others].abs().mean()) if others else 0.0 for each in seen]
        if locked:
            response.strip.extend(torch.stack([each[row] for each in images]).cpu() for row in range(SHOWN))
    return response


def write_axes_report(
    model: Model,
    pack: AxisPack,
    judge: Judges,
    out: Path,
    *,
    locks: Sequence[str] | None = None,
    progress: Any = None,
) -> Path:
    """Write axes.html and axes.json into a folder.

    Args:
        model: the generator.
        pack: its axes.
        judge: who looks at the moved pictures.
        out: the folder.
        locks: attributes that are locked; None: all but the edited one.
        progress: called with (axes done, axes in all).

    Returns:
        The path of the page.
    """
    pack.check(model)
    before, after = correlations(pack, locks)
    responses: dict[str, AxisResponse] = {}
    for name in pack.names:
        responses[name] = respond(model, pack, judge, name, locks)
        if progress is not None:
            progress(len(responses), len(pack.names))
    write_json(out / "axes.json", figures(pack, before, after, responses))
    words = "all others" if locks is None else ", ".join(locks) or "none"
    return report.write_page(
        out / "axes.html",
        title=f"Axes of {pack.model}",
        eyebrow="attrimorph axes show",
        lead=f"{len(pack.names)} directions in its codes, each for one attribute. Locked where it says so: {words}.",
        pieces=[
            report.tiles(headline(before, list(responses.values()), judge.name)),
            report.heading(
                "Overlap",
                "The cosine of two axes is the correlation of what they score in drawn codes. Moving along one moves "
                "the score along another by it.",
            ),
            overlap(pack, before, "Before untangling, in hundredths."),
            overlap(
                pack,
                after,
                "After: each row's axis with its locks taken out, against the axes as they were. What is left in the "
                "row besides itself is what was not locked.",
            ),
            *curves_of(responses, judge.name),
            report.heading("How they look", "Strengths from -1 to 1, the locks on; three drawn codes each."),
            *[report.folded(name, report.picture(strip_of(each), name)) for name, each in responses.items()],
            report.heading("All axes"),
            facts_table(pack, locks),
        ],
        footer=f"attrimorph {__version__}; generator {pack.model} {pack.model_sha256[:16]}; "
        f"fitted from {pack.about.get('samples', '?'):,} drawn pictures judged by {pack.about.get('by', '?')}",
    )


def headline(before: Tensor, responses: Sequence[AxisResponse], judge: str) -> list[tuple[str, str, str]]:
    """Return the tiles."""
    apart, entries = before[~torch.eye(len(before), dtype=torch.bool)], []
    if len(apart):
        largest = f"{float(apart.abs().amax()):.2f}"
        entries.append((largest, "largest overlap of two axes", "cosine, before untangling"))
    if judged := [each for each in responses if each.seen[True]]:
        ends = sum(each.seen[True][-1] for each in judged) / len(judged)
        entries.append((f"{ends:.0%}", "seen after it is set", f"mean probability by {judge}, locks on"))
        for locked, word in ((False, "without locks"), (True, "with locks")):
            mean = sum(each.drift[locked][-1] for each in judged) / len(judged)
            entries.append((f"{mean:.1%}", f"change of the others, {word}", "mean change of probability at strength 1"))
    return entries


def overlap(pack: AxisPack, matrix: Tensor, caption: str) -> str:
    """Return cosines of all axes with all axes as a heat map."""
    rows = {
        name: dict(zip(pack.names, row, strict=True)) for name, row in zip(pack.names, matrix.tolist(), strict=True)
    }
    return report.heat(rows, caption, "{row} and {column}: {value:.3f}", full=1.0, least=0.05)


def curves_of(responses: Mapping[str, AxisResponse], judge: str) -> list[str]:
    """Return the section of the response curves."""
    charts = []
    for name, each in responses.items():
        series = {"alone": each.seen[False], "with locks": each.seen[True]}
        series["locked attributes, change"] = each.drift[True]
        if each.seen[False]:
            points = {words: list(zip(STRENGTHS, values, strict=True)) for words, values in series.items()}
            charts.append(chart(name, points, x_label="strength"))
    below = f"Mean probability by {judge} over {COUNT} drawn codes, at strengths from -1 to 1."
    return [report.heading("Response", below), report.curves(charts)] if charts else []


def strip_of(response: AxisResponse) -> Image.Image:
    """Return the pictures of an axis as a sheet."""
    return sheet(response.strip, columns=[f"{strength:+g}" for strength in STRENGTHS], cell=96, clear=True)


def facts_table(pack: AxisPack, locks: Sequence[str] | None) -> str:
    """Return the table of all axes."""
    rows = []
    for name, axis in pack.axes.items():
        shares = ("present", "told by the score", "expected when set", "expected when taken away")
        rows.append(
            [
                report.text(name),
                *(report.percent(axis.facts.get(share)) for share in shares),
                f"{axis.low:+.2f} … {axis.high:+.2f}",
                report.percent(free_share(pack, name, locks_for(name, pack.names, locks))),
                report.text(str(axis.facts.get("by", pack.about.get("by", "")))),
            ]
        )
    head = ["attribute", "present", "told by the score", "expected set", "taken away", "goals", "left by locks", "by"]
    return report.table(head, rows, numbers=range(1, 7))


def figures(pack: AxisPack, before: Tensor, after: Tensor, responses: Mapping[str, AxisResponse]) -> dict[str, Any]:
    """Return everything as plain values."""
    return {
        "format": "attrimorph axes report",
        "model": {"name": pack.model, "sha256": pack.model_sha256},
        "about": dict(pack.about),
        "names": list(pack.names),
        "cosines": before.tolist(),
        "cosines untangled": after.tolist(),
        "strengths": list(STRENGTHS),
        "responses": {
            name: {
                "locks": list(each.locks),
                "alone": each.seen[False],
                "with locks": each.seen[True],
                "change of the locked, alone": each.drift[False],
                "change of the locked, with locks": each.drift[True],
            }
            for name, each in responses.items()
        },
        "axes": {name: dict(axis.facts) | {"low": axis.low, "high": axis.high} for name, axis in pack.axes.items()},
    }
