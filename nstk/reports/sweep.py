"""A sweep as one image or as one page."""

from pathlib import Path

from nstk.images.image import Image, fit_size, resize_image, save_image
from nstk.reports.pages import (
    Block,
    CaptionedImage,
    Cell,
    Figure,
    Headline,
    ImageRow,
    Page,
    Paragraph,
    Section,
    Table,
    write_page,
)
from nstk.reports.pages.numerals import format_number
from nstk.reports.sheets import sheet as sheets
from nstk.reports.sheets.charts import draw_chart
from nstk.reports.sheets.outputs import is_page
from nstk.reports.sweep_curves import PARTS, draw_ends, draw_loss_curves
from nstk.sweeping.job import Sweep
from nstk.sweeping.records import SweptRun

_ROOM = 1560
_SMALLEST, _LARGEST = 120, 384
"""Longer side of an image on the sheet, in pixels."""

_LARGEST_SHOWN = 512
"""The same on the page, which holds all of them at once."""


def save_sweep(sweep: Sweep, path: str | Path) -> Path:
    """Write all paintings of a sweep side by side with their curves.

    Args:
        sweep: The paintings.
        path: Where; ``.html`` makes a page with a table of all figures, the ending of an image
            makes a contact sheet.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be written.
        ImageError: If a painting is no longer there.
    """
    if is_page(path):
        return write_page(compose_sweep_page(sweep), path)
    return save_image(path, draw_sweep_sheet(sweep))


def draw_sweep_sheet(sweep: Sweep) -> Image:
    """Lay the paintings out in a row, or in a grid with a heading for each row, above the curves.

    Args:
        sweep: The paintings.

    Returns:
        float32 ``(height, width, 3)`` in ``[0, 1]``.
    """
    across = len(sweep.axes[-1].values)
    largest = max(run.point.settings.size for run in sweep.runs)
    side = min(max(_ROOM // across - 14, _SMALLEST), _LARGEST, largest)
    given = [("content", sweep.content), *sweep.styles.items(), *sweep.masks.items()]
    rows = [sheets.Row([sheets.Cell(_shrink(image, side), name) for name, image in given])]
    rows += [
        sheets.Row(
            [sheets.Cell(_shrink(run.load(), side), _caption(sweep, run)) for run in runs],
            heading=heading,
        )
        for heading, runs in _rows(sweep)
    ]
    charts = [*draw_ends(sweep), *draw_loss_curves(sweep)]
    rows += [sheets.Row([sheets.Cell(draw_chart(chart))]) for chart in charts]
    return sheets.draw_sheet(_title(sweep), rows, note=_note(sweep), width=_ROOM, columns=across)


def compose_sweep_page(sweep: Sweep) -> Page:
    """Put the paintings, their curves and a table of all figures on a page."""
    given = [("content", sweep.content), *sweep.styles.items(), *sweep.masks.items()]
    blocks: list[Block] = [
        ImageRow([CaptionedImage(image, name) for name, image in given], width=200),
        Headline(
            [
                Figure("Runs", format_number(len(sweep.runs))),
                Figure("Seconds", format_number(sweep.seconds, 3), "of all descents"),
            ]
        ),
    ]
    for heading, runs in _rows(sweep):
        shown = [_show(sweep, run) for run in runs]
        blocks.append(Section(heading or "The paintings", [ImageRow(shown, width=200)]))
    ends, optimizations = draw_ends(sweep), draw_loss_curves(sweep)
    if ends or optimizations:
        blocks.append(Section("The losses", [*ends, *optimizations]))
    blocks.append(Section("All figures", [_tabulate(sweep)]))
    if any(run.diverged for run in sweep.runs):
        blocks.append(Paragraph("A run that diverged shows its last good image.", "warning"))
    return Page(title=_title(sweep), subtitle=_note(sweep), blocks=blocks)


def _rows(sweep: Sweep) -> list[tuple[str, tuple[SweptRun, ...]]]:
    """The runs of each row with its heading."""
    if len(sweep.axes) == 1:
        return [("", sweep.runs)]
    first = sweep.axes[0]
    return [(first.label(value), sweep.row(index)) for index, value in enumerate(first.values)]


def _caption(sweep: Sweep, run: SweptRun) -> str:
    last = sweep.axes[-1]
    losses = (f"{part} loss {format_number(run.terms[part], 3)}" for part in PARTS)
    notes = ["diverged: the last good image"] if run.diverged else []
    return "\n".join([last.label(run.point.choice[last.key]), *losses, *notes])


def _show(sweep: Sweep, run: SweptRun) -> CaptionedImage:
    caption, _, note = _caption(sweep, run).partition("\n")
    return CaptionedImage(_shrink(run.load(), _LARGEST_SHOWN), caption, note.replace("\n", ", "))


def _title(sweep: Sweep) -> str:
    return "A sweep over " + " and ".join(axis.option for axis in sweep.axes)


def _note(sweep: Sweep) -> str:
    networks = ", ".join(dict.fromkeys(run.backbone for run in sweep.runs))
    return (
        f"Painted through {networks}. Below each image are the content and the style loss at "
        "its last step, relative to their targets and before their weights."
    )


def _tabulate(sweep: Sweep) -> Table:
    options = [axis.option for axis in sweep.axes]
    parts = ("content", "style", "tv", "loss")
    rows: list[tuple[Cell, ...]] = [
        (
            *(axis.format_value(run.point.choice[axis.key]) for axis in sweep.axes),
            *(run.terms[part] for part in parts),
            format_number(run.seconds, 3),
            run.output.name,
        )
        for run in sweep.runs
    ]
    numbers = [axis.option for axis in sweep.axes if axis.numbers is not None]
    return Table((*options, *parts, "seconds", "image"), rows, numeric=(*numbers, "seconds"))


def _shrink(image: Image, side: int) -> Image:
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    return resize_image(image, *fit_size(height, width, side))
