"""Drawings as pixels, for contact sheets."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, pairwise

import numpy as np
from PIL import Image as PILImage
from PIL import ImageColor, ImageDraw

from nstk.images.image import Image
from nstk.reports.figures.charts import BarChart, LineChart
from nstk.reports.figures.colors import THEME, Color, Hue
from nstk.reports.figures.drawing import Area, Dot, Line, Point, Shape, Words
from nstk.reports.figures.grids import Chain, HeatMap
from nstk.reports.figures.text import LETTER_SIZE, clean_text, load_font

_FINER = 3
"""Lines are drawn this many times larger and then brought down, which smooths them."""

_TITLE_SIZE, _TITLE_HEIGHT = 15, 26
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def draw_chart(chart: LineChart | BarChart | HeatMap | Chain) -> Image:
    """Draw a chart with its title as an image, such as a cell of a sheet."""
    if isinstance(chart, LineChart):
        chart = replace(chart, spots=())  # there are no sliders
    drawing = chart.draw()
    top = _TITLE_HEIGHT if chart.title else 0
    size = (math.ceil(drawing.width), math.ceil(drawing.height) + top)
    large = PILImage.new("RGB", (size[0] * _FINER, size[1] * _FINER), THEME["paper"])
    canvas = ImageDraw.Draw(large, "RGBA")
    for shape in drawing.shapes:
        _paint(canvas, shape, top)
    image = large.resize(size, PILImage.Resampling.LANCZOS)
    if chart.title:
        _write(image, Words(0, _TITLE_SIZE, chart.title, "ink"), 0, _TITLE_SIZE)
    for words in drawing.texts():
        _write(image, words, top, LETTER_SIZE)
    return from_pillow(image)


def from_pillow(image: PILImage.Image) -> Image:
    return np.asarray(image, np.float32) / np.float32(255)


def to_pillow(image: Image) -> PILImage.Image:
    """Return an image in mode RGB; values beyond ``[0, 1]`` are clipped."""
    return PILImage.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))


def _paint(canvas: ImageDraw.ImageDraw, shape: Shape, top: float) -> None:
    def at(point: Point) -> Point:
        return point[0] * _FINER, (point[1] + top) * _FINER

    if isinstance(shape, Area):
        canvas.polygon([at(point) for point in shape.points], _ink(shape.color, shape.opacity))
    elif isinstance(shape, Line):
        width = round(shape.width * _FINER)
        for dash in _dash(shape.points, [float(length) for length in shape.dash.split()]):
            ends = [at(point) for point in dash]
            canvas.line(ends, _ink(shape.color, shape.opacity), width, joint="curve")
    elif isinstance(shape, Dot):
        canvas.circle(at(shape.center), shape.radius * _FINER, _ink(shape.color))


def _write(image: PILImage.Image, words: Words, top: float, size: int) -> None:
    place, font, anchor = (words.x, words.y + top), load_font(size), _ANCHORS[words.anchor]
    text, ink = clean_text(words.text), _ink(words.color)
    if not words.angle:
        ImageDraw.Draw(image).text(place, text, ink, font, anchor)
        return
    reach = math.ceil(font.getlength(text)) + size
    mask = PILImage.new("L", (2 * reach, 2 * reach))
    ImageDraw.Draw(mask).text((reach, reach), text, 255, font, anchor)
    turned = mask.rotate(-words.angle, PILImage.Resampling.BICUBIC)
    image.paste(ink[:3], (round(place[0]) - reach, round(place[1]) - reach), turned)


def _ink(color: Color, opacity: float = 1.0) -> tuple[int, int, int, int]:
    name = color.light if isinstance(color, Hue) else THEME[color]
    return (*ImageColor.getrgb(name)[:3], round(255 * opacity))


def _dash(points: Sequence[Point], pattern: Sequence[float]) -> Iterator[Sequence[Point]]:
    """Cut a line as SVG does: drawn and left out by turns, for these lengths."""
    if not pattern:
        yield points
        return
    lengths = cycle(pattern)
    stroke, drawn, left = [points[0]], True, next(lengths)
    for (x, y), end in pairwise(points):
        while (rest := math.dist((x, y), end)) > left:
            x, y = x + (end[0] - x) * left / rest, y + (end[1] - y) * left / rest
            if drawn:
                yield [*stroke, (x, y)]
            stroke, drawn, left = [(x, y)], not drawn, next(lengths)
        left -= rest
        stroke.append(end)
    if drawn and len(stroke) > 1:
        yield stroke
