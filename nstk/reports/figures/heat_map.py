"""Heat maps: a grid of cells, darker where there is more; confusion matrices above all."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nstk.reports.figures.drawing import Anchor, Area, Drawing, Shape, Words
from nstk.reports.figures.line_chart import WIDTH
from nstk.reports.figures.text import LINE_HEIGHT, measure_text, shorten_text
from nstk.reports.formatting import format_number

_NAME_WIDTH, _LARGEST_CELL, _SMALLEST_CELL = 190.0, 58.0, 5.0
_DIAGONAL = math.sqrt(0.5)


@dataclass(frozen=True)
class HeatMap:
    """A grid of values with named rows and columns.

    Attributes:
        rows: Names of the rows, from the top down.
        columns: Names of the columns, from left to right.
        values: A value for each row and column; left empty where it is not finite.
        row_label: What the rows are (``"true class"``).
        column_label: What the columns are (``"predicted class"``).
        title: What the map shows; also its text for readers who cannot see it.
        shades: How dark each cell is, from 0 to 1, such as each row's shares where ``values``
            are counts; each value's share of the largest when empty.
    """

    template: ClassVar[str] = "chart.html"
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    row_label: str = ""
    column_label: str = ""
    title: str = ""
    shades: Sequence[Sequence[float]] = ()

    @property
    def label(self) -> str:
        """The map's text for readers who cannot see it."""
        return self.title or "heat map"

    def draw(self) -> Drawing:
        """Lay the map out."""
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
        return Drawing(min(width + 16, WIDTH), top + cell * len(self.rows) + 4, shapes)

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
                corners = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
                title = f"{row} → {column}: {number}"
                if shade:
                    yield Area(corners, "accent", 0.08 + 0.92 * shade, title)
                else:
                    yield Area(corners, "raised", title=title)
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
