"""Charts as images, laid out as those of the pages are."""

import math
from collections.abc import Iterator, Sequence
from itertools import cycle, pairwise

from PIL import Image as PILImage
from PIL import ImageColor, ImageDraw

from nstk.images.image import Image
from nstk.reports.pages.lines import WIDTH, Curve, LineChart, LinePlot, Place
from nstk.reports.sheets.lettering import measure_text, write_text
from nstk.reports.sheets.sheet import INK, PAPER, QUIET_INK, from_image

_RULE = (222, 226, 230)
_LETTERS = 13
_Ink = str | tuple[int, int, int]
_GRAY = "#5a626b"
_PALE = 40
"""How opaque bands are, of 255."""

_FINER = 3
"""Lines are drawn this many times larger and then brought down, which smooths them."""


def draw_chart(chart: LineChart) -> Image:
    """Draw curves over a common axis.

    Args:
        chart: What `nstk.reports.pages` puts on a page; markers are left out.

    Returns:
        float32 ``(height, 880, 3)`` in ``[0, 1]``, as a cell of a sheet.
    """
    plot = chart.lay_out()
    title = 22 if chart.title else 0
    size = (round(WIDTH), round(plot.height) + title)
    large = PILImage.new("RGB", (size[0] * _FINER, size[1] * _FINER), PAPER)
    _draw_lines(ImageDraw.Draw(large, "RGBA"), plot, title)
    image = large.resize(size, PILImage.Resampling.LANCZOS)
    _draw_words(ImageDraw.Draw(image), plot, chart, title)
    return from_image(image)


def _draw_lines(draw: ImageDraw.ImageDraw, plot: LinePlot, shift: int) -> None:
    def at(x: float, y: float) -> Place:
        return x * _FINER, (y + shift) * _FINER

    def dot(x: float, y: float, radius: float, ink: _Ink) -> None:
        x, y = at(x, y)
        radius *= _FINER
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], ink)

    for tick in plot.y_axis.ticks:
        y = plot.bottom - tick.place * (plot.bottom - plot.top)
        draw.line([at(plot.left, y), at(plot.right, y)], _RULE, _FINER)
    draw.line([at(plot.left, plot.bottom), at(plot.right, plot.bottom)], QUIET_INK, _FINER)
    for tick in plot.x_axis.ticks:
        x = plot.left + tick.place * (plot.right - plot.left)
        draw.line([at(x, plot.bottom), at(x, plot.bottom + 4)], QUIET_INK, _FINER)
    for curve in plot.curves:
        if len(curve.outline) > 2:
            pale = ImageColor.getrgb(curve.hue.light if curve.hue else _GRAY)
            draw.polygon([at(*place) for place in curve.outline], (*pale[:3], _PALE))
    for curve in plot.curves:
        ink = curve.hue.light if curve.hue else QUIET_INK
        for stroke in _list_strokes(curve):
            if len(stroke) == 1:
                dot(*stroke[0], 1, ink)
            draw.line([at(*place) for place in stroke], ink, 2 * _FINER, joint="curve")
        for x, y, _ in curve.points:
            dot(x, y, 3.5, ink)


def _list_strokes(curve: Curve) -> Iterator[Sequence[Place]]:
    """The parts of a curve between its gaps, in dashes where it has some."""
    runs: list[list[Place]] = [[]]
    for place in curve.places:
        if all(map(math.isfinite, place)):
            runs[-1].append(place)
        else:
            runs.append([])
    for run in filter(None, runs):
        yield from _dash(run, [float(length) for length in curve.dash.split()])


def _dash(run: Sequence[Place], pattern: Sequence[float]) -> Iterator[Sequence[Place]]:
    """Cut a line as SVG does: drawn and left out by turns, for these lengths."""
    if not pattern:
        yield run
        return
    lengths = cycle(pattern)
    stroke, drawn, left = [run[0]], True, next(lengths)
    for (x, y), end in pairwise(run):
        while (rest := math.dist((x, y), end)) > left:
            x, y = x + (end[0] - x) * left / rest, y + (end[1] - y) * left / rest
            if drawn:
                yield [*stroke, (x, y)]
            stroke, drawn, left = [(x, y)], not drawn, next(lengths)
        left -= rest
        stroke.append(end)
    if drawn:
        yield stroke


def _draw_words(draw: ImageDraw.ImageDraw, plot: LinePlot, chart: LineChart, shift: int) -> None:
    def write(x: float, y: float, text: str, anchor: str, ink: _Ink = QUIET_INK) -> None:
        write_text(draw, (x, y + shift), text, _LETTERS, ink, anchor)

    if chart.title:
        write_text(draw, (0, 0), chart.title, _LETTERS + 2, INK)
    for tick in plot.y_axis.ticks:
        y = plot.bottom - tick.place * (plot.bottom - plot.top)
        write(plot.left - 6, y, tick.label, "rm")
    free_from = 0.0
    for tick in plot.x_axis.ticks:
        x = plot.left + tick.place * (plot.right - plot.left)
        half = measure_text(tick.label, _LETTERS) / 2
        if x - half >= free_from:
            write(x, plot.bottom + 8, tick.label, "ma")
            free_from = x + half + 8
    write(plot.left, plot.top - 12, chart.y_label, "lb")
    write(plot.right, plot.bottom + 26, chart.x_label, "ra")
    for curve in plot.curves:
        ink = curve.hue.light if curve.hue else QUIET_INK
        write(plot.right + 10, curve.label_y, curve.label, "lm", ink)
