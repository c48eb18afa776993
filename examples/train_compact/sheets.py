"""Contact sheets: one JPEG per class, with one cell per image."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nstk.errors import FolderError

CELL = 64
GRIDS = {"train": (16, 25), "val": (5, 10)}


class Images(NamedTuple):
    """Images of one split, sorted by class."""

    pixels: NDArray[np.uint8]
    """`(count, 64, 64, 3)`, sRGB, 0 to 255."""
    labels: NDArray[np.int32]
    """`(count,)`, indices of the classes."""


def read_classes(folder: Path) -> list[str]:
    """Read the class identifiers in their order.

    Args:
        folder: The folder with `classes.tsv` (identifier, tab, name), `train/` and `val/`.

    Returns:
        The identifiers, one per line of the table.

    Raises:
        FolderError: If the table is missing or empty.
    """
    table = folder / "classes.tsv"
    if not table.is_file():
        raise FolderError(
            f"{table} is missing; it lists one class per line (identifier, tab, name)"
        )
    classes = [line.split("\t")[0] for line in table.read_text().splitlines() if line.strip()]
    if not classes:
        raise FolderError(
            f"{table} lists no classes; one per line is needed (identifier, tab, name)"
        )
    return classes


def cut_sheet(path: Path, rows: int, columns: int) -> NDArray[np.uint8]:
    """Cut one contact sheet into its cells, row by row.

    Args:
        path: An image of exactly `rows * 64` by `columns * 64` pixels.
        rows: Cells from top to bottom.
        columns: Cells from left to right.

    Returns:
        `(rows * columns, 64, 64, 3)`.

    Raises:
        FolderError: If the sheet is missing, unreadable or of another size.
    """
    if not path.is_file():
        raise FolderError(f"{path} is missing; every class of classes.tsv needs its sheet")
    expected = (columns * CELL, rows * CELL)
    try:
        with Image.open(path) as sheet:
            if sheet.size != expected:
                raise FolderError(
                    f"{path} is {sheet.size[0]}×{sheet.size[1]} px; a sheet of {columns}×{rows} "
                    f"cells of {CELL} px is {expected[0]}×{expected[1]} px"
                )
            pixels = np.asarray(sheet.convert("RGB"))
    except OSError as error:
        raise FolderError(f"{path} cannot be read as an image: {error}") from error
    cells = pixels.reshape(rows, CELL, columns, CELL, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(cells.reshape(-1, CELL, CELL, 3))


def read_split(
    folder: Path, split: str, classes: list[str], per_class: int | None = None
) -> Images:
    """Read the sheets of one split.

    Args:
        folder: The folder of the data set.
        split: `train` or `val`.
        classes: Class identifiers; their positions are the labels.
        per_class: Number of images of each class; None for all.

    Returns:
        The images, sorted by class.

    Raises:
        FolderError: If a sheet is missing, unreadable or of another size.
    """
    rows, columns = GRIDS[split]
    count = min(per_class or rows * columns, rows * columns)
    pixels = np.empty((len(classes) * count, CELL, CELL, 3), np.uint8)
    for index, name in enumerate(classes):
        cells = cut_sheet(folder / split / f"{name}.jpg", rows, columns)
        pixels[index * count : (index + 1) * count] = cells[:count]
    return Images(pixels, np.repeat(np.arange(len(classes), dtype=np.int32), count))
