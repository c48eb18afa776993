"""Bar charts: one lying bar for each named thing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nstk.reports.pages.axes import Axis, Range, linear_axis
from nstk.reports.pages.lettering import measure_text, shorten_text
from nstk.reports.pages.lines import WIDTH
from nstk.reports.pages.numerals import format_number

_PITCH, _TOP, _BOTTOM, _NAME_ROOM = 26.0, 8.0, 44.0, 220.0


@dataclass(frozen=True)
class Bar:
    """One named value.

    Attributes:
        label: Its name.
        value: How long the bar is; no bar where it is not finite.
        text: The value as it is to be read; by `spell_number` when empty.
        low: Lower end of its interval; drawn where both ends are given.
        high: Upper end of its interval.
    """

    label: str
    value: float
    text: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DrawnBar:
    """A bar laid out: where it begins and ends and what is written beside it."""

    label: str
    full_label: str
    text: str
    middle: float
    start: float
    width: float
    text_x: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class BarPlot:
    """A bar chart laid out, in units of `nstk.reports.pages.lines.WIDTH`."""

    height: float
    left: float
    right: float
    top: float
    bottom: float
    axis: Axis
    zero: float
    bars: tuple[DrawnBar, ...]


@dataclass(frozen=True)
class BarChart:
    """Lying bars from zero, one below the other.

    Attributes:
        bars: From the top down.
        label: What they measure, with its unit.
        title: What the chart shows, in words; also its text for readers who cannot see it.
        value_range: Values at both ends of the axis, with 0 among them; zero to a round value
            beyond the longest bar when None.
    """

    template: ClassVar[str] = "bar_chart.html"
    bars: Sequence[Bar]
    label: str
    title: str = ""
    value_range: Range | None = None

    def lay_out(self) -> BarPlot:
        """Find a place for everything."""
        ends = [end for bar in self.bars for end in (bar.value, bar.low, bar.high)]
        shown = [0.0, *(end for end in ends if end is not None)]
        axis = linear_axis(shown, span=self.value_range, round_ends=True, tick_count=7)
        names = max((measure_text(bar.label) for bar in self.bars), default=0.0)
        texts = [bar.text or format_number(bar.value) for bar in self.bars]
        left = min(names, _NAME_ROOM) + 12
        right = WIDTH - max((measure_text(text) for text in texts), default=0.0) - 14

        def place(value: float) -> float:
            return left + min(max(axis.place(value), 0.0), 1.0) * (right - left)

        drawn = []
        for index, (bar, text) in enumerate(zip(self.bars, texts, strict=True)):
            end = place(bar.value) if math.isfinite(bar.value) else place(0.0)
            reaching = max(end, place(0.0))
            interval = None
            if bar.low is not None and bar.high is not None:
                interval = (place(bar.low), place(bar.high))
                reaching = max(reaching, interval[1])
            drawn.append(
                DrawnBar(
                    label=shorten_text(bar.label, _NAME_ROOM),
                    full_label=bar.label,
                    text=text,
                    middle=_TOP + _PITCH * (index + 0.5),
                    start=min(end, place(0.0)),
                    width=abs(end - place(0.0)),
                    text_x=reaching + 8,
                    interval=interval,
                )
            )
        bottom = _TOP + _PITCH * len(self.bars) + 4
        return BarPlot(bottom + _BOTTOM, left, right, _TOP, bottom, axis, place(0.0), tuple(drawn))
