"""Contact sheets: nothing is cut, nothing overlaps, every image is shown as it is."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from nstk.reports.pages.lines import LineChart, Series
from nstk.reports.sheets.charts import draw_chart
from nstk.reports.sheets.heat_maps import paint_shares, paint_signed
from nstk.reports.sheets.lettering import (
    find_font,
    format_value,
    measure_text,
    wrap_text,
    write_text,
)
from nstk.reports.sheets.sheet import Cell, Row, draw_sheet, fit_width, tile_images


def plain(height, width, color):
    return np.full((height, width, 3), np.float32(color), np.float32)


def count(sheet, color):
    return int((np.abs(sheet - np.float32(color)).max(axis=-1) < 1e-3).sum())


COLORS = [(0.8, 0, 0), (0, 0.8, 0), (0, 0, 0.8), (0.8, 0.8, 0), (0, 0.8, 0.8), (0.8, 0, 0.8)]


@settings(max_examples=30)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=6),
    caption=st.text(max_size=80),
    width=st.integers(100, 600),
)
def test_every_image_is_on_the_sheet_with_all_its_pixels(sizes, caption, width):
    cells = [Cell(plain(*size, color), caption) for size, color in zip(sizes, COLORS, strict=False)]
    rows = [Row(cells[:2], heading=caption), *([Row(cells[2:])] if cells[2:] else [])]
    sheet = draw_sheet("title", rows, width=width)
    assert sheet.dtype == np.float32
    for (height, wide), color in zip(sizes, COLORS, strict=False):
        assert count(sheet, np.round(np.float32(color) * 255) / 255) == height * wide


def test_margins_are_free_of_letters():
    cells = [Cell(plain(30, 40, 0.5), "a-caption-without-any-space-" * 3)] * 3
    sheet = draw_sheet("A long title " * 30, [Row(cells, "heading " * 40)], note="note " * 99)
    for edge in (sheet[:12], sheet[-12:], sheet[:, :12], sheet[:, -12:]):
        assert edge.min() == 1


def test_columns_stand_below_each_other():
    row = [Cell(plain(20, 30, color), "x") for color in COLORS[:3]]
    sheet = draw_sheet("grid", [Row(row), Row(row)])
    for color in COLORS[:3]:
        of_color = np.abs(sheet - np.round(np.float32(color) * 255) / 255).max(axis=-1) < 1e-3
        assert of_color.sum(axis=0).max() == 40


def test_a_caption_takes_the_room_beside_a_taller_image():
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
def test_wrapped_text_fits_and_loses_no_letter(text, width):
    lines = wrap_text(text, 13, width)
    assert all(measure_text(line, 13) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == format_value(text.replace("\n", " ")).replace(" ", "")


def test_a_list_of_names_is_broken_behind_commas():
    names = "block1_conv1,block2_conv1,block3_conv1"
    lines = wrap_text(f"style-layers {names}", 13, 128)
    assert lines == ["style-layers", "block1_conv1,", "block2_conv1,", "block3_conv1"]


def test_what_the_font_lacks_is_spelled():
    assert format_value("α = 10⁻³ × ½ – Müller…") == "alpha = 10⁻³ x 1/2 - Muller..."
    assert format_value("그림.png") == "??.png"


def test_powers_of_ten_are_raised():
    def find_ink(text, anchor="ls"):
        image = Image.new("L", (200, 100))
        write_text(ImageDraw.Draw(image), (100, 50), text, 26, "white", anchor)
        return image.getbbox()

    assert measure_text("10⁻⁴", 26) < measure_text("10-4", 26)
    ten, four = find_ink("10"), find_ink("⁴")
    assert four[1] < ten[1] < four[3] < ten[3]
    power = find_ink("10⁴")
    assert (power[0], power[1], power[3]) == (ten[0], four[1], ten[3])
    assert power[2] > ten[2]
    assert abs(find_ink("10⁴", "rs")[2] - 100) <= 2
    assert abs(sum(find_ink("10⁴", "ms")[::2]) - 200) <= 3


@pytest.mark.parametrize("anchor", ["la", "rm", "ma", "lb", "ls"])
def test_a_plain_line_stands_where_pillow_puts_it(anchor):
    image, other = (Image.new("L", (200, 100)) for _ in range(2))
    write_text(ImageDraw.Draw(image), (100, 50), "Layers, 25", 13, "white", anchor)
    ImageDraw.Draw(other).text((100, 50), "Layers, 25", "white", find_font(13), anchor=anchor)
    np.testing.assert_allclose(image.getbbox(), other.getbbox(), atol=1)


def test_tiles_and_enlarged_pixels_are_exact():
    tiles = tile_images([plain(2, 3, k / 8) for k in range(5)], 2, gap=1)
    assert tiles.shape == (8, 7, 3)
    assert tiles[0, 0, 0] == 0
    assert tiles[3, 4, 0] == np.float32(3 / 8)
    assert tiles[6:, 4:].min() == 1
    assert fit_width(tiles, 21)[::3, ::3] == pytest.approx(tiles, abs=0.6 / 255)
    assert fit_width(tiles, 14).shape == (16, 14, 3)


def test_heat_maps_have_the_ends_they_promise():
    shares = paint_shares(np.float32([[0, 1], [-4, 7]]))
    assert shares[0] == pytest.approx(shares[1])
    assert shares[0, 1].sum() > shares[0, 0].sum()
    blue, white, red = paint_signed(np.float32([[-1, 0, 1]]))[0]
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    assert white == pytest.approx(1)


def test_a_chart_draws_every_curve_in_a_color_of_its_own_and_falls_where_it_falls():
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
    plot = chart.lay_out()
    row = round(plot.curves[number].places[0][1])
    columns = draw_chart(chart)[row, math.ceil(plot.left) : int(plot.right)]
    return columns.max(axis=-1) - columns.min(axis=-1) > 0.2


def test_a_gap_in_a_curve_is_a_gap_on_the_sheet_and_a_lonely_point_is_seen():
    heights = [0.5, 0.5, math.nan, 0.5, math.nan, 0.5, 0.5]
    ink = inked(LineChart([Series("a", range(7), heights)], "x", "y", y_range=(0, 1)), 0)
    places = [round(share * (len(ink) - 1)) for share in (1 / 12, 2 / 6, 3 / 6, 4 / 6, 11 / 12)]
    assert [bool(ink[place - 1 : place + 2].any()) for place in places] == [1, 0, 1, 0, 1]


def test_curves_of_one_color_differ_by_their_dashes():
    levels = [Series(str(n), [0, 1], [n / 10 + 0.05] * 2) for n in range(8)]
    chart = LineChart(levels, "x", "y", y_range=(0, 1))
    assert chart.lay_out().curves[0].hue == chart.lay_out().curves[7].hue
    assert inked(chart, 0).mean() > 0.99
    assert 0.5 < inked(chart, 7).mean() < 0.9


def test_a_band_is_painted_between_its_lower_and_its_upper_ends():
    def draw(low, high):
        series = Series("share", [1, 2, 3], [0.5, 0.5, 0.5], low, high)
        return draw_chart(LineChart([series], "x", "y", y_range=(0, 1)))

    changed = np.abs(draw([0.2] * 3, [0.8] * 3) - draw((), ())).max(axis=-1) > 0.02
    rows = np.flatnonzero(changed.mean(axis=1) > 0.5)
    axis = 340 - 30 - 46  # the chart less its head and its foot
    assert len(rows) == pytest.approx(0.6 * axis, rel=0.05)
    assert (rows.min() - 30) / axis == pytest.approx(0.2, abs=0.02)
