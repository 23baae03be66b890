"""Charts: curves as SVG for pages, light or dark; curves, distributions and points on a map as pictures."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from attrimorph.pictures import GREY, INK, PAPER

Point = tuple[float, float]
Series = Mapping[str, Sequence[Point]]
Bands = Mapping[str, Sequence[tuple[float, float, float]]]
Colour = tuple[int, int, int]

HUES = ("var(--a)", "var(--b)", "var(--c)", "var(--d)", "var(--e)", "var(--f)")
COLOURS: tuple[Colour, ...] = ((38, 104, 189), (214, 96, 36), (62, 144, 80), (150, 70, 160), (190, 155, 20),
                               (20, 150, 160), (200, 60, 90), (110, 110, 120), (100, 70, 40))  # fmt: skip
WIDTH, HEIGHT, MARGIN, GAP = 640, 260, 44, 8
MOST_BINS = 48
MOST_NAMES = 8


@dataclass(frozen=True)
class Axes:
    """A rectangle on paper, and the numbers that it spans.

    Attributes:
        left, top, right, bottom: in pixels.
        x, y: from the lowest to the highest.
    """

    left: float
    top: float
    right: float
    bottom: float
    x: Point
    y: Point

    def place(self, x: float, y: float) -> Point:
        """Return where a point stands on paper."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that span low..high, about four steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def short(value: float) -> str:
    """Write a number short: 12k, 0.25, 3."""
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:.4g}"


def chart(
    title: str, series: Series, *, x_label: str = "images seen", bands: Bands | None = None, key: bool = False
) -> str:
    """A line chart as SVG.

    Args:
        title: above it.
        series: name -> points (x, y) with ascending x; points that are not finite are left out.
        x_label: below it.
        bands: name -> (x, lowest, highest): an area behind the line of that name.
        key: whether a single line is named too; lines keep the colours of their places in `series`.
    """
    areas = {n: [p for p in points if all(map(math.isfinite, p))] for n, points in (bands or {}).items()}
    # Beyond the last colour they begin again, dashed.
    looks = {name: (HUES[n % len(HUES)], n >= len(HUES)) for n, name in enumerate(series)}
    shown = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    shown = {name: points for name, points in shown.items() if points}
    if not shown:
        return ""
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    ys += [y for points in areas.values() for _, *ends in points for y in ends]
    x_ticks, y_ticks = ticks(min(0.0, min(xs)), max(xs)), ticks(min(ys), max(ys))
    width, height = 360, 190
    axes = Axes(46, 12, width - 10, height - 32, (x_ticks[0], max(xs)), (y_ticks[0], y_ticks[-1]))

    def path(points: Sequence[Point]) -> str:
        return " ".join(f"{across:.1f},{down:.1f}" for across, down in (axes.place(*point) for point in points))

    marks, lines, named = "", "", ""
    for y in y_ticks:
        _, down = axes.place(axes.x[0], y)
        marks += f'<line class="axis" x1="{axes.left}" y1="{down:.1f}" x2="{axes.right}" y2="{down:.1f}"/>'
        marks += f'<text x="{axes.left - 6}" y="{down + 4:.1f}" text-anchor="end">{short(y)}</text>'
    for x in (tick for tick in x_ticks if tick <= axes.x[1]):
        across, down = axes.place(x, axes.y[0])
        marks += f'<text x="{across:.1f}" y="{down + 16:.0f}" text-anchor="middle">{short(x)}</text>'
    middle = (axes.left + axes.right) / 2
    marks += f'<text x="{middle}" y="{height - 3}" text-anchor="middle">{html.escape(x_label)}</text>'
    for name, points in shown.items():
        (hue, dashed), area = looks[name], areas.get(name, [])
        if any(low < high for _, low, high in area):
            around = [(x, high) for x, _, high in area] + [(x, low) for x, low, _ in reversed(area)]
            lines += f'<polygon points="{path(around)}" fill="{hue}" opacity=".18"/>'
        dash = ' stroke-dasharray="5 3"' if dashed else ""
        lines += f'<polyline points="{path(points)}" fill="none" stroke="{hue}" stroke-width="1.8" '
        lines += f'stroke-linejoin="round"{dash}/>'
        if key or len(shown) > 1:
            named += f'<i style="background:{hue}"></i>{html.escape(name)}{" (dashed)" if dashed else ""}'
    return (
        f'<div class="curve"><b>{html.escape(title)}</b><span class="key">{named}</span>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}">{marks}{lines}</svg></div>'
    )


class Paper:
    """White paper with a plot above and the names of its colours below.

    Args:
        width, height: of the plot, in pixels.
        names: of what is drawn, in the order of the colours.
        columns: of names.
    """

    def __init__(self, width: int, height: int, names: Sequence[str] = (), columns: int = 1) -> None:
        self.page = Image.new("RGB", (width, height + 20 * math.ceil(len(names) / columns)), PAPER)
        self.draw, self.font = ImageDraw.Draw(self.page), ImageFont.load_default(13)
        for number, (name, colour) in enumerate(zip(names, colours(), strict=False)):
            x, y = MARGIN // 2 + number % columns * width // columns, height + 20 * (number // columns)
            self.draw.rectangle([x, y + 3, x + 10, y + 13], colour)
            self.draw.text((x + 16, y), name, INK, self.font)

    def x_axis(self, axes: Axes, label: str) -> None:
        """Draw a line below the plot, five numbers and what they are."""
        self.draw.line([axes.left, axes.bottom, axes.right, axes.bottom], GREY)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = axes.x[0] + share * (axes.x[1] - axes.x[0])
            self.draw.text((axes.place(x, axes.y[0])[0], axes.bottom + 12), f"{x:.3g}", INK, self.font, anchor="mm")
        self.draw.text(((axes.left + axes.right) / 2, axes.bottom + 32), label, INK, self.font, anchor="mm")

    def dots(self, axes: Axes, points: Sequence[Sequence[float]], look: Sequence[Colour], radius: float) -> None:
        """Draw points, each in its colour."""
        for (x, y), colour in zip(points, look, strict=True):
            across, down = axes.place(x, y)
            self.draw.ellipse([across - radius, down - radius, across + radius, down + radius], colour)


def colours() -> Iterator[Colour]:
    """Yield the colours, again and again."""
    while True:
        yield from COLOURS


def histograms(series: Mapping[str, Tensor], label: str) -> Image.Image:
    """Draw the distributions of several sets of values over one axis, each as a line of shares, medians marked.

    Args:
        series: name -> values [N].
        label: what the values are.
    """
    values = torch.cat(list(series.values())).double()
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1
    # About the square root of the number of values: fewer would hide, more would show chance.
    bins = max(8, min(MOST_BINS, round(min(len(each) for each in series.values()) ** 0.5)))
    shares = {name: torch.histc(each.double(), bins, low, high) / len(each) for name, each in series.items()}
    medians = {name: float(each.double().median()) for name, each in series.items()}
    paper = Paper(WIDTH, HEIGHT, [f"{name}: median {median:.4g}" for name, median in medians.items()])
    top = max(float(share.max()) for share in shares.values())
    axes = Axes(MARGIN // 2, 16, WIDTH - MARGIN // 2, HEIGHT - MARGIN, (low, high), (0, top))
    paper.x_axis(axes, label)
    for (name, share), colour in zip(shares.items(), colours(), strict=False):
        middles = [low + (number + 0.5) / bins * (high - low) for number in range(bins)]
        paper.draw.line([axes.place(*point) for point in zip(middles, share.tolist(), strict=True)], colour, 2)
        across, down = axes.place(medians[name], 0)
        paper.draw.line([across, down - 10, across, down], colour, 2)
    return paper.page


def lines(series: Series, x_label: str, y_label: str, *, width: int = WIDTH, height: int = 420) -> Image.Image:
    """Draw curves over one axis, and the straight line from the first corner to the last in grey.

    Args:
        series: name -> points (x, y), x ascending.
        x_label, y_label: what the axes are.
        width, height: of the plot, in pixels.
    """
    xs, ys = zip(*(point for each in series.values() for point in each), strict=True)
    paper = Paper(width, height, list(series))
    y_range = min(0.0, *ys), max(1.0, *ys)
    axes = Axes(MARGIN, 24, width - MARGIN // 2, height - MARGIN, (min(xs), max(xs)), y_range)
    paper.x_axis(axes, x_label)
    for y in (axes.y[0] + share * (axes.y[1] - axes.y[0]) for share in (0.0, 0.25, 0.5, 0.75, 1.0)):
        paper.draw.text((axes.left - 6, axes.place(axes.x[0], y)[1]), f"{y:.2g}", INK, paper.font, anchor="rm")
    paper.draw.line([axes.left, axes.top, axes.left, axes.bottom], GREY)
    paper.draw.line([axes.place(axes.x[0], 0.0), axes.place(axes.x[1], 1.0)], GREY)
    paper.draw.text((axes.left, axes.top - 12), y_label, INK, paper.font, anchor="lm")
    for curve, colour in zip(series.values(), colours(), strict=False):
        paper.draw.line([axes.place(*point) for point in curve], colour, 2)
    return paper.page


def scatter(points: Tensor, groups: Tensor, names: Sequence[str]) -> Image.Image:
    """Draw points in the colours of their groups.

    Args:
        points: [N, 2].
        groups: int64 [N], places in `names`; -1 = grey.
        names: of the groups; the first few are named beside their colours.
    """
    paper = Paper(WIDTH, WIDTH, names[:MOST_NAMES], columns=2)
    (x_low, y_low), (x_high, y_high) = points.double().amin(0).tolist(), points.double().amax(0).tolist()
    half = MARGIN / 2
    axes = Axes(half, half, WIDTH - half, WIDTH - half, (x_low, x_high), (y_low, y_high))
    # No group is drawn wholly over another.
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    look = [GREY if group < 0 else COLOURS[group % len(COLOURS)] for group in groups[order].tolist()]
    paper.dots(axes, points[order].tolist(), look, 1 if len(points) > 2000 else 2)
    return paper.page


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay pictures one below the other on white paper."""
    width = max(picture.width for picture in pictures)
    page = Image.new("RGB", (width, sum(picture.height + GAP for picture in pictures) - GAP), PAPER)
    top = 0
    for picture in pictures:
        page.paste(picture, (0, top))
        top += picture.height + GAP
    return page
