"""Tiles: rectangles that together cover a map, the halo each needs, and maps stored in tiles."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import tensorflow as tf

from nstk.backbones.receptive_fields import ReceptiveField
from nstk.types import Tensor

Span = tuple[int, int]
"""A half-open range of rows or columns: ``[first, last)``."""


@dataclass(frozen=True)
class TileAxis:
    """The rows or the columns of a tile.

    It reads ``padded`` cells of the map, halo included; ``own`` cells belong to it alone. So do
    ``outputs`` cells of each output, counted from the start of the whole output; ``strides`` are
    the cells of the map from one of their cells to the next.
    """

    padded: Span
    own: Span
    outputs: Mapping[str, Span]
    strides: Mapping[str, int]

    def local(self, name: str) -> Span:
        """The own cells of an output, counted from the start of the tile's output."""
        first = self.padded[0] // self.strides[name]
        return self.outputs[name][0] - first, self.outputs[name][1] - first


@dataclass(frozen=True)
class Tile:
    rows: TileAxis
    columns: TileAxis

    @property
    def padded(self) -> tuple[Span, Span]:
        """Rows and columns of the map that the tile reads, including its halo."""
        return self.rows.padded, self.columns.padded

    @property
    def own(self) -> tuple[Span, Span]:
        """Rows and columns of the map that belong to this tile alone."""
        return self.rows.own, self.columns.own

    def outputs(self, name: str) -> tuple[Span, Span]:
        """Rows and columns of an output that belong to this tile alone."""
        return self.rows.outputs[name], self.columns.outputs[name]

    def own_slices(self) -> dict[str, Tensor]:
        """Return top, bottom, left and right of the own cells in the tile's outputs, by name."""
        return {
            name: tf.constant([*self.rows.local(name), *self.columns.local(name)], tf.int32)
            for name in self.rows.outputs
        }


def split_axis(
    length: int,
    lengths: Mapping[str, int],
    fields: Mapping[str, ReceptiveField],
    step: int,
    largest: int,
) -> list[TileAxis]:
    """Split one axis of a map into pieces of about equal size.

    Every piece begins at a multiple of ``step``. So does its halo, which ends a multiple of
    ``step`` before the end of the map. Each strided layer therefore meets the same cells in a tile
    as in the whole, even if its "same" padding depends on whether a side is even.
    """
    pieces = max(1, math.ceil(length / max(step, largest)))
    starts = sorted({step * round(length * index / pieces / step) for index in range(pieces)})
    starts = [start for start in starts if start < length]
    before = _round_up(max(field.before for field in fields.values()), step)
    after = max(field.after - field.stride + 1 for field in fields.values())
    strides = {name: field.stride for name, field in fields.items()}
    axes = []
    for begin, end in pairwise([*starts, length]):
        last = end == length
        padded = max(0, begin - before), _align_end(end + max(after, 0), length, step)
        outputs = {
            name: (begin // stride, lengths[name] if last else end // stride)
            for name, stride in strides.items()
        }
        axes.append(TileAxis(padded, (begin, end), outputs, strides))
    return axes


def split_map(
    shape: Sequence[int],
    shapes: Mapping[str, Sequence[int]],
    fields: Mapping[str, tuple[ReceptiveField, ReceptiveField]],
    step: int,
    largest: int,
) -> list[Tile]:
    """Cover a map with tiles, row by row."""
    rows, columns = (
        split_axis(
            shape[axis],
            {name: size[axis] for name, size in shapes.items()},
            {name: pair[axis] for name, pair in fields.items()},
            step,
            largest,
        )
        for axis in (0, 1)
    )
    return [Tile(row, column) for row in rows for column in columns]


class TiledMap:
    """A map ``(1, height, width, C)`` that is written tile by tile and read anywhere.

    Tiles are plain tensors and nothing is changed in place, so gradients pass through and a read
    costs only its own size.
    """

    def __init__(self, rows: Iterable[Span], columns: Iterable[Span]) -> None:
        self._rows = tuple(dict.fromkeys(rows))
        self._columns = tuple(dict.fromkeys(columns))
        self._tiles: dict[tuple[Span, Span], Tensor] = {}

    @classmethod
    def from_image(cls, image: Tensor) -> "TiledMap":
        rows, columns = (0, image.shape[0]), (0, image.shape[1])
        tiled = cls([rows], [columns])
        tiled.write(rows, columns, tf.convert_to_tensor(image)[tf.newaxis])
        return tiled

    @classmethod
    def for_output(cls, tiles: Sequence[Tile], output: str) -> "TiledMap":
        return cls(*zip(*(tile.outputs(output) for tile in tiles), strict=True))

    def write(self, rows: Span, columns: Span, values: Tensor) -> None:
        """Set one tile, ``(1, height, width, C)``."""
        self._tiles[rows, columns] = values

    def read(self, rows: Span, columns: Span) -> Tensor:
        """Return a rectangle, ``(1, height, width, C)``."""
        bands = []
        for row in _overlapping(self._rows, rows):
            parts = [
                self._tiles[row, column][:, _overlap(rows, row), _overlap(columns, column)]
                for column in _overlapping(self._columns, columns)
            ]
            bands.append(parts[0] if len(parts) == 1 else tf.concat(parts, axis=2))
        return bands[0] if len(bands) == 1 else tf.concat(bands, axis=1)

    def add(self, rows: Span, columns: Span, values: Tensor) -> None:
        """Add to a rectangle; tiles start at zero."""
        for row in _overlapping(self._rows, rows):
            for column in _overlapping(self._columns, columns):
                part = values[:, _overlap(row, rows), _overlap(column, columns)]
                tile = self._tiles.get((row, column))
                margins = [[0, 0], _margin(row, rows), _margin(column, columns), [0, 0]]
                part = tf.pad(part, margins) if any(map(any, margins)) else part
                self._tiles[row, column] = part if tile is None else tile + part

    def tiles(self) -> Iterable[Tensor]:
        return self._tiles.values()

    def pop_whole(self) -> Tensor:
        """Return the whole map and release its tiles."""
        bands = []
        for row in self._rows:
            bands.append(tf.concat([self._tiles.pop((row, c)) for c in self._columns], axis=2))
        return tf.concat(bands, axis=1)


def _overlapping(spans: Iterable[Span], wanted: Span) -> list[Span]:
    return [span for span in spans if span[0] < wanted[1] and wanted[0] < span[1]]


def _overlap(wanted: Span, span: Span) -> slice:
    """The part of ``span`` that ``wanted`` covers, counted from its start."""
    return slice(max(wanted[0], span[0]) - span[0], min(wanted[1], span[1]) - span[0])


def _margin(span: Span, covered: Span) -> list[int]:
    """How much of ``span`` lies before and after ``covered``."""
    return [max(0, covered[0] - span[0]), max(0, span[1] - covered[1])]


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _align_end(end: int, length: int, step: int) -> int:
    """The first position from ``end`` on that lies a multiple of ``step`` before the map's end."""
    return length - max(0, length - end) // step * step
