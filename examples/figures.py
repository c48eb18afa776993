"""The figures of the notebooks, drawn with Pillow: images in rows, and curves over an axis."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLORS = ("#0072b2", "#d55e00", "#009e73", "#b5578b", "#c98a00")
INK, QUIET, RULE = "#1b1f24", "#5a626b", "#dee2e6"
FONT, TITLE = ImageFont.load_default(12), ImageFont.load_default(17)
MARGIN, GAP, LINE = 20, 12, 16


def show(title: str, *rows: Iterable[tuple[str, np.ndarray]], width: int = 200) -> Image.Image:
    """Draw images ``(h, w, 3)`` in [0, 1] with captions, a row for each ``(caption, image)``s."""
    drawn = [[_draw_cell(caption, image, width) for caption, image in row] for row in rows]
    across = max([*(len(row) * (width + GAP) - GAP for row in drawn), 300])
    heights = [max(cell.height for cell in row) for row in drawn]
    figure = _blank(across + 2 * MARGIN, sum(heights) + GAP * len(rows) + LINE + 2 * MARGIN)
    ImageDraw.Draw(figure).text((MARGIN, MARGIN), title, INK, TITLE)
    top = MARGIN + LINE + GAP
    for row, height in zip(drawn, heights, strict=True):
        for place, cell in enumerate(row):
            figure.paste(cell, (MARGIN + place * (width + GAP), top))
        top += height + GAP
    return figure


def plot(
    title: str,
    curves: Mapping[str, Sequence[Sequence[float]]],
    x_label: str = "step",
    y_label: str = "loss",
    log: str = "",
) -> Image.Image:
    """Draw curves ``(x, y)``, or ``(x, y, low, high)`` with a band; ``log`` names axes: "xy"."""
    figure = _blank(880, 360)
    draw = ImageDraw.Draw(figure, "RGBA")
    draw.text((MARGIN, 12), title, INK, TITLE)
    draw.text((MARGIN, 40), y_label, QUIET, FONT)
    draw.text((400, 336), x_label, QUIET, FONT)
    every_x = [value for x, *_ in curves.values() for value in x]
    every_y = [value for _, *heights in curves.values() for y in heights for value in y]
    across = _draw_axis(draw, every_x, (70, 680), "x" in log, upright=False)
    up = _draw_axis(draw, every_y, (310, 66), "y" in log, upright=True)
    for (name, (x, y, *band)), color in zip(curves.items(), COLORS * len(curves), strict=False):
        lines = [list(zip(across(x), up(heights), strict=True)) for heights in (y, *band)]
        if band:
            draw.polygon([*lines[1], *reversed(lines[2])], f"{color}28")
        draw.line(lines[0], color, 2)
        for left, top in lines[0] if len(lines[0]) < 20 else ():
            draw.ellipse([left - 3, top - 3, left + 3, top + 3], color)
        left, top = lines[0][-1]
        draw.text((left + 8, top - 7), name, color, FONT)
    return figure


def _draw_cell(caption: str, image: np.ndarray, width: int) -> Image.Image:
    pixels = Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8))
    height = round(pixels.height * width / pixels.width)
    smooth = Image.Resampling.LANCZOS if width < pixels.width else Image.Resampling.NEAREST
    words = [word for word in caption.split(" ") if word]
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and FONT.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    cell = _blank(width, height + 4 + LINE * len(lines))
    cell.paste(pixels.resize((width, height), smooth), (0, 0))
    ImageDraw.Draw(cell).multiline_text((0, height + 4), "\n".join(lines), QUIET, FONT)
    return cell


def _draw_axis(
    draw: ImageDraw.ImageDraw,
    values: Sequence[float],
    ends: tuple[int, int],
    log: bool,
    *,
    upright: bool,
) -> Callable[[Sequence[float]], Sequence[float]]:
    """Draw five ticks; return a function from values to their places."""
    scale = np.log10 if log else np.asarray
    low, high = float(scale(min(values))), float(scale(max(values)))
    high = high if high > low else low + 1

    def place(heights: Sequence[float]) -> Sequence[float]:
        share = (scale(np.asarray(heights, float)) - low) / (high - low)
        return (ends[0] + share * (ends[1] - ends[0])).tolist()

    for share in np.linspace(0, 1, 5):
        value, at = low + share * (high - low), ends[0] + share * (ends[1] - ends[0])
        text = f"{10**value if log else value:.3g}"
        if upright:
            draw.line([70, at, 680, at], RULE)
            draw.text((62, at - 7), text, QUIET, FONT, anchor="ra")
        else:
            draw.text((at, 316), text, QUIET, FONT, anchor="ma")
    return place


def _blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "white")
