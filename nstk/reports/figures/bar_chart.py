"""Bar charts: one horizontal bar for each named value."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nstk.reports.figures.axes import Axis, Range, linear_axis
from nstk.reports.figures.drawing import Area, Drawing, Frame, Line, Shape, Words
from nstk.reports.figures.line_chart import WIDTH
from nstk.reports.figures.text import measure_text, shorten_text
from nstk.reports.formatting import format_number

_PITCH, _TOP, _BOTTOM, _NAME_WIDTH = 26.0, 8.0, 44.0, 220.0


@dataclass(frozen=True)
class Bar:
    """One named value.

    Attributes:
        label: Its name.
        value: The length of the bar; no bar where it is not finite.
        text: The value as text; by `format_number` when empty.
        low: Lower end of its interval; drawn where both ends are given.
        high: Upper end of its interval.
    """

    label: str
    value: float
    text: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class BarChart:
    """Horizontal bars from zero, one below the other.

    Attributes:
        bars: From the top down.
        x_label: What they measure, with its unit.
        title: What the chart shows; also its text for readers who cannot see it.
        value_range: Values at both ends of the axis, with 0 among them; zero to a round value
            beyond the longest bar when None.
    """

    template: ClassVar[str] = "chart.html"
    bars: Sequence[Bar]
    x_label: str
    title: str = ""
    value_range: Range | None = None

    @property
    def label(self) -> str:
        """The chart's text for readers who cannot see it."""
        return self.title or self.x_label

    def draw(self) -> Drawing:
        """Lay the chart out."""
        ends = [end for bar in self.bars for end in (bar.value, bar.low, bar.high)]
        shown = [0.0, *(end for end in ends if end is not None)]
        axis = linear_axis(shown, span=self.value_range, round_ends=True, tick_count=7)
        names = max((measure_text(bar.label) for bar in self.bars), default=0.0)
        texts = [bar.text or format_number(bar.value) for bar in self.bars]
        right = WIDTH - max((measure_text(text) for text in texts), default=0.0) - 14
        bottom = _TOP + _PITCH * len(self.bars) + 4
        frame = Frame(left=min(names, _NAME_WIDTH) + 12, right=right, top=_TOP, bottom=bottom)
        shapes: list[Shape] = list(frame.draw_x_axis(axis, self.x_label, grid=True))
        for index, (bar, text) in enumerate(zip(self.bars, texts, strict=True)):
            shapes += _draw_bar(bar, text, frame, axis, _TOP + _PITCH * (index + 0.5))
        zero = frame.across(axis, 0.0)
        shapes.append(Line(((zero, frame.top), (zero, frame.bottom)), "quiet"))
        return Drawing(WIDTH, bottom + _BOTTOM, shapes)


def _draw_bar(bar: Bar, text: str, frame: Frame, axis: Axis, y: float) -> Iterator[Shape]:
    zero = frame.across(axis, 0.0)
    end = frame.across(axis, bar.value) if math.isfinite(bar.value) else zero
    title = f"{bar.label}: {text}"
    name = shorten_text(bar.label, _NAME_WIDTH)
    yield Words(frame.left - 10, y + 4.5, name, "ink", "end", title=title)
    if end != zero:
        corners = ((zero, y - 8), (end, y - 8), (end, y + 8), (zero, y + 8))
        yield Area(corners, "accent", 0.65, title)
    reaching = max(end, zero)
    if bar.low is not None and bar.high is not None:
        low, high = (frame.across(axis, bound) for bound in (bar.low, bar.high))
        reaching = max(reaching, high)
        for start, stop in (
            ((low, y), (high, y)),
            ((low, y - 4), (low, y + 4)),
            ((high, y - 4), (high, y + 4)),
        ):
            yield Line((start, stop), "ink", 1.25)
    yield Words(reaching + 8, y + 4.5, text, "ink")
