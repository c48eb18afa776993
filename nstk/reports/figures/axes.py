"""Axes: positions of values on a line, with ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nstk.reports.formatting import format_decimals, format_number, format_power_of_ten

Range = tuple[float, float]

_PLAIN_DECADES = range(-3, 5)
_NOTHING = 1e-290


@dataclass(frozen=True)
class Tick:
    """A mark at ``place``, which is 0 at the start of the axis and 1 at its end."""

    place: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A range of values on a line with named marks; ``low`` is above 0 if it is logarithmic."""

    low: float
    high: float
    log: bool
    marks: tuple[tuple[float, str], ...]

    @property
    def ticks(self) -> tuple[Tick, ...]:
        return tuple(Tick(self.place(value), label) for value, label in self.marks)

    def place(self, value: float) -> float:
        """Return the position of a value: 0 at ``low``, 1 at ``high``; NaN if it has none."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear_axis(
    values: Iterable[float],
    *,
    span: Range | None = None,
    tick_count: int = 6,
    round_ends: bool = False,
) -> Axis:
    """Return an axis over ``span``, or over the finite values; ``round_ends`` adds to its ends."""
    shown = [value for value in values if math.isfinite(value)]
    low, high = span or (min(shown, default=0.0), max(shown, default=1.0))
    size = max(abs(low), abs(high))
    if high - low <= max(1e-12 * size, _NOTHING):
        margin = 1.0 if _whole(shown) or size <= _NOTHING else size / 2
        low, high = low - margin, low + margin
    step = _round_step((high - low) / max(tick_count - 1, 1))
    if _whole([*shown, low, high]):
        step = max(step, 1.0)
    if round_ends and span is None:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    marks = ((k * step, _format(k * step, decimals)) for k in range(first, last + 1))
    return Axis(low, high, False, tuple(marks))


def log_axis(values: Iterable[float], *, span: Range | None = None, tick_count: int = 6) -> Axis:
    """Return an axis over ``span``, or over the values above 0 with a margin."""
    shown = [value for value in values if math.isfinite(value) and value > 0]
    low, high = span or (min(shown, default=1.0), max(shown, default=10.0))
    if span is None:
        margin = max((high / low) ** 0.04, math.sqrt(2 * low / high))
        low, high = low / margin, high * margin
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks: list[tuple[int, int]] = []
    for digits in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        marks = [(digit, decade) for decade in decades for digit in digits]
        marks = [mark for mark in marks if low <= mark[0] * 10.0 ** mark[1] <= high]
        if len(marks) <= tick_count:
            break
    if len(marks) < 2:
        inner = linear_axis([], span=(low, high), tick_count=tick_count)
        return Axis(low, high, True, inner.marks)
    marks = marks[:: math.ceil(len(marks) / max(tick_count, 2))]
    named = ((digit * 10.0**decade, _format_decade(digit, decade)) for digit, decade in marks)
    return Axis(low, high, True, tuple(named))


def _round_step(step: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten (Heckbert 1990, "Nice numbers")."""
    power = 10.0 ** math.floor(math.log10(step))
    fraction = step / power
    return power * (1 if fraction < 1.5 else 2 if fraction < 3.5 else 5 if fraction < 7.5 else 10)


def _whole(values: list[float]) -> bool:
    return all(float(value).is_integer() for value in values)


def _format(value: float, decimals: int) -> str:
    if abs(value) >= 1e7 or (value and decimals > 4):
        return format_number(value, 3)
    return format_decimals(value, decimals)


def _format_decade(digit: int, decade: int) -> str:
    if decade in _PLAIN_DECADES:
        return format_decimals(digit * 10.0**decade, max(0, -decade))
    power = format_power_of_ten(decade)
    return power if digit == 1 else f"{digit}×{power}"
