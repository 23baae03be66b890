"""Charts as pictures: distributions beside each other, curves, and points on a map."""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from attrimorph.pictures import GREY, INK, PAPER

COLOURS = ((38, 104, 189), (214, 96, 36), (62, 144, 80), (150, 70, 160), (190, 155, 20), (20, 150, 160),
           (200, 60, 90), (110, 110, 120))  # fmt: skip
WIDTH, HEIGHT, MARGIN = 640, 260, 44
MOST_BINS = 48
MOST_NAMES = 8


def histograms(series: Mapping[str, Tensor], label: str, *, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Draw the distributions of several sets of values over one axis, each as a line of shares.

    Args:
        series: name -> values [N].
        label: what the values are.
        width, height: of the picture, in pixels.
    """
    values = torch.cat(list(series.values())).double()
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1
    # About the square root of the number of values: fewer would hide, more would show chance.
    bins = max(8, min(MOST_BINS, round(min(len(each) for each in series.values()) ** 0.5)))
    shares = {name: torch.histc(each.double(), bins, low, high) / len(each) for name, each in series.items()}
    top = max(float(share.max()) for share in shares.values())
    page, draw, font = _page(width, height)
    left, right, base, roof = MARGIN // 2, width - MARGIN // 2, height - MARGIN, 16 + 18 * len(series)
    draw.line([left, base, right, base], GREY)
    for number, (name, share) in enumerate(shares.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [
            (left + (bin_ + 0.5) / bins * (right - left), base - float(value) / top * (base - roof))
            for bin_, value in enumerate(share)
        ]
        draw.line(points, colour, 2)
        middle = float(series[name].double().median())
        place = left + (middle - low) / (high - low) * (right - left)
        draw.line([place, base - 10, place, base], colour, 2)
        draw.text((left, 8 + 18 * number), f"{name}: median {middle:.4g}", colour, font)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        place = left + tick * (right - left)
        draw.text((place, base + 12), f"{low + tick * (high - low):.3g}", INK, font, anchor="mm")
    draw.text((width / 2, height - 12), label, INK, font, anchor="mm")
    return page


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_label: str,
    *,
    width: int = WIDTH,
    height: int = 420,
) -> Image.Image:
    """Draw curves over one axis, and the straight line from the first corner to the last in grey.

    Args:
        series: name -> points (x, y), x ascending.
        x_label, y_label: what the axes are.
        width, height: of the picture, in pixels.
    """
    points = [point for each in series.values() for point in each]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(0.0, *(y for _, y in points)), max(1.0, *(y for _, y in points))
    page, draw, font = _page(width, height + 20 * len(series))
    left, right, base, roof = MARGIN, width - MARGIN // 2, height - MARGIN, 24

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - x_low) / ((x_high - x_low) or 1), (y - y_low) / ((y_high - y_low) or 1)
        return left + across * (right - left), base - up * (base - roof)

    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = x_low + tick * (x_high - x_low), y_low + tick * (y_high - y_low)
        draw.text((place(x, y_low)[0], base + 12), f"{x:.3g}", INK, font, anchor="mm")
        draw.text((left - 6, place(x_low, y)[1]), f"{y:.2g}", INK, font, anchor="rm")
    draw.line([left, base, right, base], GREY)
    draw.line([left, roof, left, base], GREY)
    draw.line([place(x_low, 0.0), place(x_high, 1.0)], GREY)
    draw.text(((left + right) / 2, height - 12), x_label, INK, font, anchor="mm")
    draw.text((left, roof - 12), y_label, INK, font, anchor="lm")
    for number, (name, curve) in enumerate(series.items()):
        draw.line([place(x, y) for x, y in curve], _colour(number), 2)
        row = height + 20 * number
        draw.rectangle([left, row + 3, left + 10, row + 13], _colour(number))
        draw.text((left + 16, row), name, INK, font)
    return page


def scatter(points: Tensor, groups: Tensor, names: Sequence[str], *, side: int = WIDTH) -> Image.Image:
    """Draw points in the colours of their groups.

    Args:
        points: [N, 2].
        groups: int64 [N], places in `names`; -1 = grey.
        names: of the groups; the first few are named beside their colours.
        side: of the picture, in pixels.
    """
    page, draw, font = _page(side, side + 20 * (1 + (min(len(names), MOST_NAMES) - 1) // 2))
    low, high = points.double().amin(0), points.double().amax(0)
    places = (points.double() - low) / (high - low).clamp(min=1e-12)
    # No group is drawn wholly over another.
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0)).tolist()
    radius = 1 if len(points) > 2000 else 2
    for row in order:
        x, y = (MARGIN / 2 + place * (side - MARGIN) for place in places[row].tolist())
        y = side - y
        group = int(groups[row])
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], GREY if group < 0 else _colour(group))
    for number, name in enumerate(names[:MOST_NAMES]):
        x, y = MARGIN // 2 + (number % 2) * side // 2, side + 20 * (number // 2)
        draw.rectangle([x, y + 3, x + 10, y + 13], _colour(number))
        draw.text((x + 16, y), name, INK, font)
    return page


def stacked(pictures: Sequence[Image.Image], gap: int = 8) -> Image.Image:
    """Lay pictures one below the other on white paper."""
    width = max(picture.width for picture in pictures)
    page = Image.new("RGB", (width, sum(picture.height + gap for picture in pictures) - gap), PAPER)
    top = 0
    for picture in pictures:
        page.paste(picture, (0, top))
        top += picture.height + gap
    return page


def _page(
    width: int, height: int
) -> tuple[Image.Image, ImageDraw.ImageDraw, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    page = Image.new("RGB", (width, height), PAPER)
    return page, ImageDraw.Draw(page), ImageFont.load_default(13)


def _colour(group: int) -> tuple[int, int, int]:
    return COLOURS[group % len(COLOURS)]
