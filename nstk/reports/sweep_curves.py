"""The charts of a sweep: how each run descended, and where it ended."""

from collections.abc import Sequence
from itertools import accumulate

from nstk.reports.pages import LineChart, Marker, Series
from nstk.sweeping.grid import SweepAxis
from nstk.sweeping.job import Sweep
from nstk.sweeping.records import SweptRun

MOST_CURVES = 14
"""Runs whose descents can still be told apart in one chart."""

PARTS = ("content", "style")


def draw_ends(sweep: Sweep) -> list[LineChart]:
    """Content and style loss at the last step against a setting that is a number.

    Returns:
        One chart with both for one axis; for two, one chart for each part with a curve for every
        value of the other axis. None of them where neither axis has two numbers.
    """
    across = len(sweep.axes) - 1
    axis = sweep.axes[across]
    if axis.numbers is None and across:
        axis, across = sweep.axes[0], 0
    if axis.numbers is None or len(axis.numbers) < 2:
        return []
    if len(sweep.axes) == 1:
        series = [_end_curve(part, axis, sweep.runs, part) for part in PARTS]
        return [_end_chart("The loss at the end", axis, series)]
    other = sweep.axes[1 - across]
    charts = []
    for part in PARTS:
        series = []
        for index, value in enumerate(other.values):
            runs = [run for run in sweep.runs if run.point.place[1 - across] == index]
            series.append(_end_curve(other.format_value(value), axis, runs, part))
        charts.append(_end_chart(f"The {part} loss at the end, by {other.option}", axis, series))
    return charts


def draw_loss_curves(sweep: Sweep) -> list[LineChart]:
    """Content and style loss of every run over its steps; nothing where they are too many."""
    if len(sweep.runs) > MOST_CURVES:
        return []
    ordered = len(sweep.axes) == 1 and sweep.axes[0].numbers is not None
    options = " and ".join(axis.option for axis in sweep.axes)
    return [
        LineChart(
            [_loss_curve(sweep.axes, run, part) for run in sweep.runs],
            "step, over all scales",
            f"{part} loss, relative",
            f"The {part} loss over the steps, by {options}",
            log_y=part == "style",  # content may start at 0
            ordered=ordered,
            markers=_markers(sweep.runs),
        )
        for part in PARTS
    ]


def _end_curve(label: str, axis: SweepAxis, runs: Sequence[SweptRun], part: str) -> Series:
    ends = sorted((float(run.point.choice[axis.key]), run.terms[part]) for run in runs)
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
    label = ", ".join(axis.format_value(run.point.choice[axis.key]) for axis in axes)
    return Series(label, range(1, len(values) + 1), values)


def _markers(runs: Sequence[SweptRun]) -> list[Marker]:
    """Where scales begin, if that is the same for all runs."""
    stages = runs[0].stages
    if any(list(run.stages) != list(stages) for run in runs):
        return []
    starts = [1, *(end + 1 for end in accumulate(steps for _, steps in stages))]
    return [Marker(start, name) for start, (name, _) in zip(starts, stages, strict=False)]
