"""Line charts: curves over a common axis, each named where it ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nstk.reports.pages.axes import Axis, Range, linear_axis, log_axis
from nstk.reports.pages.lettering import LINE_HEIGHT, measure_text, shorten_text, spread_labels
from nstk.reports.pages.palettes import DASHES, Hue, pick_categories, pick_ramp

WIDTH = 880.0
"""Width of every chart in its own units, which are CSS pixels on a wide screen."""

MAX_POINTS = 400
"""Longer curves are drawn through the lowest and highest point of every stretch."""

_TOP, _BOTTOM, _LABEL_ROOM = 30.0, 46.0, 215.0

Place = tuple[float, float]
"""Across and down, in units of `WIDTH`."""


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        label: Its name.
        x: Places along the axis, in ascending order.
        y: Values, one for each place; the curve is broken where one is not finite, or not above
            0 on a logarithmic axis.
        low: Lower ends of a band round the curve, such as an interval; none when empty.
        high: Its upper ends, as many.
        reference: Draw it gray and dashed and give it no color of its own, as something to
            compare with.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    reference: bool = False


@dataclass(frozen=True)
class Marker:
    """A thin upright line at one place of the x axis, with a few words at its top."""

    x: float
    label: str


@dataclass(frozen=True)
class Curve:
    """A series laid out: where it runs, also in SVG's spelling, and where its name stands.

    Its places are broken where one is not finite.
    """

    label: str
    full_label: str
    hue: Hue | None
    dash: str
    places: tuple[Place, ...]
    path: str
    outline: tuple[Place, ...]
    band: str
    points: tuple[tuple[float, float, str], ...]
    end: Place
    label_y: float


@dataclass(frozen=True)
class LinePlot:
    """A line chart laid out, in units of `WIDTH`."""

    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_axis: Axis
    y_axis: Axis
    curves: tuple[Curve, ...]
    markers: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class LineChart:
    """Curves over a common axis.

    Attributes:
        series: The curves. Colors repeat with other dashes after seven.
        x_label: What the x axis measures, with its unit.
        y_label: What the y axis measures, with its unit.
        title: What the chart shows, in words; also its text for readers who cannot see it.
        log_x: Whether equal distances along x are equal ratios.
        log_y: The same for y.
        x_range: Values at both ends of the x axis; those of the series when None.
        y_range: The same for y; rounded values beyond those of the series when None.
        ordered: The series stand in an order, such as layers from shallow to deep, and are
            colored from dark to bright.
        points: Also draw a dot at every point, for curves of few points.
        markers: Upright lines, such as where a new stage begins.
        height: Height of the whole chart in units of its width, 880; more is taken if that many
            curves are to be named.
    """

    template: ClassVar[str] = "line_chart.html"
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

    def lay_out(self) -> LinePlot:
        """Find a place for everything."""
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
        height = max(self.height, _TOP + _BOTTOM + LINE_HEIGHT * len(self.series))
        widest = max((measure_text(tick.label) for tick in y_axis.ticks), default=0.0)
        names = [measure_text(series.label) for series in self.series]
        frame = _Frame(
            x_axis,
            y_axis,
            left=widest + 14,
            right=WIDTH - min(max(names, default=0.0), _LABEL_ROOM) - 26,
            top=_TOP,
            bottom=height - _BOTTOM,
        )
        return LinePlot(
            height=height,
            left=frame.left,
            right=frame.right,
            top=frame.top,
            bottom=frame.bottom,
            x_axis=x_axis,
            y_axis=y_axis,
            curves=_lay_out_curves(self, frame),
            markers=_lay_out_markers(self.markers, frame),
        )


@dataclass(frozen=True)
class _Frame:
    """The rectangle in which curves are drawn."""

    x_axis: Axis
    y_axis: Axis
    left: float
    right: float
    top: float
    bottom: float

    def point(self, x: float, y: float) -> Place:
        across, up = self.x_axis.place(x), self.y_axis.place(y)
        return (
            self.left + across * (self.right - self.left),
            self.bottom - up * (self.bottom - self.top),
        )


def _lay_out_curves(chart: LineChart, frame: _Frame) -> tuple[Curve, ...]:
    colored = [series for series in chart.series if not series.reference]
    hues = iter(pick_ramp(len(colored)) if chart.ordered else pick_categories(len(colored)))
    dashes = (DASHES[index // 7 % len(DASHES)] for index in range(len(colored)))
    drawn = []
    for series in chart.series:
        places = [frame.point(x, y) for x, y in zip(series.x, series.y, strict=True)]
        values = [f"{x:g}, {y:g}" for x, y in zip(series.x, series.y, strict=True)]
        dots = [(*p, v) for p, v in zip(places, values, strict=True) if _is_point(p)]
        seen = [place for place in places if _is_point(place)]
        thinned, outline = _thin(places), _outline(series, frame)
        drawn.append(
            Curve(
                label=shorten_text(series.label, _LABEL_ROOM),
                full_label=series.label,
                hue=None if series.reference else next(hues),
                dash="4 4" if series.reference else "" if chart.ordered else next(dashes),
                places=tuple(thinned),
                path=_path(thinned),
                outline=outline,
                band=f"{_path(outline)}Z" if outline else "",
                points=tuple(dots) if chart.points and not series.reference else (),
                end=seen[-1] if seen else (frame.right, frame.bottom),
                label_y=0.0,
            )
        )
    wished = [min(max(curve.end[1], frame.top), frame.bottom) for curve in drawn]
    spread = spread_labels(wished, frame.top, frame.bottom)
    return tuple(
        Curve(**{**vars(curve), "label_y": y}) for curve, y in zip(drawn, spread, strict=True)
    )


def _lay_out_markers(markers: Sequence[Marker], frame: _Frame) -> tuple[tuple[float, str], ...]:
    """Every line, and of the labels those that do not run into the one before."""
    laid, free_from = [], frame.left - 1
    for marker in sorted(markers, key=lambda marker: marker.x):
        place = frame.point(marker.x, frame.y_axis.high)[0]
        fits = place >= free_from and place + measure_text(marker.label) <= WIDTH
        laid.append((place, marker.label if fits else ""))
        if fits:
            free_from = place + measure_text(marker.label) + 8
    return tuple(laid)


def _is_point(place: Place) -> bool:
    return math.isfinite(place[0]) and math.isfinite(place[1])


def _path(places: Sequence[Place]) -> str:
    commands, pen_down = [], False
    for place in places:
        if _is_point(place):
            # A round cap on no length at all is a dot, so a lonely point is seen too.
            commands.append(f"{'L' if pen_down else 'M'}{place[0]:.1f} {place[1]:.1f}")
            commands += [] if pen_down else ["h0"]
        pen_down = _is_point(place)
    return "".join(commands)


def _outline(series: Series, frame: _Frame) -> tuple[Place, ...]:
    """All round a band: along its upper ends, and back along its lower ones."""
    if not series.low:
        return ()
    lower = [frame.point(x, y) for x, y in zip(series.x, series.low, strict=True)]
    upper = [frame.point(x, y) for x, y in zip(series.x, series.high, strict=True)]
    return tuple(place for place in (*upper, *reversed(lower)) if _is_point(place))


def _thin(places: Sequence[Place]) -> Sequence[Place]:
    """Keep of every stretch its lowest and its highest point, and both ends of the curve."""
    if len(places) <= MAX_POINTS:
        return places
    stretch = math.ceil(len(places) / (MAX_POINTS // 2))
    kept = {0, len(places) - 1}
    for start in range(0, len(places), stretch):
        indices = range(start, min(start + stretch, len(places)))
        shown = [index for index in indices if _is_point(places[index])]
        if len(shown) < len(indices):
            kept.update(index for index in indices if index not in shown)
        if shown:
            kept.add(min(shown, key=lambda index: places[index][1]))
            kept.add(max(shown, key=lambda index: places[index][1]))
    return [places[index] for index in sorted(kept)]
