"""Contact sheets: images, charts and heat maps in one image, in rows with captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from nstk.images.encoding import check_output
from nstk.images.image import Image
from nstk.reports.figures.colors import THEME
from nstk.reports.figures.painting import from_pillow, to_pillow
from nstk.reports.figures.text import line_height, load_font, wrap_text
from nstk.storage.files import check_writable

PAPER, INK, QUIET = THEME["paper"], THEME["ink"], THEME["quiet"]

TITLE_SIZE, HEADING_SIZE, CAPTION_SIZE = 22, 16, 12
"""Sizes of letters in pixels."""

_MARGIN, _GAP, _SMALL_GAP = 24, 14, 6
_NARROWEST_SHEET, _NARROWEST_CELL = 420, 88
_PAGE_EXTENSIONS = (".html", ".htm")


@dataclass(frozen=True, eq=False)
class Cell:
    """An image with a caption.

    Attributes:
        image: float32 ``(height, width, 3)`` in ``[0, 1]``, shown pixel by pixel.
        caption: The text below it; long captions take several lines, ``\\n`` begins one.
    """

    image: Image
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    """Images side by side.

    Attributes:
        cells: From left to right; cells that do not fit continue on the next line.
        heading: What they have in common.
        note: A sentence in smaller letters below the heading.
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
    """Lay rows of images out in one image, in columns that all rows share.

    A column is as wide as its widest image. Captions are wrapped to it, never cut, and nothing
    overlaps. A row of a single cell, such as a chart, takes the whole width.

    Args:
        title: What the sheet shows.
        rows: At least one, each with at least one cell.
        note: A sentence in smaller letters below the title, such as how it was made.
        width: Largest width of the sheet in pixels; a single image that is wider widens it.
        columns: Cells in a line; as many as fit when None.

    Returns:
        float32 ``(height, width, 3)`` in ``[0, 1]``, for `nstk.save_image`.

    Example:
        >>> import numpy as np
        >>> from nstk.reports.sheets import Cell, Row, draw_sheet
        >>> gray = np.full((64, 96, 3), 0.5, np.float32)
        >>> runs = Row([Cell(gray, "1e-4"), Cell(gray, "1e-3")], heading="content weight")
        >>> draw_sheet("A sweep", [runs]).shape[1] >= 2 * 96
        True
    """
    widths = _fit_columns(rows, width - 2 * _MARGIN) if columns is None else _widths(rows, columns)
    alone = [row.cells[0].image.shape[1] for row in rows if len(row.cells) == 1]
    inner = max(_span(widths), _NARROWEST_SHEET - 2 * _MARGIN, *alone)
    blocks = [*_write(title, TITLE_SIZE, INK, inner), *_write(note, CAPTION_SIZE, QUIET, inner)]
    for row in rows:
        blocks.append(_blank(_GAP + _SMALL_GAP))
        blocks += _write(row.heading, HEADING_SIZE, INK, inner)
        blocks += _write(row.note, CAPTION_SIZE, QUIET, inner)
        lanes = widths if len(row.cells) > 1 else [inner]
        for start in range(0, len(row.cells), len(lanes)):
            blocks += [
                _blank(_GAP if start else _SMALL_GAP),
                _draw_line(row.cells[start : start + len(lanes)], lanes),
            ]
    height = sum(block.height for block in blocks) + 2 * _MARGIN
    sheet = PILImage.new("RGB", (inner + 2 * _MARGIN, height), PAPER)
    top = _MARGIN
    for block in blocks:
        sheet.paste(block, (_MARGIN, top))
        top += block.height
    return from_pillow(sheet)


def tile_images(images: Sequence[Image], columns: int, *, gap: int = 2) -> Image:
    """Put images of one size edge to edge in a grid, white between them.

    Args:
        images: At least one; all of the same shape ``(height, width, 3)``.
        columns: Images in a line.
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
    """Scale an image to a width: enlarged with sharp pixels, reduced smoothly.

    Args:
        image: ``(h, w, 3)``.
        width: Width of the result in pixels; its height follows.
    """
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    grows = width >= image.shape[1]
    method = PILImage.Resampling.NEAREST if grows else PILImage.Resampling.LANCZOS
    return from_pillow(to_pillow(image).resize((width, height), method))


def is_page(path: str | Path) -> bool:
    """Return whether a path has the extension of a page."""
    return Path(path).suffix.lower() in _PAGE_EXTENSIONS


def check_figure(path: str | Path) -> None:
    """Check, before any long work, that a figure can be written.

    Args:
        path: Where a page (``.html``) or an image will be written.

    Raises:
        OutputError: If the extension is unknown, or nothing can be written there.
    """
    if is_page(path):
        check_writable(path)
    else:
        check_output(path)


def _fit_columns(rows: Sequence[Row], width: int) -> list[int]:
    """Return the widths of as many columns as fit."""
    most = max(len(row.cells) for row in rows)
    choices = (_widths(rows, columns) for columns in range(most, 1, -1))
    return next((widths for widths in choices if _span(widths) <= width), _widths(rows, 1))


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
    """Draw the cells of one line with their captions below them."""
    captions = [
        wrap_text(cell.caption, CAPTION_SIZE, width)
        for cell, width in zip(cells, widths, strict=False)
    ]
    step = line_height(CAPTION_SIZE)
    height = _SMALL_GAP + max(
        cell.image.shape[0] + len(lines) * step for cell, lines in zip(cells, captions, strict=True)
    )
    line = PILImage.new("RGB", (_span(widths), height), PAPER)
    draw, left = ImageDraw.Draw(line), 0
    for cell, lines, width in zip(cells, captions, widths, strict=False):
        line.paste(to_pillow(cell.image), (left, 0))
        for number, words in enumerate(lines):
            place = (left, cell.image.shape[0] + _SMALL_GAP + number * step)
            draw.text(place, words, QUIET, load_font(CAPTION_SIZE))
        left += width + _GAP
    return line


def _write(text: str, size: int, ink: str, width: int) -> list[PILImage.Image]:
    """Write a text wrapped to a width, one block a line."""
    blocks = []
    for words in wrap_text(text, size, width):
        block = PILImage.new("RGB", (width, line_height(size)), PAPER)
        ImageDraw.Draw(block).text((0, 0), words, ink, load_font(size))
        blocks.append(block)
    return blocks


def _blank(height: int) -> PILImage.Image:
    return PILImage.new("RGB", (1, height), PAPER)
