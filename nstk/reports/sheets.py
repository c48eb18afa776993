"""Contact sheets: images, charts and heat maps in one image, in rows with captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw

from nstk.images.encoding import check_output
from nstk.images.image import Image, fit_size, resize_image
from nstk.reports.figures.colors import THEME
from nstk.reports.figures.painting import from_pillow, to_pillow
from nstk.reports.figures.text import load_font, wrap_text
from nstk.reports.pages import GENERATOR
from nstk.storage.files import check_replaceable

PAPER, INK, QUIET = THEME["paper"], THEME["ink"], THEME["quiet"]

TITLE_SIZE, HEADING_SIZE, CAPTION_SIZE = 22, 16, 12

_MARGIN, _GAP, _SMALL_GAP = 24, 14, 6
_NARROWEST_SHEET, _NARROWEST_CELL = 420, 88
_PAGE_EXTENSIONS = (".html", ".htm")


@dataclass(frozen=True, eq=False)
class Cell:
    """An image, shown pixel by pixel, with a caption whose lines may be broken by ``\\n``."""

    image: Image
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    """Images side by side, below a heading and a note; those that do not fit continue below."""

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
    overlaps. A row of a single cell, such as a chart, takes the whole width; where that is wider
    than ``width``, so is the sheet. Without ``columns`` there are as many as fit.
    """
    widths = _fit_columns(rows, width - 2 * _MARGIN) if columns is None else _widths(rows, columns)
    alone = [row.cells[0].image.shape[1] for row in rows if len(row.cells) == 1]
    inner = max(_span(widths), _NARROWEST_SHEET - 2 * _MARGIN, *alone)
    blocks = [*_write(title, TITLE_SIZE, INK, inner), *_write(note, CAPTION_SIZE, QUIET, inner)]
    for row in rows:
        blocks.append(_blank(1, _GAP + _SMALL_GAP))
        blocks += _write(row.heading, HEADING_SIZE, INK, inner)
        blocks += _write(row.note, CAPTION_SIZE, QUIET, inner)
        lanes = widths if len(row.cells) > 1 else [inner]
        for start in range(0, len(row.cells), len(lanes)):
            blocks.append(_blank(1, _GAP if start else _SMALL_GAP))
            blocks.append(_draw_line(row.cells[start : start + len(lanes)], lanes))
    sheet = _blank(inner + 2 * _MARGIN, sum(block.height for block in blocks) + 2 * _MARGIN)
    top = _MARGIN
    for block in blocks:
        sheet.paste(block, (_MARGIN, top))
        top += block.height
    return from_pillow(sheet)


def tile_images(images: Sequence[Image], columns: int, *, gap: int = 2) -> Image:
    """Put images of one shape edge to edge in a grid, white between them."""
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
    """Scale an image to a width: enlarged with sharp pixels, reduced smoothly."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    grows = width >= image.shape[1]
    method = PILImage.Resampling.NEAREST if grows else PILImage.Resampling.LANCZOS
    return from_pillow(to_pillow(image).resize((width, height), method))


def shrink(image: Image, longer_side: int) -> Image:
    """Scale an image down to its longer side; smaller ones stay as they are."""
    height, width = image.shape[:2]
    if max(height, width) <= longer_side:
        return image
    return resize_image(image, *fit_size(height, width, longer_side))


def is_page(path: str | Path) -> bool:
    """Return whether a path has the extension of a page."""
    return Path(path).suffix.lower() in _PAGE_EXTENSIONS


def check_figure(path: str | Path) -> None:
    """Check, before any long work, that a page (``.html``) or an image can be written there."""
    if is_page(path):
        check_replaceable(path, GENERATOR)
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
    columns = []
    for cell, width in zip(cells, widths, strict=False):
        blocks = [to_pillow(cell.image), _blank(1, _SMALL_GAP)]
        columns.append([*blocks, *_write(cell.caption, CAPTION_SIZE, QUIET, width)])
    heights = [sum(block.height for block in column) for column in columns]
    line, left = _blank(_span(widths), max(heights)), 0
    for column, width in zip(columns, widths, strict=False):
        top = 0
        for block in column:
            line.paste(block, (left, top))
            top += block.height
        left += width + _GAP
    return line


def _write(text: str, size: int, ink: str, width: int) -> Iterator[PILImage.Image]:
    """Write a text wrapped to a width, one block a line."""
    for words in wrap_text(text, size, width):
        block = _blank(width, round(1.35 * size))
        ImageDraw.Draw(block).text((0, 0), words, ink, load_font(size))
        yield block


def _blank(width: int, height: int) -> PILImage.Image:
    return PILImage.new("RGB", (width, height), PAPER)
