"""Heat maps: a grid of cells, darker where there is more; confusion matrices above all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nstk.reports.pages.lettering import LINE_HEIGHT, measure_text, shorten_text
from nstk.reports.pages.lines import WIDTH
from nstk.reports.pages.numerals import format_number

_NAME_ROOM, _LARGEST_CELL, _SMALLEST_CELL, _GAP = 190.0, 58.0, 5.0, 1.5
_GRADIENT = math.sqrt(0.5)


@dataclass(frozen=True)
class DrawnCell:
    """A cell laid out: its corner, its shade from 0 to 1, its number if there is room for it."""

    x: float
    y: float
    shade: float
    text: str
    meaning: str


@dataclass(frozen=True)
class DrawnName:
    """The name of a row or a column: where it ends or begins, shortened and in full."""

    place: float
    label: str
    full_label: str


@dataclass(frozen=True)
class HeatPlot:
    """A heat map laid out, in units of `nstk.reports.pages.lines.WIDTH`."""

    height: float
    left: float
    top: float
    cell: float
    gap: float
    slanted: bool
    width: float
    cells: tuple[DrawnCell, ...]
    rows: tuple[DrawnName, ...]
    columns: tuple[DrawnName, ...]


@dataclass(frozen=True)
class HeatMap:
    """A grid of values with named rows and columns.

    Attributes:
        rows: Names of the rows, from the top down.
        columns: Names of the columns, from left to right.
        values: A value for each row and column; left empty where it is not finite.
        row_label: What the rows are (``"actual"``).
        column_label: What the columns are (``"predicted"``).
        title: What the map shows, in words; also its text for readers who cannot see it.
        shades: How dark each cell is, from 0 to 1, such as each row's shares where ``values``
            are counts; each value's share of the largest when empty.
    """

    template: ClassVar[str] = "heat_map.html"
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    row_label: str = ""
    column_label: str = ""
    title: str = ""
    shades: Sequence[Sequence[float]] = ()

    def lay_out(self) -> HeatPlot:
        """Find a place for everything."""
        names = max((measure_text(name) for name in self.rows), default=0.0)
        side = LINE_HEIGHT + 8 if self.row_label else 0.0
        left = min(names, _NAME_ROOM) + 10 + side
        widest = min(max((measure_text(name) for name in self.columns), default=0.0), _NAME_ROOM)
        room = (WIDTH - left) / max(len(self.columns), 1)
        cell = min(max(room, _SMALLEST_CELL), _LARGEST_CELL)
        slanted = widest > cell - 4
        if slanted:
            spare = WIDTH - left - _GRADIENT * widest
            cell = min(max(spare / max(len(self.columns), 1), _SMALLEST_CELL), _LARGEST_CELL)
        head = (_GRADIENT * (widest + LINE_HEIGHT) if slanted else LINE_HEIGHT) + 8
        top = head + (LINE_HEIGHT + 6 if self.column_label else 0.0)
        across = left + cell * len(self.columns)
        return HeatPlot(
            height=top + cell * len(self.rows) + 4,
            left=left,
            top=top,
            cell=cell,
            gap=_GAP if cell >= 12 else 0.5,
            slanted=slanted,
            width=max(across + (_GRADIENT * widest if slanted else 0.0), 1.0),
            cells=tuple(self._cells(left, top, cell)),
            rows=_name(self.rows, top, cell),
            columns=_name(self.columns, left, cell),
        )

    def _cells(self, left: float, top: float, cell: float) -> list[DrawnCell]:
        finite = [value for row in self.values for value in row if math.isfinite(value)]
        most = max(finite, default=0.0)
        drawn = []
        for i, (row, values) in enumerate(zip(self.rows, self.values, strict=True)):
            for j, (column, value) in enumerate(zip(self.columns, values, strict=True)):
                if not math.isfinite(value):
                    continue
                shade = self.shades[i][j] if self.shades else value / most if most > 0 else 0.0
                number = format_number(int(value) if float(value).is_integer() else value, 2)
                text = number if measure_text(number) < cell - 4 and cell >= 16 else ""
                meaning = f"{row} → {column}: {number}"
                x, y = left + j * cell, top + i * cell
                drawn.append(DrawnCell(x, y, min(max(shade, 0.0), 1.0), text, meaning))
        return drawn


def _name(names: Sequence[str], start: float, cell: float) -> tuple[DrawnName, ...]:
    """Names at the middles of their cells; only every so many where cells are narrow."""
    every = math.ceil(LINE_HEIGHT / cell) if cell < LINE_HEIGHT else 1
    return tuple(
        DrawnName(start + (index + 0.5) * cell, shorten_text(name, _NAME_ROOM), name)
        for index, name in enumerate(names)
        if index % every == 0
    )
