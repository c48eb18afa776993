"""Contact sheets: nothing is cut, nothing overlaps, images are shown unchanged."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstk.reports.figures import HeatMap, LineChart, Series, draw_chart, paint_shares
from nstk.reports.figures.text import clean_text, load_font, measure_text, wrap_text
from nstk.reports.sheets import Cell, Row, draw_sheet, fit_width, tile_images


def plain(height, width, color):
    return np.full((height, width, 3), np.float32(color), np.float32)


def count(sheet, color):
    return int((np.abs(sheet - np.float32(color)).max(axis=-1) < 1e-3).sum())


TOP, BOTTOM = 34, 46
"""Margins of a line chart above and below its frame."""

COLORS = [(0.8, 0, 0), (0, 0.8, 0), (0, 0, 0.8), (0.8, 0.8, 0), (0, 0.8, 0.8), (0.8, 0, 0.8)]


@settings(max_examples=20)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6),
    caption=st.text(max_size=40),
    width=st.integers(100, 400),
)
def test_every_image_is_on_the_sheet_with_all_its_pixels(sizes, caption, width):
    cells = [Cell(plain(*size, color), caption) for size, color in zip(sizes, COLORS, strict=False)]
    rows = [Row(cells[:2], heading=caption), *([Row(cells[2:])] if cells[2:] else [])]
    sheet = draw_sheet("title", rows, width=width)
    assert sheet.dtype == np.float32
    for (height, wide), color in zip(sizes, COLORS, strict=False):
        assert count(sheet, np.round(np.float32(color) * 255) / 255) == height * wide


def test_margins_are_empty():
    cells = [Cell(plain(30, 40, 0.5), "a-caption-without-any-space-" * 3)] * 3
    sheet = draw_sheet("A long title " * 30, [Row(cells, "heading " * 40)], note="note " * 99)
    for edge in (sheet[:12], sheet[-12:], sheet[:, :12], sheet[:, -12:]):
        assert edge.min() == 1


def test_columns_line_up():
    row = [Cell(plain(20, 30, color), "x") for color in COLORS[:3]]
    sheet = draw_sheet("grid", [Row(row), Row(row)])
    for color in COLORS[:3]:
        of_color = np.abs(sheet - np.round(np.float32(color) * 255) / 255).max(axis=-1) < 1e-3
        assert of_color.sum(axis=0).max() == 40


def test_a_caption_uses_the_space_beside_a_taller_image():
    tall, small = plain(200, 90, 0), plain(60, 90, 0)
    bare, told = (
        draw_sheet("sheet", [Row([Cell(tall), Cell(small, caption)])])
        for caption in ("", "one\ntwo\nthree")
    )
    assert told.shape == bare.shape
    assert (told != bare).any()


def test_the_number_of_columns_can_be_chosen():
    cells = [Cell(plain(10, 100, 0.5))] * 4
    two, four = (draw_sheet("", [Row(cells)], columns=columns) for columns in (2, 4))
    assert two.shape[0] > four.shape[0]
    assert two.shape[1] < four.shape[1]


@given(st.text(max_size=200), st.integers(30, 300))
def test_wrapped_text_fits_and_is_complete(text, width):
    lines = wrap_text(text, 13, width)
    assert all(measure_text(line, 13) <= width for line in lines)
    given = clean_text(text.replace("\n", " "))
    assert "".join(lines).replace(" ", "") == given.replace(" ", "")


def test_a_list_of_names_is_broken_after_commas():
    names = "block1_conv1,block2_conv1,block3_conv1"
    lines = wrap_text(f"style-layers {names}", 13, 128)
    assert lines == ["style-layers", "block1_conv1,", "block2_conv1,", "block3_conv1"]


def test_the_font_has_the_letters_of_names_and_formulas():
    font = load_font(40)
    missing = font.getmask("\uffff")
    for letter in "aßÅżЖαβγλσμ√∑≤≥≈·×−–…→‖⁰⁴⁻½€“”\u202f":
        assert bytes(font.getmask(letter)) != bytes(missing), letter


def test_control_characters_and_line_breaks_are_replaced():
    assert clean_text("a\x00b\tc\udcff") == "a\ufffdb c\ufffd"


def test_tiles_and_enlarged_pixels_are_exact():
    tiles = tile_images([plain(2, 3, k / 8) for k in range(5)], 2, gap=1)
    assert tiles.shape == (8, 7, 3)
    assert tiles[0, 0, 0] == 0
    assert tiles[3, 4, 0] == np.float32(3 / 8)
    assert tiles[6:, 4:].min() == 1
    assert fit_width(tiles, 21)[::3, ::3] == pytest.approx(tiles, abs=0.6 / 255)
    assert fit_width(tiles, 14).shape == (16, 14, 3)


def test_shares_are_painted_from_dark_to_bright_and_clipped():
    shares = paint_shares(np.float32([[0, 1], [-4, 7]]))
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0, 1].sum() > shares[0, 0].sum()


def test_a_chart_draws_every_curve_in_its_own_color_and_shape():
    x = list(range(1, 40))
    curves = [Series(name, x, [a / v for v in x]) for name, a in (("one", 1.0), ("two", 3.0))]
    chart = draw_chart(LineChart(curves, "steps", "loss", title="Loss", log_y=True))
    blue = (chart[..., 2] > chart[..., 0] + 0.4) & (chart[..., 0] < 0.3)
    rows, columns = np.nonzero(blue[:, :700])
    assert rows[columns.argmin()] < rows[columns.argmax()]
    vermilion = (chart[..., 0] > 0.6) & (chart[..., 2] < 0.3)
    assert vermilion[:, :700].any()


def inked(chart, number):
    """Which columns of a drawn chart have ink where one of its level curves runs."""
    top, bottom = TOP, chart.height - BOTTOM
    value = next(y for y in chart.series[number].y if math.isfinite(y))
    row = round(bottom - value * (bottom - top))
    left = math.ceil(measure_text("0.0")) + 14
    right = int(880 - max(measure_text(series.label) for series in chart.series) - 26)
    columns = draw_chart(chart)[row, left:right]
    return columns.max(axis=-1) - columns.min(axis=-1) > 0.2


def test_gaps_and_single_points_of_a_curve_are_visible():
    heights = [0.5, 0.5, math.nan, 0.5, math.nan, 0.5, 0.5]
    ink = inked(LineChart([Series("a", range(7), heights)], "x", "y", y_range=(0, 1)), 0)
    places = [round(share * (len(ink) - 1)) for share in (1 / 12, 2 / 6, 3 / 6, 4 / 6, 11 / 12)]
    assert [bool(ink[place - 1 : place + 2].any()) for place in places] == [1, 0, 1, 0, 1]


def test_curves_of_one_color_differ_by_their_dashes():
    levels = [Series(str(n), [0, 1], [n / 10 + 0.05] * 2) for n in range(8)]
    chart = LineChart(levels, "x", "y", y_range=(0, 1))
    assert inked(chart, 0).mean() > 0.99
    assert 0.5 < inked(chart, 7).mean() < 0.9


def test_a_band_covers_its_interval():
    def draw(low, high):
        series = Series("share", [1, 2, 3], [0.5, 0.5, 0.5], low, high)
        return draw_chart(LineChart([series], "x", "y", y_range=(0, 1)))

    changed = np.abs(draw([0.2] * 3, [0.8] * 3) - draw((), ())).max(axis=-1) > 0.02
    rows = np.flatnonzero(changed.mean(axis=1) > 0.5)
    axis = 340 - TOP - BOTTOM
    assert len(rows) == pytest.approx(0.6 * axis, rel=0.05)
    assert (rows.min() - TOP) / axis == pytest.approx(0.2, abs=0.02)


def test_turned_words_are_drawn_whole():
    def draw(label):
        return draw_chart(HeatMap(["a", "b"], ["a", "b"], [[1, 0], [0, 1]], label))

    changed = np.abs(draw("true class") - draw("·")).max(axis=-1) > 0.3
    rows = np.flatnonzero(changed[:, :16].any(axis=1))
    assert np.ptp(rows) == pytest.approx(measure_text("← true class"), abs=5)
