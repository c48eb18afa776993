"""The report of a sweep: a contact sheet, or a page with a slider for each setting."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nstk.images.encoding import save_image
from nstk.images.image import Image
from nstk.reports.figures import LineChart, Series, Spot, draw_chart, mark_stages
from nstk.reports.formatting import format_number
from nstk.reports.pages import CaptionedImage
from nstk.reports.sheets import Cell, Row, draw_sheet, is_page, shrink
from nstk.reports.sliders import Frame, Slider, Stage, format_place, write_slider_page
from nstk.stylization.recipe import content_weight_at
from nstk.sweeping.grid import SweepAxis
from nstk.sweeping.job import Sweep
from nstk.sweeping.records import SweptRun

_WIDTH = 1560
_SMALLEST, _LARGEST = 120, 384
"""Longer side of an image on the sheet, in pixels."""

MOST_CURVES = 14
"""Largest number of curves that a reader can tell apart in one chart."""

PARTS = ("content", "style")
TERMS = (*PARTS, "tv")


def save_sweep(sweep: Sweep, path: str | Path) -> Path:
    """Write the images of a sweep side by side with their loss curves.

    Args:
        sweep: The sweep.
        path: The file; ``.html`` writes a page with sliders, an image extension a contact sheet.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be written.
        ImageError: If an image of the sweep was deleted.
    """
    if not is_page(path):
        return save_image(path, draw_sweep_sheet(sweep))
    stage = Stage(
        sliders=[
            Slider(axis.option, [axis.format_value(value) for value in axis.values])
            for axis in sweep.axes
        ],
        frames=[_show(sweep, run) for run in sweep.runs],
        given=[CaptionedImage(image, name) for name, image in _list_inputs(sweep).items()],
        charts=[*draw_ends(sweep), *draw_loss_curves(sweep)],
    )
    return write_slider_page(
        path,
        [stage],
        template="sweep.html",
        title=_title(sweep),
        subtitle=_note(sweep, "Beside"),
        sweep=sweep,
    )


def draw_sweep_sheet(sweep: Sweep) -> Image:
    """Draw the images in a row, or in a grid with a heading for each row, above the curves."""
    across = len(sweep.axes[-1].values)
    largest = max(run.point.settings.size for run in sweep.runs)
    side = min(max(_WIDTH // across - 14, _SMALLEST), _LARGEST, largest)
    given = _list_inputs(sweep).items()
    rows = [Row([Cell(shrink(image, side), name) for name, image in given])]
    for heading, runs in _rows(sweep):
        cells = [Cell(shrink(run.load(), side), "\n".join(_caption(sweep, run))) for run in runs]
        rows.append(Row(cells, heading=heading))
    charts = [*draw_ends(sweep), *draw_loss_curves(sweep)]
    rows += [Row([Cell(draw_chart(chart))]) for chart in charts]
    return draw_sheet(_title(sweep), rows, note=_note(sweep), width=_WIDTH, columns=across)


def _list_inputs(sweep: Sweep) -> dict[str, Image]:
    return {"content": sweep.content, **sweep.styles, **sweep.masks}


def _rows(sweep: Sweep) -> list[tuple[str, Sequence[SweptRun]]]:
    """The runs of each row with its heading."""
    if len(sweep.axes) == 1:
        return [("", sweep.runs)]
    first = sweep.axes[0]
    return [(first.label(value), sweep.row(index)) for index, value in enumerate(first.values)]


def _show(sweep: Sweep, run: SweptRun) -> Frame:
    image, settings = run.load(), run.point.settings
    labels = [axis.label(run.point.values[axis.key]) for axis in sweep.axes]
    note = "diverged: last good image" if run.diverged else ""
    alpha = None
    if not isinstance(settings.strength, str):
        alpha = content_weight_at(settings.strength, settings.content_weight, max(image.shape[:2]))
    weights = (alpha, settings.style_weight, settings.tv_weight)
    return Frame(
        at=run.point.index,
        images=[CaptionedImage(image, ", ".join(labels), note)],
        formula=[
            "L = α·L_content + β·L_style + γ·L_tv",
            " + ".join(
                f"{symbol if weight is None else format_number(weight, 3)}"
                f"·{format_number(run.terms[part], 3)}"
                for symbol, weight, part in zip("αβγ", weights, TERMS, strict=True)
            ).join(("= ", f" = {format_number(run.terms['loss'], 3)}")),
        ],
        facts={
            "backbone": run.backbone,
            "steps": len(run.curves["loss"]),
            "seconds": float(f"{run.seconds:.3g}"),
        },
    )


def _caption(sweep: Sweep, run: SweptRun) -> list[str]:
    last = sweep.axes[-1]
    losses = (f"{part} loss {format_number(run.terms[part], 3)}" for part in PARTS)
    notes = ["diverged: last good image"] if run.diverged else []
    return [last.label(run.point.values[last.key]), *losses, *notes]


def _title(sweep: Sweep) -> str:
    return "A sweep over " + " and ".join(axis.option for axis in sweep.axes)


def _note(sweep: Sweep, place: str = "Below") -> str:
    networks = ", ".join(dict.fromkeys(run.backbone for run in sweep.runs))
    return (
        f"Stylized with {networks}. {place} each image: content and style loss at the last step, "
        "relative to their targets, before weighting."
    )


def draw_ends(sweep: Sweep) -> list[LineChart]:
    """Draw the final content and style loss against a numeric setting.

    For one axis one chart of both losses; for two axes one chart for each loss, with a curve for
    each value of the other axis. Empty where neither axis has two numbers.
    """
    numeric = [axis for axis in sweep.axes if axis.numbers and len(axis.numbers) > 1]
    if not numeric:
        return []
    axis = numeric[-1]
    if len(sweep.axes) == 1:
        series = [_end_curve(part, axis, sweep.runs, part) for part in PARTS]
        spots = [_end_spot(part, axis, run) for part in PARTS for run in sweep.runs]
        return [_end_chart("Final loss", axis, series, spots)]
    across = 1 - sweep.axes.index(axis)
    other, charts = sweep.axes[across], []
    for part in PARTS:
        series = []
        for index, value in enumerate(other.values):
            runs = [run for run in sweep.runs if run.point.index[across] == index]
            curve = _end_curve(other.format_value(value), axis, runs, part)
            at = format_place((index, None) if across == 0 else (None, index))
            series.append(replace(curve, at=at))
        spots = [_end_spot(part, axis, run) for run in sweep.runs]
        charts.append(_end_chart(f"Final {part} loss by {other.option}", axis, series, spots))
    return charts


def _end_curve(label: str, axis: SweepAxis, runs: Sequence[SweptRun], part: str) -> Series:
    ends = sorted((float(run.point.values[axis.key]), run.terms[part]) for run in runs)
    return Series(label, [x for x, _ in ends], [y for _, y in ends])


def _end_spot(part: str, axis: SweepAxis, run: SweptRun) -> Spot:
    place = format_place(run.point.index)
    return Spot(float(run.point.values[axis.key]), run.terms[part], place)


def _end_chart(
    title: str, axis: SweepAxis, series: Sequence[Series], spots: Sequence[Spot]
) -> LineChart:
    heights = [y for curve in series for y in curve.y if y > 0]
    return LineChart(
        series,
        axis.option,
        "relative loss",
        title,
        log_x=min(axis.numbers or (0,)) > 0 and _is_wide(axis.numbers or ()),
        log_y=_is_wide(heights),
        spots=spots,
        points=True,
    )


def _is_wide(values: Sequence[float]) -> bool:
    return bool(values) and max(values) >= 20 * min(values)


def draw_loss_curves(sweep: Sweep) -> list[LineChart]:
    """Draw content and style loss of every run by step; nothing for too many runs."""
    if len(sweep.runs) > MOST_CURVES:
        return []
    ordered = len(sweep.axes) == 1 and sweep.axes[0].numbers is not None
    options = " and ".join(axis.option for axis in sweep.axes)
    stages = sweep.runs[0].stages
    same = all(list(run.stages) == list(stages) for run in sweep.runs)
    charts = []
    for part in PARTS:
        series = []
        for run in sweep.runs:
            values = [axis.format_value(run.point.values[axis.key]) for axis in sweep.axes]
            losses = run.curves[part]
            place = format_place(run.point.index)
            series.append(Series(", ".join(values), range(1, len(losses) + 1), losses, at=place))
        charts.append(
            LineChart(
                series,
                "step (all scales)",
                f"relative {part} loss",
                f"{part.capitalize()} loss by step, for each {options}",
                log_y=part == "style",  # content may start at 0
                ordered=ordered,
                markers=mark_stages(stages) if same else (),
            )
        )
    return charts
