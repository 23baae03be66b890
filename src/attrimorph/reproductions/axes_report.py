"""The page of an axis pack: how axes overlap before and after untangling, what each really does, how it looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph.applications.axes.editor import AxisEditor, free_share
from attrimorph.applications.axes.linear import cosines, untangle
from attrimorph.applications.axes.pack import AxisPack
from attrimorph.applications.axes.space import drawn_codes
from attrimorph.charts import chart
from attrimorph.evaluators.attributes import Judges
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
    """What a judge sees when drawn codes are moved along one axis.

    Attributes:
        name: of the attribute.
        locks: attributes that were locked.
        alone, locked: mean probability of the attribute at every strength, without and with the locks.
        drift_alone, drift_locked: mean change of the locked attributes' probabilities at every strength, sizes alone.
        strip: pictures, rows of one code each, with the locks: [SHOWN x len(STRENGTHS), 3, S, S].
    """

    name: str
    locks: tuple[str, ...]
    alone: list[float]
    locked: list[float]
    drift_alone: list[float]
    drift_locked: list[float]
    strip: Tensor


def locks_for(name: str, names: Sequence[str], locks: Sequence[str] | None) -> tuple[str, ...]:
    """Return what is locked while `name` is edited: as wished, or all the others."""
    return tuple(other for other in (names if locks is None else locks) if other != name)


def correlations(pack: AxisPack, locks: Sequence[str] | None = None) -> tuple[Tensor, Tensor]:
    """Return the cosines of all axes with all axes [A, A]: as they are, and with each row's axis untangled."""
    rows = pack.rows(pack.names)
    free = [untangle(pack.rows([name]), pack.rows(locks_for(name, pack.names, locks))) for name in pack.names]
    return cosines(rows, rows), torch.cat(free) @ rows.T


@torch.inference_mode()
def respond(
    model: Model, pack: AxisPack, judge: Judges, name: str, locks: Sequence[str] | None = None, *, count: int = COUNT
) -> AxisResponse:
    """Move drawn codes along one axis, without and with locks, and have the pictures judged."""
    held = locks_for(name, pack.names, locks)
    code = next(drawn_codes(model, count, SEED))
    columns = {each: place for place, each in enumerate(judge.schema.column_names)}
    seen_locks = [columns[lock] for lock in held if lock in columns]
    found: dict[bool, tuple[list[float], list[float]]] = {}
    strip: list[Tensor] = []
    for locked in (False, True):
        editor = AxisEditor(model, pack, locks=held if locked else ())
        images = [editor.decode(editor.move(code, {name: strength})) for strength in STRENGTHS]
        said = [judge(each).double().cpu() for each in images]
        middle = said[STRENGTHS.index(0.0)]
        target = [float(each[:, columns[name]].mean()) for each in said] if name in columns else []
        drift = [float((each - middle)[:, seen_locks].abs().mean()) if seen_locks else 0.0 for each in said]
        found[locked] = target, drift
        if locked:
            strip = [torch.stack([each[place] for each in images]).cpu() for place in range(SHOWN)]
    return AxisResponse(name, held, found[False][0], found[True][0], found[False][1], found[True][1], torch.cat(strip))


def signed_heat(names: Sequence[str], matrix: Tensor, caption: str) -> str:
    """A matrix of cosines as a heat map: numbers in hundredths, blank below 0.05; negative ones are blue."""
    top = "".join(f'<th class="v"><span>{report.text(word)}</span></th>' for word in names)
    body = ""
    for row, name in enumerate(names):
        line = ""
        for column, other in enumerate(names):
            value = float(matrix[row, column])
            hue = "var(--heat)" if value >= 0 else "47, 111, 143"
            own = ' class="own"' if row == column else ""
            said = f"{100 * value:.0f}" if abs(value) >= 0.05 else ""
            shade = min(1.0, abs(value)) * 0.85
            title = report.text(f"{name} and {other}: {value:.3f}")
            line += f'<td{own} style="background:rgba({hue},{shade:.2f})" title="{title}">{said}</td>'
        body += f'<tr><th class="h">{report.text(name)}</th>{line}</tr>'
    return (
        f'<figure><div class="scroll"><table class="heat"><tr><th></th>{top}</tr>{body}</table></div>'
        f"<figcaption>{report.text(caption)}</figcaption></figure>"
    )


def write_axes_report(
    model: Model,
    pack: AxisPack,
    judge: Judges,
    out: Path,
    *,
    locks: Sequence[str] | None = None,
    count: int = COUNT,
    progress: Any = None,
) -> Path:
    """Write axes.html and axes.json into a folder.

    Args:
        model: the generator.
        pack: its axes.
        judge: who looks at the moved pictures.
        out: the folder.
        locks: attributes that are locked; None: all but the edited one.
        count: drawn codes of each response.
        progress: called with (axes done, axes in all).

    Returns:
        The path of the page.
    """
    pack.check(model)
    before, after = correlations(pack, locks)
    responses = []
    for place, name in enumerate(pack.names, start=1):
        responses.append(respond(model, pack, judge, name, locks, count=count))
        if progress is not None:
            progress(place, len(pack.names))
    write_json(out / "axes.json", figures(pack, before, after, responses))
    told = "all others" if locks is None else ", ".join(locks) or "none"
    return report.write_page(
        out / "axes.html",
        title=f"Axes of {pack.model}",
        eyebrow="attrimorph axes show",
        lead=f"{len(pack.names)} directions in its codes, each for one attribute. Locked where it says so: {told}.",
        pieces=[
            report.tiles(headline(before, after, responses, judge.name)),
            *overlaps(pack, before, after),
            *curves_of(responses, judge.name, count),
            report.heading("How they look", "Strengths from -1 to 1, the locks on; three drawn codes each."),
            *[report.folded(each.name, report.picture(strip_of(each), each.name)) for each in responses],
            report.heading("All axes"),
            facts_table(pack, locks),
        ],
        footer=f"attrimorph {__version__}; generator {pack.model} {pack.model_sha256[:16]}; "
        f"fitted from {pack.about.get('samples', '?'):,} drawn pictures judged by {pack.about.get('by', '?')}",
    )


def headline(
    before: Tensor, after: Tensor, responses: Sequence[AxisResponse], judge: str
) -> list[tuple[str, str, str]]:
    """Return the tiles."""
    apart = ~torch.eye(len(before), dtype=torch.bool)
    entries = []
    if bool(apart.any()):
        overlap = float(before[apart].abs().amax())
        entries.append((f"{overlap:.2f}", "largest overlap of two axes", "cosine, before untangling"))
    judged = [each for each in responses if each.locked]
    if judged:
        ends = sum(each.locked[-1] for each in judged) / len(judged)
        entries.append((f"{ends:.0%}", "seen after it is set", f"mean probability by {judge}, locks on"))
        for word, drifts in (
            ("without locks", [each.drift_alone[-1] for each in judged]),
            ("with locks", [each.drift_locked[-1] for each in judged]),
        ):
            mean = sum(drifts) / len(drifts)
            entries.append((f"{mean:.1%}", f"change of the others, {word}", "mean change of probability at strength 1"))
    return entries


def overlaps(pack: AxisPack, before: Tensor, after: Tensor) -> list[str]:
    """Return the section of the two matrices."""
    return [
        report.heading(
            "Overlap",
            "The cosine of two axes is the correlation of what they score in drawn codes. Moving along one moves the "
            "score along another by it.",
        ),
        signed_heat(pack.names, before, "Before untangling, in hundredths."),
        signed_heat(
            pack.names,
            after,
            "After: each row's axis with its locks taken out, against the axes as they were. What is left in the row "
            "besides itself is what was not locked.",
        ),
    ]


def curves_of(responses: Sequence[AxisResponse], judge: str, count: int) -> list[str]:
    """Return the section of the response curves."""
    charts = []
    for each in responses:
        if each.alone:
            series = {
                "alone": list(zip(STRENGTHS, each.alone, strict=True)),
                "with locks": list(zip(STRENGTHS, each.locked, strict=True)),
                "locked attributes, change": list(zip(STRENGTHS, each.drift_locked, strict=True)),
            }
            charts.append(chart(each.name, series, x_label="strength"))
    below = f"Mean probability by {judge} over {count} drawn codes, at strengths from -1 to 1."
    return [report.heading("Response", below), report.curves(charts)] if charts else []


def strip_of(response: AxisResponse) -> Any:
    """Return the pictures of an axis as a sheet."""
    rows = list(torch.split(response.strip, len(STRENGTHS)))
    return sheet(rows, columns=[f"{strength:+g}" for strength in STRENGTHS], cell=96, clear=True)


def facts_table(pack: AxisPack, locks: Sequence[str] | None) -> str:
    """Return the table of all axes."""
    rows = []
    for name, axis in pack.axes.items():
        facts = axis.facts
        rows.append(
            [
                report.text(name),
                report.percent(facts.get("present")),
                report.percent(facts.get("told by the score")),
                report.percent(facts.get("expected when set")),
                report.percent(facts.get("expected when taken away")),
                f"{axis.low:+.2f} … {axis.high:+.2f}",
                report.percent(free_share(pack, name, locks_for(name, pack.names, locks))),
                report.text(str(facts.get("by", pack.about.get("by", "")))),
            ]
        )
    head = ["attribute", "present", "told by the score", "expected set", "taken away", "goals", "left by locks", "by"]
    return report.table(head, rows, numbers=(1, 2, 3, 4, 5, 6))


def figures(pack: AxisPack, before: Tensor, after: Tensor, responses: Sequence[AxisResponse]) -> dict[str, Any]:
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
            each.name: {
                "locks": list(each.locks),
                "alone": each.alone,
                "with locks": each.locked,
                "change of the locked, alone": each.drift_alone,
                "change of the locked, with locks": each.drift_locked,
            }
            for each in responses
        },
        "axes": {name: dict(axis.facts) | {"low": axis.low, "high": axis.high} for name, axis in pack.axes.items()},
    }
