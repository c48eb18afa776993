"""What a chart is drawn with: lines, areas, dots and words in one coordinate system.

A chart lays itself out as a `Drawing` once; a page shows it as SVG and a contact sheet as pixels.
Later shapes cover earlier ones, and a reader who points at a shape sees its ``title``. On a page
with sliders, a shape with ``at`` belongs to these values: ``"2 *"`` to the third of the first
slider and every one of the second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from nstk.reports.figures.axes import Axis
from nstk.reports.figures.colors import Color
from nstk.reports.figures.text import measure_text

WIDTH = 880.0
"""Width of every chart in its own units, which are CSS pixels on a wide screen."""

Point = tuple[float, float]
"""Across and down, in units of the drawing."""

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Line:
    """A line through finite points; ``dash`` has lengths on and off, as SVG spells them."""

    kind: ClassVar[str] = "line"
    points: tuple[Point, ...]
    color: Color
    width: float = 1.0
    dash: str = ""
    opacity: float = 1.0
    title: str = ""
    at: str = ""


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    kind: ClassVar[str] = "area"
    points: tuple[Point, ...]
    color: Color
    opacity: float = 1.0
    title: str = ""
    at: str = ""


@dataclass(frozen=True)
class Dot:
    """A filled circle."""

    kind: ClassVar[str] = "dot"
    center: Point
    radius: float
    color: Color
    title: str = ""
    at: str = ""


@dataclass(frozen=True)
class Words:
    """A line of text on the baseline ``y``, turned by ``angle`` degrees clockwise."""

    kind: ClassVar[str] = "words"
    x: float
    y: float
    text: str
    color: Color
    anchor: Anchor = "start"
    angle: float = 0.0
    title: str = ""
    at: str = ""


Shape = Line | Area | Dot | Words


@dataclass(frozen=True)
class Drawing:
    """A chart laid out; ``label`` describes a chart without a title to those who cannot see it."""

    width: float
    height: float
    shapes: Sequence[Shape]
    label: str

    def texts(self) -> Iterator[Words]:
        return (shape for shape in self.shapes if isinstance(shape, Words))


@dataclass(frozen=True)
class Frame:
    """The rectangle in which values are drawn, with its axes."""

    left: float
    right: float
    top: float
    bottom: float

    def across(self, axis: Axis, value: float) -> float:
        """Return where a value of the x axis lies; NaN for none."""
        return self.left + _clip(axis.place(value)) * (self.right - self.left)

    def down(self, axis: Axis, value: float) -> float:
        """Return where a value of the y axis lies; NaN for none."""
        return self.bottom - _clip(axis.place(value)) * (self.bottom - self.top)

    def draw_x_axis(self, axis: Axis, label: str, *, grid: bool = False) -> Iterator[Shape]:
        """Draw ticks, or lines of a grid, with the numbers that do not overlap below them."""
        free_from = -1e9
        for tick in axis.ticks:
            x = self.left + tick.place * (self.right - self.left)
            start, end = (self.top, self.bottom) if grid else (self.bottom, self.bottom + 4)
            yield Line(((x, start), (x, end)), "rule" if grid else "quiet")
            half = measure_text(tick.label) / 2
            if x - half >= free_from:
                yield Words(x, self.bottom + 19, tick.label, "quiet", "middle")
                free_from = x + half + 6
        middle = (self.left + self.right) / 2
        yield Words(middle, self.bottom + 40, label, "quiet", "middle")

    def draw_y_axis(self, axis: Axis, label: str) -> Iterator[Shape]:
        """Draw lines across the frame with their numbers on the left."""
        for tick in axis.ticks:
            y = self.bottom - tick.place * (self.bottom - self.top)
            yield Line(((self.left, y), (self.right, y)), "rule")
            yield Words(self.left - 8, y + 4.5, tick.label, "quiet", "end")
        yield Words(0, 12, label, "quiet")
        yield Line(((self.left, self.bottom), (self.right, self.bottom)), "quiet")


def rectangle(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _clip(place: float) -> float:
    return place if place != place else min(max(place, 0.0), 1.0)
