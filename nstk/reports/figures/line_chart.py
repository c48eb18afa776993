"""Line charts: curves over a common axis, each labeled where it ends."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nstk.reports.figures.axes import Axis, Range, linear_axis, log_axis
from nstk.reports.figures.colors import DASHES, Color, pick_categories, pick_ramp
from nstk.reports.figures.drawing import Area, Dot, Drawing, Frame, Line, Point, Shape, Words
from nstk.reports.figures.text import LINE_HEIGHT, measure_text, shorten_text, spread_labels

WIDTH = 880.0
"""Width of every chart in its own units, which are CSS pixels on a wide screen."""

MAX_POINTS = 400
"""Longer curves are drawn through the lowest and highest point of every stretch."""

_TOP, _BOTTOM, _LABEL_WIDTH = 34.0, 46.0, 215.0


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        label: Its name.
        x: Values along the x axis, in ascending order.
        y: One value for each ``x``; the curve is broken where one is not finite, or not above
            0 on a logarithmic axis.
        low: Lower ends of a band around the curve, such as an interval; none when empty.
        high: Its upper ends, as many.
        reference: Draw it gray and dashed, without a color of its own.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    reference: bool = False


@dataclass(frozen=True)
class Marker:
    """A thin vertical line at one value of the x axis, with a label at its top."""

    x: float
    label: str


@dataclass(frozen=True)
class LineChart:
    """Curves over a common axis.

    Attributes:
        series: The curves. Colors repeat with other dashes after seven.
        x_label: What the x axis measures, with its unit.
        y_label: What the y axis measures, with its unit.
        title: What the chart shows; also its text for readers who cannot see it.
        log_x: Use a logarithmic x axis.
        log_y: Use a logarithmic y axis.
        x_range: Values at both ends of the x axis; those of the series when None.
        y_range: The same for y; rounded values beyond those of the series when None.
        ordered: The series have an order, such as layers from shallow to deep, and are colored
            from dark to bright.
        points: Also draw a dot at every point, for curves of few points.
        markers: Vertical lines, such as where a new stage begins.
        height: Height of the whole chart; a chart of many curves is taller.
    """

    template: ClassVar[str] = "chart.html"
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
    height: float = 340.0

    @property
    def label(self) -> str:
        """The chart's text for readers who cannot see it."""
        return self.title or self.y_label

    def draw(self) -> Drawing:
        """Lay the chart out."""
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
        ends = [min(max(curve.end[1], frame.top), frame.bottom) for curve in curves]
        for curve, y in zip(curves, spread_labels(ends, frame.top, frame.bottom), strict=True):
            shapes += curve.draw_label(frame.right, y)
        return Drawing(WIDTH, height, shapes)

    def _axes(self) -> tuple[Axis, Axis]:
        every_x = [x for series in self.series for x in series.x]
        every_y = [y for s in self.series for values in (s.y, s.low, s.high) for y in values]
        x_axis = (
            log_axis(every_x, span=self.x_range, tick_count=9)
            if self.log_x
            else linear_axis(every_x, span=self.x_range, tick_count=9)
        )
        y_axis = (
            log_axis(every_y, span=self.y_range)
            if self.log_y
            else linear_axis(every_y, span=self.y_range, round_ends=True)
        )
        return x_axis, y_axis

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

    def draw_band(self) -> Iterator[Shape]:
        if len(self.band) > 2:
            yield Area(self.band, self.color, 0.16, self.label)

    def draw_line(self) -> Iterator[Shape]:
        width = 1.25 if self.color == "quiet" else 2.0
        for stroke in self.strokes:
            if len(stroke) > 1:
                yield Line(stroke, self.color, width, self.dash, title=self.label)
            elif not self.dots:  # a point without neighbors would not be seen
                yield Dot(stroke[0], 2.0, self.color, self.label)
        for point in self.dots:
            yield Dot(point, 3.5, self.color, self.label)

    def draw_label(self, right: float, y: float) -> Iterator[Shape]:
        x, end_y = self.end
        yield Line(((x + 3, end_y), (right + 16, y)), self.color, opacity=0.55)
        label = shorten_text(self.label, _LABEL_WIDTH)
        yield Words(right + 20, y + 4.5, label, self.color, title=self.label)


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
    strokes: list[list[Point]] = [[]]
    for point in points:
        if _is_finite(point):
            strokes[-1].append(point)
        else:
            strokes.append([])
    return [tuple(stroke) for stroke in strokes if stroke]


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
