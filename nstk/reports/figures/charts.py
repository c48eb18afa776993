"""Line charts and bar charts: values over an axis."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from nstk.reports.figures.axes import Axis, Range, linear_axis, log_axis
from nstk.reports.figures.colors import DASHES, Color, pick_categories, pick_ramp
from nstk.reports.figures.drawing import (
    WIDTH,
    Area,
    Dot,
    Drawing,
    Frame,
    Line,
    Point,
    Shape,
    Words,
    rectangle,
)
from nstk.reports.figures.text import LINE_HEIGHT, measure_text, shorten_text, spread_labels
from nstk.reports.formatting import format_number

MAX_POINTS = 400
"""Longer curves are drawn through the lowest and highest point of every stretch."""

_TOP, _BOTTOM, _LABEL_WIDTH = 34.0, 46.0, 215.0
_PITCH, _NAME_WIDTH = 26.0, 220.0


@dataclass(frozen=True)
class Series:
    """One curve, broken where ``y`` is not finite, or not above 0 on a logarithmic axis.

    ``low`` and ``high`` are the ends of a band around it, such as an interval. A reference is gray
    and dashed, without a color of its own. ``at`` are the slider values it belongs to.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    reference: bool = False
    at: str = ""


@dataclass(frozen=True)
class Marker:
    """A thin vertical line at one value of the x axis, with a label at its top."""

    x: float
    label: str


@dataclass(frozen=True)
class Spot:
    """A point that a page shows at some slider values, such as the current step."""

    x: float
    y: float
    at: str


def mark_stages(stages: Sequence[tuple[str, int]]) -> list[Marker]:
    """Mark where stages of so many steps begin, such as the scales of a run."""
    starts = [1, *(end + 1 for end in accumulate(steps for _, steps in stages))]
    return [Marker(start, name) for start, (name, _) in zip(starts, stages, strict=False)]


@dataclass(frozen=True)
class LineChart:
    """Curves over a common axis, each labeled where it ends; colors repeat with other dashes.

    The ranges are those of the series when None. ``ordered`` series, such as layers from shallow to
    deep, are colored from dark to bright; ``points`` adds a dot at every point; a chart of many
    curves is taller than ``height``.
    """

    series: Sequence[Series]
    x_label: str
    y_label: str
    title: str = ""
    log_x: bool = False
    log_y: bool = False
    x_range: Range | None = None
    y_range: Range | None = None
    ordered: bool = False
    points: bool = False
    markers: Sequence[Marker] = ()
    spots: Sequence[Spot] = ()
    height: float = 340.0

    def draw(self) -> Drawing:
        x_axis, y_axis = self._axes()
        height = max(self.height, _TOP + _BOTTOM + LINE_HEIGHT * len(self.series))
        widest = max((measure_text(tick.label) for tick in y_axis.ticks), default=0.0)
        names = [measure_text(series.label) for series in self.series]
        right = WIDTH - min(max(names, default=0.0), _LABEL_WIDTH) - 26
        frame = Frame(left=widest + 14, right=right, top=_TOP, bottom=height - _BOTTOM)
        curves = list(self._curves(frame, x_axis, y_axis))
        shapes: list[Shape] = [
            *frame.draw_y_axis(y_axis, self.y_label),
            *frame.draw_x_axis(x_axis, self.x_label),
            *_draw_markers(self.markers, frame, x_axis),
        ]
        shapes += [shape for curve in curves for shape in curve.draw_band()]
        shapes += [shape for curve in curves for shape in curve.draw_line()]
        named = [curve for curve in curves if curve.label]
        ends = [min(max(curve.end[1], frame.top), frame.bottom) for curve in named]
        for curve, y in zip(named, spread_labels(ends, frame.top, frame.bottom), strict=True):
            shapes += curve.draw_label(frame.right, y)
        for spot in self.spots:
            center = frame.across(x_axis, spot.x), frame.down(y_axis, spot.y)
            if _is_finite(center):
                shapes.append(Dot(center, 6.0, "ink", format_number(spot.y, 3), spot.at))
        return Drawing(WIDTH, height, shapes, self.y_label)

    def _axes(self) -> tuple[Axis, Axis]:
        every_x = [x for series in self.series for x in series.x]
        every_y = [y for s in self.series for values in (s.y, s.low, s.high) for y in values]
        x_axis = log_axis if self.log_x else linear_axis
        return x_axis(every_x, span=self.x_range, tick_count=9), (
            log_axis(every_y, span=self.y_range)
            if self.log_y
            else linear_axis(every_y, span=self.y_range, round_ends=True)
        )

    def _curves(self, frame: Frame, x_axis: Axis, y_axis: Axis) -> Iterator["_Curve"]:
        def place(x: Sequence[float], y: Sequence[float]) -> list[Point]:
            pairs = zip(x, y, strict=True)
            return [(frame.across(x_axis, a), frame.down(y_axis, b)) for a, b in pairs]

        colored = sum(not series.reference for series in self.series)
        hues = iter(pick_ramp(colored) if self.ordered else pick_categories(colored))
        dashes = iter(DASHES[index // 7 % len(DASHES)] for index in range(colored))
        for series in self.series:
            upper, lower = (
                [each for each in place(series.x, ends) if _is_finite(each)] if ends else []
                for ends in (series.high, series.low)
            )
            points = place(series.x, series.y)
            finite = [point for point in points if _is_finite(point)]
            yield _Curve(
                label=series.label,
                color="quiet" if series.reference else next(hues),
                dash="4 4" if series.reference else "" if self.ordered else next(dashes),
                strokes=_split_at_gaps(_thin(points)),
                band=(*upper, *reversed(lower)),
                dots=finite if self.points and not series.reference else [],
                end=finite[-1] if finite else (frame.right, frame.bottom),
                at=series.at,
            )


@dataclass(frozen=True)
class _Curve:
    """A series in units of the drawing, broken into strokes at its gaps."""

    label: str
    color: Color
    dash: str
    strokes: Sequence[tuple[Point, ...]]
    band: tuple[Point, ...]
    dots: Sequence[Point]
    end: Point
    at: str

    def draw_band(self) -> Iterator[Shape]:
        if len(self.band) > 2:
            yield Area(self.band, self.color, 0.16, self.label, self.at)

    def draw_line(self) -> Iterator[Shape]:
        width = 1.25 if self.color == "quiet" else 2.0
        for stroke in self.strokes:
            if len(stroke) > 1:
                yield Line(stroke, self.color, width, self.dash, title=self.label, at=self.at)
            elif not self.dots:  # a point without neighbors would not be seen
                yield Dot(stroke[0], 2.0, self.color, self.label, self.at)
        for point in self.dots:
            yield Dot(point, 3.5, self.color, self.label, self.at)

    def draw_label(self, right: float, y: float) -> Iterator[Shape]:
        x, end_y = self.end
        ends = (x + 3, end_y), (right + 16, y)
        yield Line(ends, self.color, opacity=0.55, at=self.at)
        label = shorten_text(self.label, _LABEL_WIDTH)
        yield Words(right + 20, y + 4.5, label, self.color, title=self.label, at=self.at)


def _draw_markers(markers: Sequence[Marker], frame: Frame, axis: Axis) -> Iterator[Shape]:
    """Draw every line, and the labels that do not run into the one before."""
    free_from = frame.left - 1
    for marker in sorted(markers, key=lambda marker: marker.x):
        x = frame.across(axis, marker.x)
        yield Line(((x, frame.top), (x, frame.bottom)), "quiet", dash="1 3")
        end = x + 4 + measure_text(marker.label)
        if x >= free_from and end <= WIDTH:
            yield Words(x + 4, frame.top - 3, marker.label, "quiet")
            free_from = end + 8


def _is_finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _split_at_gaps(points: Sequence[Point]) -> list[tuple[Point, ...]]:
    return [tuple(stroke) for finite, stroke in groupby(points, _is_finite) if finite]


def _thin(points: Sequence[Point]) -> Sequence[Point]:
    """Keep the lowest and the highest point of every stretch, gaps, and both ends of the curve."""
    if len(points) <= MAX_POINTS:
        return points
    stretch = math.ceil(len(points) / (MAX_POINTS // 2))
    kept = {0, len(points) - 1}
    for start in range(0, len(points), stretch):
        indices = range(start, min(start + stretch, len(points)))
        shown = [index for index in indices if _is_finite(points[index])]
        kept.update(index for index in indices if not _is_finite(points[index]))
        if shown:
            kept.add(min(shown, key=lambda index: points[index][1]))
            kept.add(max(shown, key=lambda index: points[index][1]))
    return [points[index] for index in sorted(kept)]


@dataclass(frozen=True)
class Bar:
    """One named value with an interval; without ``text`` it is written by `format_number`."""

    label: str
    value: float
    text: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars from zero; ``value_range`` contains 0, and follows from the bars if None."""

    bars: Sequence[Bar]
    x_label: str
    title: str = ""
    value_range: Range | None = None

    def draw(self) -> Drawing:
        ends = [end for bar in self.bars for end in (bar.value, bar.low, bar.high)]
        shown = [0.0, *(end for end in ends if end is not None)]
        axis = linear_axis(shown, span=self.value_range, round_ends=True, tick_count=7)
        names = max((measure_text(bar.label) for bar in self.bars), default=0.0)
        texts = [bar.text or format_number(bar.value) for bar in self.bars]
        right = WIDTH - max((measure_text(text) for text in texts), default=0.0) - 14
        top, left = 8.0, min(names, _NAME_WIDTH) + 12
        frame = Frame(left, right, top, bottom=top + _PITCH * len(self.bars) + 4)
        shapes = list(frame.draw_x_axis(axis, self.x_label, grid=True))
        for index, (bar, text) in enumerate(zip(self.bars, texts, strict=True)):
            shapes += _draw_bar(bar, text, frame, axis, top + _PITCH * (index + 0.5))
        zero = frame.across(axis, 0.0)
        shapes.append(Line(((zero, frame.top), (zero, frame.bottom)), "quiet"))
        return Drawing(WIDTH, frame.bottom + 44, shapes, self.x_label)


def _draw_bar(bar: Bar, text: str, frame: Frame, axis: Axis, y: float) -> Iterator[Shape]:
    zero = frame.across(axis, 0.0)
    end = frame.across(axis, bar.value) if math.isfinite(bar.value) else zero
    title = f"{bar.label}: {text}"
    name = shorten_text(bar.label, _NAME_WIDTH)
    yield Words(frame.left - 10, y + 4.5, name, "ink", "end", title=title)
    if end != zero:
        yield Area(rectangle(zero, y - 8, end, y + 8), "accent", 0.65, title)
    reaching = max(end, zero)
    if bar.low is not None and bar.high is not None:
        low, high = (frame.across(axis, bound) for bound in (bar.low, bar.high))
        reaching = max(reaching, high)
        yield Line(((low, y), (high, y)), "ink", 1.25)
        for bound in (low, high):
            yield Line(((bound, y - 4), (bound, y + 4)), "ink", 1.25)
    yield Words(reaching + 8, y + 4.5, text, "ink")
