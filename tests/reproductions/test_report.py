"""Pages: self-contained, escaped, with curves where the numbers say."""

import re
from pathlib import Path

import pytest
from PIL import Image

from attrimorph import charts
from attrimorph.reproductions import report


def test_a_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    page = report.write_page(
        tmp_path / "page.html",
        title="A <title>",
        eyebrow="e",
        lead="l & m",
        pieces=[
            report.picture(Image.new("RGB", (8, 8)), "a picture"),
            report.curves([charts.chart("loss", {"a": [(0, 1), (1, 2)]})]),
        ],
        footer="f",
    )
    content = page.read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", content)
    assert "http" not in content
    assert "url(" not in content
    assert "A &lt;title&gt;" in content
    assert "l &amp; m" in content
    assert "prefers-color-scheme: dark" in content
    assert "data:image/webp;base64," in content


def test_a_chart_draws_its_points_in_place() -> None:
    svg = charts.chart("t", {"a": [(0, 0.0), (50, 5.0), (100, 10.0)], "b": [(0, float("nan")), (100, 10.0)]})
    first, second = (
        [tuple(map(float, pair.split(","))) for pair in points.split()]
        for points in re.findall(r'points="([^"]+)"', svg)
    )
    assert len(first) == 3
    assert len(second) == 1
    assert first[1] == pytest.approx(((first[0][0] + first[2][0]) / 2, (first[0][1] + first[2][1]) / 2), abs=0.1)
    assert first[0][1] > first[2][1]
    assert second[0] == first[2]
    assert charts.chart("t", {"a": [(0, float("nan"))]}) == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 50, 100]),
        (0, 8, [0, 2, 4, 6, 8]),
        (0.13, 0.52, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        (-3, 3, [-4, -2, 0, 2, 4]),
        (5, 5, [5, 10]),
    ],
)
def test_ticks_are_round_and_span(low: float, high: float, expected: list[float]) -> None:
    found = charts.ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    if len(expected) > 2:
        assert found == pytest.approx(expected)


def test_numbers_are_short() -> None:
    assert [charts.short(value) for value in (0, 0.25, 1500, 48_000, 0.1 + 0.2)] == ["0", "0.25", "1500", "48k", "0.3"]


def test_bars_and_tables_show_their_values() -> None:
    assert "width:37%" in report.written(0.3712, "bar")
    assert "37.1 %" in report.written(0.3712, "bar")
    assert report.written(None, "bar") == "–"
    html = report.table(["a", "b"], [["x", "1"]], numbers=[1])
    assert '<th class="n">b</th>' in html
    assert '<td class="n">1</td>' in html
    html = report.table(["a", "b", "c"], [["<i>", report.bold("<i>"), 0.123]], form=".1f", forms={"c": "%"})
    assert "<td>&lt;i&gt;</td><td><b>&lt;i&gt;</b></td><td>12.3 %</td>" in html


def test_a_heat_map_frames_the_edited_attribute_and_leaves_small_cells_empty() -> None:
    html = report.heat({"A": {"A": 0.2, "B": 0.004}}, "c")
    assert re.search(r'<td class="own"[^>]*>20</td>', html)
    assert re.search(r'title="A edited: B wrong in 0.4 %"></td>', html)


def test_a_band_reaches_from_the_lowest_to_the_highest_seed_and_colours_do_not_repeat() -> None:
    series = {name: [(0.0, 1.0), (10.0, 2.0)] for name in "abcdefg"}
    drawn = charts.chart("loss", series, bands={"a": [(0, 0, 2), (10, 2, 2)], "b": [(0, 1, 1), (10, 2, 2)]})
    # The axis spans 0..2: the band of "a" begins at its whole height; that of "b" is no wider than its line.
    (points,) = re.findall(r'<polygon points="([^"]+)"', drawn)
    assert points.split() == ["46.0,12.0", "350.0,12.0", "350.0,12.0", "46.0,158.0"]
    looks = re.findall(r'stroke="(var[^"]+)"[^>]*?(stroke-dasharray|/>)', drawn)
    assert len(set(looks)) == len(looks) == 7
    assert "g (dashed)" in drawn
