"""One image that holds many, in rows with headings and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageDraw

from nstk.images.image import Image
from nstk.reports.sheets.lettering import line_height, wrap_text, write_text

PAPER = (255, 255, 255)
INK = (27, 31, 36)
QUIET_INK = (90, 98, 107)

TITLE_SIZE, HEADING_SIZE, CAPTION_SIZE = 24, 17, 13
"""Sizes of letters in pixels."""

_MARGIN, _GAP, _AIR = 24, 14, 6
_NARROWEST_SHEET, _NARROWEST_CELL = 420, 88


@dataclass(frozen=True, eq=False)
class Cell:
    """An image with words below it.

    Attributes:
        image: float32 ``(height, width, 3)`` in ``[0, 1]``; it is shown pixel by pixel, so bring
            it to its size before.
        caption: What it is; long ones take several lines, ``\\n`` begins one.
    """

    image: Image
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    """Images side by side.

    Attributes:
        cells: From left to right; where the sheet is full, they go on in the next line.
        heading: What they have in common.
        note: A quieter sentence below the heading.
    """

    cells: Sequence[Cell]
    heading: str = ""
    note: str = ""


def draw_sheet(
    title: str,
    rows: Sequence[Row],
    *,
    note: str = "",
    width: int = 1200,
    columns: int | None = None,
) -> Image:
    """Lay rows of images out in one image, in columns that are common to all rows.

    A column is as wide as its widest image; captions are wrapped to it, never cut, and nothing
    overlaps. Cells stand at the top of their row. A row of a single cell, such as a chart, keeps to
    no column.

    Args:
        title: What the sheet shows.
        rows: At least one, each with at least one cell.
        note: A quieter sentence below the title: how it was made.
        width: Of the sheet in pixels at most; a single image that is wider widens it.
        columns: How many cells stand in a line; as many as fit when None.

    Returns:
        float32 ``(height, width, 3)`` in ``[0, 1]``, to be saved by `nstk.save_image`.

    Example:
        >>> import numpy as np
        >>> from nstk.reports.sheets.sheet import Cell, Row, draw_sheet
        >>> gray = np.full((64, 96, 3), 0.5, np.float32)
        >>> runs = Row([Cell(gray, "1e-4"), Cell(gray, "1e-3")], heading="content weight")
        >>> draw_sheet("A sweep", [runs]).shape[1] >= 2 * 96
        True
    """
    widths = _fit_columns(rows, width - 2 * _MARGIN) if columns is None else _widths(rows, columns)
    alone = [row.cells[0].image.shape[1] for row in rows if len(row.cells) == 1]
    room = max(_span(widths), _NARROWEST_SHEET - 2 * _MARGIN, *alone)
    blocks = [*_letter(title, TITLE_SIZE, INK, room), *_letter(note, CAPTION_SIZE, QUIET_INK, room)]
    for row in rows:
        blocks.append(_blank(_GAP + _AIR))
        blocks += _letter(row.heading, HEADING_SIZE, INK, room)
        blocks += _letter(row.note, CAPTION_SIZE, QUIET_INK, room)
        lanes = widths if len(row.cells) > 1 else [room]
        for start in range(0, len(row.cells), len(lanes)):
            blocks += [
                _blank(_GAP if start else _AIR),
                _draw_line(row.cells[start : start + len(lanes)], lanes),
            ]
    height = sum(block.height for block in blocks) + 2 * _MARGIN
    sheet = PILImage.new("RGB", (room + 2 * _MARGIN, height), PAPER)
    top = _MARGIN
    for block in blocks:
        sheet.paste(block, (_MARGIN, top))
        top += block.height
    return from_image(sheet)


def tile_images(images: Sequence[Image], columns: int, *, gap: int = 2) -> Image:
    """Put images of one size edge to edge in a grid, white between them.

    Args:
        images: At least one; all of the same shape ``(height, width, 3)``.
        columns: How many in a line.
        gap: Pixels between two of them.
    """
    height, width, _ = images[0].shape
    lines = -(-len(images) // columns)
    columns = min(columns, len(images))
    shape = (lines * (height + gap) - gap, columns * (width + gap) - gap, 3)
    grid: Image = np.ones(shape, np.float32)
    for place, image in enumerate(images):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def fit_width(image: Image, width: int) -> Image:
    """Show an image ``width`` pixels wide: smaller ones as squares of pixels, larger ones smooth.

    Args:
        image: ``(h, w, 3)``.
        width: Of the result; its height follows.
    """
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    grows = width >= image.shape[1]
    way = PILImage.Resampling.NEAREST if grows else PILImage.Resampling.LANCZOS
    return from_image(to_image(image).resize((width, height), way))


def from_image(image: PILImage.Image) -> Image:
    """A Pillow image in mode RGB as a Image."""
    return np.asarray(image, np.float32) / np.float32(255)


def to_image(image: Image) -> PILImage.Image:
    """A Image as a Pillow image in mode RGB."""
    levels: npt.NDArray[np.uint8] = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return PILImage.fromarray(levels)


def _fit_columns(rows: Sequence[Row], room: int) -> list[int]:
    """The widths of as many columns as fit."""
    most = max(len(row.cells) for row in rows)
    choices = (_widths(rows, columns) for columns in range(most, 1, -1))
    return next((widths for widths in choices if _span(widths) <= room), _widths(rows, 1))


def _widths(rows: Sequence[Row], columns: int) -> list[int]:
    widths = [0] * min(columns, max(len(row.cells) for row in rows))
    for row in rows:
        for place, cell in enumerate(row.cells if len(row.cells) > 1 else ()):
            least = _NARROWEST_CELL if cell.caption else 0
            column = place % columns
            widths[column] = max(widths[column], cell.image.shape[1], least)
    return widths


def _span(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _draw_line(cells: Sequence[Cell], widths: Sequence[int]) -> PILImage.Image:
    """The cells of one line, their captions below them."""
    captions = [
        wrap_text(cell.caption, CAPTION_SIZE, width)
        for cell, width in zip(cells, widths, strict=False)
    ]
    step = line_height(CAPTION_SIZE)
    height = _AIR + max(
        cell.image.shape[0] + len(lines) * step for cell, lines in zip(cells, captions, strict=True)
    )
    line = PILImage.new("RGB", (_span(widths), height), PAPER)
    draw, left = ImageDraw.Draw(line), 0
    for cell, lines, width in zip(cells, captions, widths, strict=False):
        line.paste(to_image(cell.image), (left, 0))
        for number, words in enumerate(lines):
            place = (left, cell.image.shape[0] + _AIR + number * step)
            write_text(draw, place, words, CAPTION_SIZE, QUIET_INK)
        left += width + _GAP
    return line


def _letter(text: str, size: int, ink: tuple[int, int, int], room: int) -> list[PILImage.Image]:
    """A text wrapped to the sheet, one block a line."""
    blocks = []
    for words in wrap_text(text, size, room):
        block = PILImage.new("RGB", (room, line_height(size)), PAPER)
        write_text(ImageDraw.Draw(block), (0, 0), words, size, ink)
        blocks.append(block)
    return blocks


def _blank(height: int) -> PILImage.Image:
    return PILImage.new("RGB", (1, height), PAPER)
