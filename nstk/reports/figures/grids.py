"""Heat maps, confusion matrices above all, and chains of boxes such as the layers of a network."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nstk.reports.figures.drawing import WIDTH, Anchor, Area, Drawing, Line, Shape, Words, rectangle
from nstk.reports.figures.text import (
    LETTER_SIZE,
    LINE_HEIGHT,
    measure_text,
    shorten_text,
    wrap_text,
)
from nstk.reports.formatting import format_number

_NAME_WIDTH, _LARGEST_CELL, _SMALLEST_CELL = 190.0, 58.0, 5.0
_DIAGONAL = math.sqrt(0.5)
_NARROWEST_BOX, _WIDEST_BOX, _GAP, _PADDING = 100.0, 150.0, 20.0, 8.0


@dataclass(frozen=True)
class HeatMap:
    """A grid of values with named rows and columns, empty where a value is not finite.

    ``shades`` (from 0 to 1) say how dark each cell is, such as each row's shares where ``values``
    are counts; without them it is each value's share of the largest.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    row_label: str = ""
    column_label: str = ""
    title: str = ""
    shades: Sequence[Sequence[float]] = ()

    def draw(self) -> Drawing:
        names = max((measure_text(name) for name in self.rows), default=0.0)
        left = min(names, _NAME_WIDTH) + 10 + (LINE_HEIGHT + 8 if self.row_label else 0.0)
        widest = min(max((measure_text(name) for name in self.columns), default=0.0), _NAME_WIDTH)
        cell = self._fit_cells(WIDTH - left)
        slanted = widest > cell - 4
        overhang = _DIAGONAL * widest if slanted else 0.0
        if slanted:
            cell = self._fit_cells(WIDTH - left - overhang - 16)
        head = (_DIAGONAL * (widest + LINE_HEIGHT) if slanted else LINE_HEIGHT) + 8
        top = head + (LINE_HEIGHT + 6 if self.column_label else 0.0)
        shapes: list[Shape] = []
        if self.column_label:
            shapes.append(Words(left, 13, f"{self.column_label} →", "quiet"))
        if self.row_label:
            shapes.append(Words(12, top, f"← {self.row_label}", "quiet", "end", -90))
        anchor: Anchor = "start" if slanted else "middle"
        angle, shift = (-45.0, 3) if slanted else (0.0, 0)
        for x, short, name in _place_names(self.columns, left, cell):
            shapes.append(Words(x + shift, top - 6, short, "ink", anchor, angle, name))
        for y, short, name in _place_names(self.rows, top, cell):
            shapes.append(Words(left - 8, y + 4.5, short, "ink", "end", title=name))
        shapes += self._draw_cells(left, top, cell)
        width = left + max(cell * len(self.columns) + overhang, measure_text(self.column_label))
        height = top + cell * len(self.rows) + 4
        return Drawing(min(width + 16, WIDTH), height, shapes, "heat map")

    def _fit_cells(self, width: float) -> float:
        return min(max(width / max(len(self.columns), 1), _SMALLEST_CELL), _LARGEST_CELL)

    def _draw_cells(self, left: float, top: float, cell: float) -> Iterator[Shape]:
        finite = [value for row in self.values for value in row if math.isfinite(value)]
        most = max(finite, default=0.0)
        side = cell - (1.5 if cell >= 12 else 0.5)
        for i, (row, values) in enumerate(zip(self.rows, self.values, strict=True)):
            for j, (column, value) in enumerate(zip(self.columns, values, strict=True)):
                if not math.isfinite(value):
                    continue
                shade = self.shades[i][j] if self.shades else value / most if most > 0 else 0.0
                shade = min(max(shade, 0.0), 1.0)
                number = format_number(int(value) if float(value).is_integer() else value, 2)
                x, y = left + j * cell, top + i * cell
                color, opacity = ("accent", 0.08 + 0.92 * shade) if shade else ("raised", 1.0)
                title = f"{row} → {column}: {number}"
                yield Area(rectangle(x, y, x + side, y + side), color, opacity, title)
                if cell >= 16 and measure_text(number) < cell - 4:
                    color = "paper" if shade > 0.5 else "ink" if shade else "quiet"
                    yield Words(x + side / 2, y + side / 2 + 4.5, number, color, "middle")


def _place_names(
    names: Sequence[str], start: float, cell: float
) -> Iterator[tuple[float, str, str]]:
    """Names at the middles of their cells, shortened and in full; fewer where cells are narrow."""
    every = math.ceil(LINE_HEIGHT / cell) if cell < LINE_HEIGHT else 1
    for index in range(0, len(names), every):
        name = names[index]
        yield start + (index + 0.5) * cell, shorten_text(name, _NAME_WIDTH), name


@dataclass(frozen=True)
class Box:
    """A box of a chain: a title and lines, in gray, blue (accent) or vermilion (warning)."""

    title: str
    lines: Sequence[str]
    color: Literal["quiet", "accent", "warning"] = "quiet"


@dataclass(frozen=True)
class Chain:
    """At least one box, from left to right, with an arrow from each to the next."""

    boxes: Sequence[Box]
    title: str = ""

    def draw(self) -> Drawing:
        count = len(self.boxes)
        width = min(max((WIDTH + _GAP) / count - _GAP, _NARROWEST_BOX), _WIDEST_BOX)
        texts = [
            [
                (line, color)
                for text, color in [(box.title, box.color), *((line, "ink") for line in box.lines)]
                for line in _wrap(text, width - 2 * _PADDING)
            ]
            for box in self.boxes
        ]
        height = max(map(len, texts)) * LINE_HEIGHT + 2 * _PADDING
        shapes: list[Shape] = []
        for place, (box, lines) in enumerate(zip(self.boxes, texts, strict=True)):
            left = 1 + place * (width + _GAP)
            corners = rectangle(left, 1.0, left + width, 1 + height)
            shapes += [Area(corners, box.color, 0.12), Line((*corners, corners[0]), box.color)]
            for number, (line, color) in enumerate(lines, 1):
                y = _PADDING + number * LINE_HEIGHT - 4
                shapes.append(Words(left + _PADDING, y, line, color))
            if place:
                end, y = left - 3, height / 2
                shapes.append(Line(((left - _GAP + 3, y), (end - 6, y)), "quiet", 1.5))
                shapes.append(Area(((end, y), (end - 7, y - 4), (end - 7, y + 4)), "quiet"))
        label = " → ".join(box.title for box in self.boxes)
        return Drawing(2 + count * (width + _GAP) - _GAP, height + 2, shapes, label)


def _wrap(text: str, width: float) -> list[str]:
    """Break a text, with names such as block1_conv1 broken after their underscore."""
    lines = wrap_text(text, LETTER_SIZE, width)
    if len(lines) > 1 and "_" in text and " " not in text:
        pieces = [wrap_text(f"{part}_", LETTER_SIZE, width) for part in text.split("_")]
        lines = [line for piece in pieces for line in piece]
        lines[-1] = lines[-1].removesuffix("_")
    return lines
