"""Charts as pictures, laid out as those of the pages are."""

import re
from dataclasses import replace

from PIL import Image, ImageColor, ImageDraw

from nstk.media.pictures import Picture
from nstk.pages.lines import WIDTH, LineChart, LinePlot
from nstk.sheets.lettering import find_font, measure_text, spell
from nstk.sheets.sheet import INK, PAPER, QUIET_INK, from_image

_RULE = (222, 226, 230)
_LETTERS = 13
_Ink = str | tuple[int, int, int]
_GREY = "#5a626b"
_PALE = 40
"""How opaque bands are, of 255."""

_PLACES = re.compile(r"[ML](\S+?) ([\d.-]+)")
_FINER = 3
"""Lines are drawn this many times larger and then brought down, which smooths them."""


def draw_chart(chart: LineChart) -> Picture:
    """Draw curves over a common axis.

    Args:
        chart: What `nstk.pages` puts on a page; markers are left out.

    Returns:
        float32 ``(height, 880, 3)`` in ``[0, 1]``, as a cell of a sheet.
    """
    plot = replace(chart, points=True).lay_out()
    title = 22 if chart.title else 0
    size = (round(WIDTH), round(plot.height) + title)
    large = Image.new("RGB", (size[0] * _FINER, size[1] * _FINER), PAPER)
    _draw_lines(ImageDraw.Draw(large, "RGBA"), plot, chart, title)
    image = large.resize(size, Image.Resampling.LANCZOS)
    _draw_words(ImageDraw.Draw(image), plot, chart, title)
    return from_image(image)


def _draw_lines(draw: ImageDraw.ImageDraw, plot: LinePlot, chart: LineChart, shift: int) -> None:
    def at(x: float, y: float) -> tuple[float, float]:
        return x * _FINER, (y + shift) * _FINER

    for tick in plot.y_axis.ticks:
        y = plot.bottom - tick.place * (plot.bottom - plot.top)
        draw.line([at(plot.left, y), at(plot.right, y)], _RULE, _FINER)
    draw.line([at(plot.left, plot.bottom), at(plot.right, plot.bottom)], QUIET_INK, _FINER)
    for tick in plot.x_axis.ticks:
        x = plot.left + tick.place * (plot.right - plot.left)
        draw.line([at(x, plot.bottom), at(x, plot.bottom + 4)], QUIET_INK, _FINER)
    for curve in plot.curves:
        outline = [at(float(x), float(y)) for x, y in _PLACES.findall(curve.band)]
        if len(outline) > 2:
            pale = ImageColor.getrgb(curve.hue.light if curve.hue else _GREY)
            draw.polygon(outline, (*pale[:3], _PALE))
    for curve in plot.curves:
        ink = curve.hue.light if curve.hue else QUIET_INK
        places = [at(x, y) for x, y, _ in curve.points]
        draw.line(places, ink, 2 * _FINER, joint="curve")
        for x, y in places if chart.points else ():
            radius = 3.5 * _FINER
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], ink)


def _draw_words(draw: ImageDraw.ImageDraw, plot: LinePlot, chart: LineChart, shift: int) -> None:
    def write(x: float, y: float, text: str, anchor: str, ink: _Ink = QUIET_INK) -> None:
        draw.text((x, y + shift), spell(text), ink, find_font(_LETTERS), anchor=anchor)

    if chart.title:
        draw.text((0, 0), spell(chart.title), INK, find_font(_LETTERS + 2))
    for tick in plot.y_axis.ticks:
        y = plot.bottom - tick.place * (plot.bottom - plot.top)
        write(plot.left - 6, y, tick.label, "rm")
    free_from = 0.0
    for tick in plot.x_axis.ticks:
        x, half = (
            plot.left + tick.place * (plot.right - plot.left),
            measure_text(tick.label, 13) / 2,
        )
        if x - half >= free_from:
            write(x, plot.bottom + 8, tick.label, "ma")
            free_from = x + half + 8
    write(plot.left, plot.top - 12, chart.y_label, "lb")
    write(plot.right, plot.bottom + 26, chart.x_label, "ra")
    for curve in plot.curves:
        ink = curve.hue.light if curve.hue else QUIET_INK
        write(plot.right + 10, curve.label_y, curve.label, "lm", ink)
