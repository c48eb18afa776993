"""The report of Newton's method: tangents on a curve, and optimizers on the loss of an image."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from nstk.images.encoding import save_image
from nstk.images.image import Image
from nstk.inspecting.expressions import Expression
from nstk.inspecting.newton import NewtonInspection, TangentStep
from nstk.reports.figures import LineChart, Series, Spot, draw_chart
from nstk.reports.formatting import format_count, format_number
from nstk.reports.pages import CaptionedImage
from nstk.reports.sheets import Cell, Row, draw_sheet, fit_width, is_page
from nstk.reports.sliders import Frame, Slider, Stage, format_place, write_slider_page

_POINTS = 241
_MARGIN = 0.15
_NUMBERS = 8
"""Digits of x in formulas: enough to see how they settle."""

_IMAGE = 240

_NOTE = (
    "The tangent at x meets zero at the next x. For an "
    "image the loss takes the place of the curve: Newton's method needs its Hessian, L-BFGS "
    "estimates it from past steps, gradient descent does without."
)
_OPTIMIZERS = "The same loss of an image"


def save_newton(found: NewtonInspection, path: str | Path) -> Path:
    """Write a page with sliders for the steps, or a contact sheet."""
    if not is_page(path):
        return save_image(path, draw_newton_sheet(found))
    return write_slider_page(
        path, [_stage_curve(found), _stage_images(found)], title=_title(found), subtitle=_NOTE
    )


def draw_newton_sheet(found: NewtonInspection) -> Image:
    """Draw the tangents, the last image of each optimizer, and their losses."""
    last = [Cell(fit_width(run.image, _IMAGE), name) for name, run in found.runs.items()]
    original = Cell(fit_width(found.original, _IMAGE), "the image")
    rows = [
        Row([Cell(draw_chart(draw_tangents(found)))], heading=_describe_end(found)),
        Row([original, *last], heading=_OPTIMIZERS, note=_describe_loss(found)),
        *(Row([Cell(draw_chart(chart))]) for chart in draw_comparison(found)),
    ]
    return draw_sheet(_title(found), rows, note=_NOTE, columns=4)


def _title(found: NewtonInspection) -> str:
    return f"Newton's method on f(x) = {found.function}"


def _describe_end(found: NewtonInspection) -> str:
    last = found.tangents[-1]
    count = format_count(len(found.tangents) - 1, "step")
    return {
        "root": f"A zero at x = {format_number(last.x, _NUMBERS)} after {count}",
        "horizontal tangent": f"After {count} the tangent is horizontal and never meets zero",
        "diverged": f"After {count} x has left the curve",
        "not converged": f"No zero after {count}",
    }[found.ending]


def _describe_loss(found: NewtonInspection) -> str:
    return (
        f"The content loss of {', '.join(found.layers)} of {found.backbone}, from the same white "
        "noise. Seconds are those of this machine, without compilation."
    )


def _stage_curve(found: NewtonInspection) -> Stage:
    return Stage(
        sliders=[Slider("step", [str(k) for k in range(len(found.tangents))])],
        frames=[
            Frame((k, None), [], _write_step(step, k)) for k, step in enumerate(found.tangents)
        ],
        charts=[draw_tangents(found)],
        heading=_describe_end(found),
    )


def _write_step(step: TangentStep, k: int) -> list[str]:
    x, value, slope, following = (
        format_number(number, _NUMBERS)
        for number in (step.x, step.value, step.slope, step.following)
    )
    numbers = [f"x_{k} = {x}", f"f(x_{k}) = {value}", f"f′(x_{k}) = {slope}"]
    if math.isnan(step.following):
        return [", ".join(numbers)]
    change = f"x_{k + 1} = x_{k} − f(x_{k}) / f′(x_{k})"
    return [", ".join(numbers), f"{change} = {following}"]


def draw_tangents(found: NewtonInspection) -> LineChart:
    """Draw the curve, and for every step its tangent down to zero and the way back to the curve."""
    function, steps = Expression(found.function), found.tangents
    reached = [number for step in steps for number in (step.x, step.following)]
    reached = [number for number in reached if math.isfinite(number)]
    low, high = min(reached), max(reached)
    margin = _MARGIN * (high - low) or 1.0
    x = np.linspace(low - margin, high + margin, _POINTS)
    curve = [function(each)[0] for each in x]
    values = [step.value for step in steps if math.isfinite(step.value)]
    y_range = _span([0.0, *values], curve)
    shown = [y if y_range[0] <= y <= y_range[1] else math.nan for y in curve]
    tangents = [
        Series(
            "",
            [step.x, step.following, step.following],
            [step.value, 0.0, after.value],
            at=format_place((k, None)),
        )
        for k, (step, after) in enumerate(pairwise(steps))
    ]
    return LineChart(
        [
            Series("0", [x[0], x[-1]], [0, 0], reference=True),
            Series("f(x)", x.tolist(), shown),
            *tangents,
        ],
        "x",
        f"f(x) = {found.function}",
        x_range=(x[0], x[-1]),
        y_range=y_range,
        spots=[Spot(step.x, step.value, format_place((k, None))) for k, step in enumerate(steps)],
        height=400,
    )


def _span(values: Sequence[float], curve: Sequence[float]) -> tuple[float, float]:
    """The range of y: that of the steps, with a margin where the curve needs one."""
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or 1.0
    finite = [y for y in curve if math.isfinite(y)]
    return max(low - margin, min(finite, default=low) - margin / 3), high + margin


def _stage_images(found: NewtonInspection) -> Stage:
    steps = [step for step, _ in next(iter(found.runs.values())).snapshots]
    frames = [
        Frame(
            (None, n),
            [
                CaptionedImage(
                    run.snapshots[n][1], name, _describe_progress(run.losses, run.seconds, step)
                )
                for name, run in found.runs.items()
            ],
        )
        for n, step in enumerate(steps)
    ]
    return Stage(
        sliders=[Slider("steps", [str(step) for step in steps], len(steps) - 1)],
        frames=frames,
        given=[CaptionedImage(found.original, "the image")],
        charts=draw_comparison(found),
        heading=_OPTIMIZERS,
        text=_describe_loss(found),
    )


def _describe_progress(losses: Sequence[float], seconds: Sequence[float], step: int) -> str:
    loss = losses[min(step, len(losses) - 1)]
    spent = seconds[step - 1] if step else 0.0
    return f"loss {format_number(loss, 3)} after {format_number(spent, 2)} s"


def draw_comparison(found: NewtonInspection) -> list[LineChart]:
    """Draw the losses by step and by second."""
    steps = [Series(name, range(len(run.losses)), run.losses) for name, run in found.runs.items()]
    seconds = [
        Series(name, (0.0, *run.seconds[:-1]), run.losses) for name, run in found.runs.items()
    ]
    label = "relative content loss"
    return [
        LineChart(
            steps,
            "steps done",
            label,
            "Loss by step",
            log_y=True,
            spots=_mark_snapshots(found, steps),
        ),
        LineChart(
            seconds,
            "seconds",
            label,
            "Loss by time",
            log_y=True,
            spots=_mark_snapshots(found, seconds),
        ),
    ]


def _mark_snapshots(found: NewtonInspection, curves: Sequence[Series]) -> list[Spot]:
    """Return the points of every curve at the steps of the snapshots."""
    return [
        Spot(curve.x[place], curve.y[place], format_place((None, n)))
        for curve, run in zip(curves, found.runs.values(), strict=True)
        for n, (step, _) in enumerate(run.snapshots)
        for place in [min(step, len(run.losses) - 1)]
    ]
