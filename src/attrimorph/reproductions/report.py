"""Pages: one self-contained HTML file, light or dark as the reader's screen, with no request to anywhere.

Every function returns a piece of HTML; `write_page` puts pieces together.
"""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from attrimorph.files import refuse_foreign, write_json, write_text
from attrimorph.version import __version__

STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")


class Html(str):
    """What is HTML already; other words are escaped where they stand in a table."""


Cell = str | float | None


def text(words: str) -> Html:
    """Escape words for HTML."""
    return Html(html.escape(words))


def bold(words: str) -> Html:
    """Words that stand out."""
    return Html(f"<b>{text(words)}</b>")


def small(words: str, below: str) -> Html:
    """Words, and below them smaller ones where there are any."""
    return Html(f"{written(words)}<br><small>{text(below)}</small>" if below else written(words))


def code(words: str) -> Html:
    """A name as a computer reads it."""
    return Html(f"<code>{text(words)}</code>")


def write_page(path: Path, *, title: str, eyebrow: str, lead: str, pieces: Sequence[str], footer: str) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        title, eyebrow, lead, footer: plain words.
        pieces: HTML.
    """
    refuse_foreign([path])
    write_text(
        path,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="attrimorph"><meta name="color-scheme" content="light dark">
<title>{text(title)}</title><style>{STYLE}</style></head>
<body><main><p class="eyebrow">{text(eyebrow)}</p><h1>{text(title)}</h1><p class="lead">{text(lead)}</p>
{chr(10).join(pieces)}
<footer>{text(footer)}</footer></main></body></html>
""",
    )
    return path


def write_values(path: Path, form: str, version: int, values: Mapping[str, Any]) -> None:
    """Write plain values as JSON, below what they are and what wrote them."""
    refuse_foreign([path])
    write_json(path, {"format": form, "format_version": version, "attrimorph": __version__, **values})


def heading(words: str, below: str = "", *, level: int = 2) -> str:
    """A section's title, and a paragraph below it."""
    return f"<h{level}>{text(words)}</h{level}>" + (f"<p>{text(below)}</p>" if below else "")


def note(words: str) -> str:
    """A remark that must not be overlooked."""
    return f'<p class="note">{text(words)}</p>'


def tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    """Figures in large print: (value, what it is, how it was measured)."""
    cells = "".join(
        f'<div class="tile"><b>{text(value)}</b><span>{text(name)}</span><small>{text(how)}</small></div>'
        for value, name, how in entries
    )
    return f'<div class="tiles">{cells}</div>'


def inline(image: Image.Image) -> str:
    """A picture as a data address: WebP of high quality, a tenth of the PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=92, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture(image: Image.Image, caption: str = "", *, width: int | None = None, alt: str = "") -> Html:
    """A picture with a caption, at most as wide as the page; `alt` describes one that has none."""
    shown = min(width or image.width, 1024)
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Html(f'<figure><img src="{inline(image)}" width="{shown}" alt="{text(caption or alt)}">{below}</figure>')


def animation(content: bytes, caption: str, *, width: int = 192) -> str:
    """An animated GIF with a caption."""
    address = "data:image/gif;base64," + base64.b64encode(content).decode()
    return (
        f'<figure><img src="{address}" width="{width}" alt="{text(caption)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def folded(summary: str, *pieces: str) -> str:
    """Pieces that open on a click."""
    return f"<details><summary>{text(summary)}</summary>{''.join(pieces)}</details>"


def percent(share: float | None) -> str:
    """A share in 0..1 as a percentage, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"


def written(value: Cell, form: str = ".3g") -> str:
    """Write a cell: words, escaped where they are no HTML; a figure by its form; a dash where there is none.

    Args:
        value: of the cell.
        form: of a figure: as of `format`, or with braces as of `str.format`; "%" is a percentage, "bar" one with a bar.
    """
    if isinstance(value, str):
        return value if isinstance(value, Html) else text(value)
    if value is None or math.isnan(value):
        return "–"
    if form == "bar":
        filled = 100 * min(1.0, max(0.0, value))
        return (
            f'<span class="share"><span class="bar"><i style="width:{filled:.0f}%"></i></span>{percent(value)}</span>'
        )
    if form == "%":
        return percent(value)
    return form.format(value) if "{" in form else format(value, form)


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    numbers: Sequence[int] = (),
    form: str = ".3g",
    forms: Mapping[str, str] | None = None,
) -> str:
    """A table.

    Args:
        head: of the columns.
        rows: their cells.
        numbers: the columns that are set flush right.
        form: how a figure is written; see `written`.
        forms: of columns that are written otherwise.
    """
    kind = {column: ' class="n"' for column in numbers}
    form_of = [(forms or {}).get(word, form) for word in head]
    top = "".join(f"<th{kind.get(column, '')}>{text(word)}</th>" for column, word in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind.get(c, '')}>{written(cell, form_of[c])}</td>" for c, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def figures(
    rows: Mapping[str, Mapping[str, Cell]], form: str = ".3g", corner: str = "", forms: Mapping[str, str] | None = None
) -> str:
    """A table of figures, a row each.

    Args:
        rows: name -> {column: figure}; the first row tells the columns.
        form, forms: as of `table`.
        corner: above the names.
    """
    columns = list(next(iter(rows.values()), {}))
    body = [[name, *(row.get(column) for column in columns)] for name, row in rows.items()]
    return table([corner, *columns], body, numbers=range(1, len(columns) + 1), form=form, forms=forms)


def heat(
    matrix: Mapping[str, Mapping[str, float]],
    caption: str,
    title: str = "{row} edited: {column} wrong in {percent}",
    *,
    full: float = 0.4,
    least: float = 0.005,
) -> str:
    """A matrix as a heat map: cells are hundredths, negative ones blue.

    Args:
        matrix: row -> {column: value}.
        caption: below it.
        title: of a cell, with row, column, value and percent in braces.
        full: the value of the darkest shade.
        least: what is smaller is left blank.
    """
    columns = list(next(iter(matrix.values())))
    top = "".join(f'<th class="v"><span>{text(word)}</span></th>' for word in columns)
    body = ""
    for row, cells in matrix.items():
        line = ""
        for column in columns:
            value = cells[column]
            hue, shade = "var(--heat)" if value >= 0 else "47, 111, 143", min(1.0, abs(value) / full) * 0.85
            own = ' class="own"' if row == column else ""
            words = title.format(row=row, column=column, value=value, percent=f"{100 * value:.1f} %")
            inside = f"{100 * value:.0f}" if abs(value) >= least else ""
            line += f'<td{own} style="background:rgba({hue},{shade:.2f})" title="{text(words)}">{inside}</td>'
        body += f'<tr><th class="h">{text(row)}</th>{line}</tr>'
    return (
        f'<figure><div class="scroll"><table class="heat"><tr><th></th>{top}</tr>{body}</table></div>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def commands(lines: Sequence[tuple[str, str]]) -> str:
    """Commands to copy: (what it does, the command)."""
    return "<pre>" + "\n".join(f"<i># {text(what)}</i>\n{text(line)}" for what, line in lines) + "</pre>"


def curves(charts: Sequence[str]) -> str:
    """Charts side by side."""
    return f'<div class="curves">{"".join(charts)}</div>'
