"""A large map kept in tiles, so that it is never in memory twice."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from nstk.stylization.tiled.tiles import Span


class TiledMap:
    """A map ``(1, height, width, C)`` that is written tile by tile and read anywhere.

    Tiles are plain tensors, and nothing is changed in place: derivatives go through it, and what
    is read costs only its own size.
    """

    def __init__(self, rows: Iterable[Span], columns: Iterable[Span]) -> None:
        """Lay out an empty map.

        Args:
            rows: The rows of the tiles, in order and without gaps.
            columns: Their columns.
        """
        self._rows = tuple(dict.fromkeys(rows))
        self._columns = tuple(dict.fromkeys(columns))
        self._tiles: dict[tuple[Span, Span], Any] = {}

    def write(self, rows: Span, columns: Span, tile: Any) -> None:
        """Set one tile, ``(1, height, width, C)``."""
        self._tiles[rows, columns] = tile

    def read(self, rows: Span, columns: Span) -> Any:
        """Give a rectangle, ``(1, height, width, C)``."""
        bands = []
        for row in _touching(self._rows, rows):
            parts = [
                self._tiles[row, column][:, _inside(rows, row), _inside(columns, column)]
                for column in _touching(self._columns, columns)
            ]
            bands.append(parts[0] if len(parts) == 1 else tf.concat(parts, axis=2))
        return bands[0] if len(bands) == 1 else tf.concat(bands, axis=1)

    def add(self, rows: Span, columns: Span, values: Any) -> None:
        """Add to a rectangle; a tile that was never written is zero."""
        for row in _touching(self._rows, rows):
            for column in _touching(self._columns, columns):
                part = values[:, _inside(row, rows), _inside(column, columns)]
                tile = self._tiles.get((row, column))
                margins = [[0, 0], _margin(row, rows), _margin(column, columns), [0, 0]]
                part = tf.pad(part, margins) if any(map(any, margins)) else part
                self._tiles[row, column] = part if tile is None else tile + part

    def tiles(self) -> Iterable[Any]:
        """All tiles that were written."""
        return self._tiles.values()

    def whole(self) -> Any:
        """Give all of it, and forget the tiles."""
        bands = []
        for row in self._rows:
            bands.append(tf.concat([self._tiles.pop((row, c)) for c in self._columns], axis=2))
        return tf.concat(bands, axis=1)


def _touching(spans: Iterable[Span], wanted: Span) -> list[Span]:
    return [span for span in spans if span[0] < wanted[1] and wanted[0] < span[1]]


def _inside(wanted: Span, span: Span) -> slice:
    """Where ``wanted`` lies in ``span``, as far as it does."""
    return slice(max(wanted[0], span[0]) - span[0], min(wanted[1], span[1]) - span[0])


def _margin(span: Span, covered: Span) -> list[int]:
    """How much of ``span`` lies before and after ``covered``."""
    return [max(0, covered[0] - span[0]), max(0, span[1] - covered[1])]
