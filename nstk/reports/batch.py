"""What a batch leaves beside its images: a table of figures and a contact sheet."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from nstk.images.encoding import save_image
from nstk.images.image import Image
from nstk.images.loading import load_image
from nstk.reports.sheets import Cell, Row, draw_sheet, shrink
from nstk.storage.files import atomic_write
from nstk.stylization.batch.job import Batch, BatchImage
from nstk.types import Json

SHEET, TABLE, RECORD = "contact-sheet.png", "results.csv", "results.json"

MOST_CELLS = 120
"""Largest number of images on a contact sheet; it stays a file that any program opens."""

_SIDE = 180
_WIDTH = 1560
_COLUMNS = (
    *("output", "content", "style", "width", "height", "loss", "content_loss", "style_loss"),
    *("tv_loss", "steps", "seconds", "seconds_per_step", "strength", "backbone", "precision"),
    *("tiling", "peak_memory_bytes"),
)


def write_batch(batch: Batch) -> list[Path]:
    """Write the figures of a batch as CSV and JSON and, unless it is empty, its contact sheet."""
    folder = batch.folder
    facts = json.dumps(batch.to_dict(), ensure_ascii=False, indent=1).encode(errors="replace")
    written = [
        atomic_write(folder / TABLE, lambda path: path.write_bytes(_format_table(batch))),
        atomic_write(folder / RECORD, lambda path: path.write_bytes(facts + b"\n")),
    ]
    if batch.images:
        written.append(save_image(folder / SHEET, draw_batch(batch)))
    return written


def draw_batch(batch: Batch) -> Image:
    """Draw a row for each content: the image itself, then what was made of it."""
    shown = batch.images[:MOST_CELLS]
    rows: dict[Path, list[BatchImage]] = {}
    for each in shown:
        rows.setdefault(each.content, []).append(each)
    single = all(len(row) == 1 for row in rows.values())
    cells = [list(_draw_row(content, row)) for content, row in rows.items()]
    lines = [[cell for row in cells for cell in row]] if single else cells
    styles = ", ".join(dict.fromkeys(each.style.name for each in shown))
    rest = len(batch.images) - len(shown)
    note = f"Styles: {styles}." + (f" The first {len(shown)} images; {rest} more." if rest else "")
    across = _WIDTH // _SIDE // 2 * 2 if single else min(max(map(len, lines)), _WIDTH // _SIDE)
    title = f"{len(batch.images)} stylized images"
    return draw_sheet(title, [Row(line) for line in lines], note=note, width=_WIDTH, columns=across)


def _draw_row(content: Path, images: list[BatchImage]) -> Iterator[Cell]:
    yield Cell(shrink(load_image(content).pixels, _SIDE), content.name)
    for each in images:
        yield Cell(shrink(load_image(each.output).pixels, _SIDE), each.style.name)


def _format_table(batch: Batch) -> bytes:
    file = io.StringIO(newline="")
    table = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
    table.writeheader()
    for each in batch.images:
        row: dict[str, Json] = each.to_dict()
        losses = {f"{name}_loss": value for name, value in row["terms"].items()}
        table.writerow({**row, **losses})
    return file.getvalue().encode("utf-8", "surrogateescape")
