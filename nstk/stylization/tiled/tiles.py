"""Windows: rectangles of a map that together cover it, and what each needs to see round it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nstk.backbones.receptive_fields import ReceptiveField

Span = tuple[int, int]
"""A half-open range of rows or columns: ``[first, last)``."""


@dataclass(frozen=True)
class Cut:
    """A piece of one axis: what it sees of the map, and which cells of every output are its own.

    Attributes:
        seen: Cells of the map that are looked at, the halo among them.
        own: The piece itself, in cells of the map. Pieces tile the axis without overlap.
        outputs: Cells of each output that the piece owns, by name, counted from the start of the
            whole output. They tile the output without overlap.
        strides: Cells of the map from one cell of each output to the next.
    """

    seen: Span
    own: Span
    outputs: Mapping[str, Span]
    strides: Mapping[str, int]

    def within(self, name: str) -> Span:
        """The owned cells of an output, counted from the start of what the window gives."""
        first = self.seen[0] // self.strides[name]
        return self.outputs[name][0] - first, self.outputs[name][1] - first


@dataclass(frozen=True)
class Tile:
    """A rectangle: a piece of the rows and a piece of the columns."""

    rows: Cut
    columns: Cut

    @property
    def seen(self) -> tuple[Span, Span]:
        """Rows and columns of the map that are looked at."""
        return self.rows.seen, self.columns.seen

    @property
    def own(self) -> tuple[Span, Span]:
        """Rows and columns of the map that no other window has."""
        return self.rows.own, self.columns.own

    def outputs(self, name: str) -> tuple[Span, Span]:
        """Rows and columns of an output that no other window gives."""
        return self.rows.outputs[name], self.columns.outputs[name]


def cut_axis(
    length: int,
    lengths: Mapping[str, int],
    fields: Mapping[str, ReceptiveField],
    step: int,
    largest: int,
) -> list[Cut]:
    """Cut one axis of a map into pieces of about equal size.

    Every piece begins at a multiple of ``step``, and what it sees begins there too and ends a
    multiple of ``step`` before the end of the map. So each strided layer meets the same cells in a
    window as in the whole, also one whose "same" padding depends on whether a side is even.

    Args:
        length: Cells of the map.
        lengths: Cells of each output of the whole map.
        fields: What one cell of each output sees of the map.
        step: The least common stride of all outputs, in cells of the map.
        largest: Cells of a piece at most, without its halo; at least ``step``.
    """
    pieces = max(1, math.ceil(length / max(step, largest)))
    starts = sorted({step * round(length * place / pieces / step) for place in range(pieces)})
    starts = [start for start in starts if start < length]
    before = _round_up(max(field.before for field in fields.values()), step)
    after = max(field.after - field.stride + 1 for field in fields.values())
    strides = {name: field.stride for name, field in fields.items()}
    cuts = []
    for begin, end in pairwise([*starts, length]):
        last = end == length
        seen = max(0, begin - before), _align_end(end + max(after, 0), length, step)
        outputs = {
            name: (begin // stride, lengths[name] if last else end // stride)
            for name, stride in strides.items()
        }
        cuts.append(Cut(seen, (begin, end), outputs, strides))
    return cuts


def cut_map(
    shape: Sequence[int],
    shapes: Mapping[str, Sequence[int]],
    fields: Mapping[str, tuple[ReceptiveField, ReceptiveField]],
    step: int,
    largest: int,
) -> list[Tile]:
    """Cover a map with windows, row by row.

    Args:
        shape: Height and width of the map.
        shapes: Height and width of each output of the whole map.
        fields: What one cell of each output sees of the map, along rows and columns.
        step: The least common stride of all outputs, in cells of the map.
        largest: Cells of a window's side at most, without its halo.
    """
    rows, columns = (
        cut_axis(
            shape[axis],
            {name: size[axis] for name, size in shapes.items()},
            {name: pair[axis] for name, pair in fields.items()},
            step,
            largest,
        )
        for axis in (0, 1)
    )
    return [Tile(row, column) for row in rows for column in columns]


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _align_end(end: int, length: int, step: int) -> int:
    """The first place from ``end`` on that lies a multiple of ``step`` before the map's end."""
    return length - max(0, length - end) // step * step
