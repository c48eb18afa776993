"""The report of a sweep: a contact sheet or a page."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from nstk.images.encoding import save_image
from nstk.images.image import Image, fit_size, resize_image
from nstk.reports.figures import LineChart, Marker, Series, draw_chart
from nstk.reports.formatting import format_number
from nstk.reports.pages import (
    Block,
    CaptionedImage,
    Figure,
    Headline,
    ImageRow,
    Page,
    Paragraph,
    Section,
    Table,
    Value,
    write_page,
)
from nstk.reports.sheets import Cell, Row, draw_sheet, is_page
from nstk.sweeping.grid import SweepAxis
from nstk.sweeping.job import Sweep
from nstk.sweeping.records import SweptRun

_ROOM = 1560
_SMALLEST, _LARGEST = 120, 384
"""Longer side of an image on the sheet, in pixels."""

_LARGEST_SHOWN = 512
"""The same on the page, which holds all of them at once."""

MOST_CURVES = 14
"""Largest number of curves that a reader can tell apart in one chart."""

PARTS = ("content", "style")


def save_sweep(sweep: Sweep, path: str | Path) -> Path:
    """Write the images of a sweep side by side with their loss curves.

    Args:
        sweep: The sweep.
        path: The file; ``.html`` writes a page with a table of all figures, an image extension a
            contact sheet.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be written.
        ImageError: If an image of the sweep was deleted.
    """
    if is_page(path):
        return write_page(compose_sweep_page(sweep), path)
    return save_image(path, draw_sweep_sheet(sweep))


def draw_sweep_sheet(sweep: Sweep) -> Image:
    """Draw the images in a row, or in a grid with a heading for each row, above the curves.

    Args:
        sweep: The sweep.

    Returns:
        float32 ``(height, width, 3)`` in ``[0, 1]``.
    """
    across = len(sweep.axes[-1].values)
    largest = max(run.point.settings.size for run in sweep.runs)
    side = min(max(_ROOM // across - 14, _SMALLEST), _LARGEST, largest)
    given = [("content", sweep.content), *sweep.styles.items(), *sweep.masks.items()]
    rows = [Row([Cell(_shrink(image, side), name) for name, image in given])]
    rows += [
        Row(
            [Cell(_shrink(run.load(), side), _caption(sweep, run)) for run in runs],
            heading=heading,
        )
        for heading, runs in _rows(sweep)
    ]
    charts = [*draw_ends(sweep), *draw_loss_curves(sweep)]
    rows += [Row([Cell(draw_chart(chart))]) for chart in charts]
    return draw_sheet(_title(sweep), rows, note=_note(sweep), width=_ROOM, columns=across)


def compose_sweep_page(sweep: Sweep) -> Page:
    """Compose a page of the images, their curves and a table of all figures."""
    given = [("content", sweep.content), *sweep.styles.items(), *sweep.masks.items()]
    blocks: list[Block] = [
        ImageRow([CaptionedImage(image, name) for name, image in given], width=200),
        Headline(
            [
                Figure("Runs", format_number(len(sweep.runs))),
                Figure("Seconds", format_number(sweep.seconds, 3), "for all runs"),
            ]
        ),
    ]
    for heading, runs in _rows(sweep):
        shown = [_show(sweep, run) for run in runs]
        blocks.append(Section(heading or "Images", [ImageRow(shown, width=200)]))
    ends, optimizations = draw_ends(sweep), draw_loss_curves(sweep)
    if ends or optimizations:
        blocks.append(Section("Losses", [*ends, *optimizations]))
    blocks.append(Section("All figures", [_tabulate(sweep)]))
    if any(run.diverged for run in sweep.runs):
        blocks.append(Paragraph("Diverged runs show their last good image.", "warning"))
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
    notes = ["diverged: last good image"] if run.diverged else []
    return "\n".join([last.label(run.point.values[last.key]), *losses, *notes])


def _show(sweep: Sweep, run: SweptRun) -> CaptionedImage:
    caption, _, note = _caption(sweep, run).partition("\n")
    return CaptionedImage(_shrink(run.load(), _LARGEST_SHOWN), caption, note.replace("\n", ", "))


def _title(sweep: Sweep) -> str:
    return "A sweep over " + " and ".join(axis.option for axis in sweep.axes)


def _note(sweep: Sweep) -> str:
    networks = ", ".join(dict.fromkeys(run.backbone for run in sweep.runs))
    return (
        f"Stylized with {networks}. Below each image: content and style loss at the last step, "
        "relative to their targets, before weighting."
    )


def _tabulate(sweep: Sweep) -> Table:
    options = [axis.option for axis in sweep.axes]
    parts = ("content", "style", "tv", "loss")
    rows: list[tuple[Value, ...]] = [
        (
            *(axis.format_value(run.point.values[axis.key]) for axis in sweep.axes),
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


def draw_ends(sweep: Sweep) -> list[LineChart]:
    """Draw the final content and style loss against a numeric setting.

    Returns:
        For one axis one chart of both losses; for two axes one chart for each loss, with a curve
        for each value of the other axis. Empty where neither axis has two numbers.
    """
    across = len(sweep.axes) - 1
    axis = sweep.axes[across]
    if axis.numbers is None and across:
        axis, across = sweep.axes[0], 0
    if axis.numbers is None or len(axis.numbers) < 2:
        return []
    if len(sweep.axes) == 1:
        series = [_end_curve(part, axis, sweep.runs, part) for part in PARTS]
        return [_end_chart("Final loss", axis, series)]
    other = sweep.axes[1 - across]
    charts = []
    for part in PARTS:
        series = []
        for index, value in enumerate(other.values):
            runs = [run for run in sweep.runs if run.point.index[1 - across] == index]
            series.append(_end_curve(other.format_value(value), axis, runs, part))
        charts.append(_end_chart(f"Final {part} loss by {other.option}", axis, series))
    return charts


def draw_loss_curves(sweep: Sweep) -> list[LineChart]:
    """Draw content and style loss of every run by step; nothing for too many runs."""
    if len(sweep.runs) > MOST_CURVES:
        return []
    ordered = len(sweep.axes) == 1 and sweep.axes[0].numbers is not None
    options = " and ".join(axis.option for axis in sweep.axes)
    return [
        LineChart(
            [_loss_curve(sweep.axes, run, part) for run in sweep.runs],
            "step (all scales)",
            f"relative {part} loss",
            f"{part.capitalize()} loss by step, for each {options}",
            log_y=part == "style",  # content may start at 0
            ordered=ordered,
            markers=_markers(sweep.runs),
        )
        for part in PARTS
    ]


def _end_curve(label: str, axis: SweepAxis, runs: Sequence[SweptRun], part: str) -> Series:
    ends = sorted((float(run.point.values[axis.key]), run.terms[part]) for run in runs)
    return Series(label, [x for x, _ in ends], [y for _, y in ends])


def _end_chart(title: str, axis: SweepAxis, series: Sequence[Series]) -> LineChart:
    numbers = axis.numbers or ()
    wide = min(numbers) > 0 and max(numbers) >= 20 * min(numbers)
    heights = [y for curve in series for y in curve.y if y > 0]
    return LineChart(
        series,
        axis.option,
        "relative loss",
        title,
        log_x=wide,
        log_y=bool(heights) and max(heights) >= 20 * min(heights),
        points=True,
    )


def _loss_curve(axes: Sequence[SweepAxis], run: SweptRun, part: str) -> Series:
    values = run.curves[part]
    label = ", ".join(axis.format_value(run.point.values[axis.key]) for axis in axes)
    return Series(label, range(1, len(values) + 1), values)


def _markers(runs: Sequence[SweptRun]) -> list[Marker]:
    """Mark where scales begin, if that is the same for all runs."""
    stages = runs[0].stages
    if any(list(run.stages) != list(stages) for run in runs):
        return []
    starts = [1, *(end + 1 for end in accumulate(steps for _, steps in stages))]
    return [Marker(start, name) for start, (name, _) in zip(starts, stages, strict=False)]
