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
    """A mark on an axis.

    Attributes:
        place: Its position, from 0 at the start of the axis to 1 at its end.
        label: The number beside it.
    """

    place: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A range of values on a line, linear or logarithmic.

    Attributes:
        low: The value at its start.
        high: The value at its end, above ``low``.
        log: Whether it is logarithmic; then ``low`` is above 0.
        ticks: Its marks, in ascending order.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[Tick, ...]

    def place(self, value: float) -> float:
        """Return the position of a value: 0 at ``low``, 1 at ``high``; NaN if it has none."""
        return _place(value, self.low, self.high, self.log)


def linear_axis(
    values: Iterable[float],
    *,
    span: Range | None = None,
    tick_count: int = 6,
    round_ends: bool = False,
) -> Axis:
    """Return a linear axis.

    Args:
        values: The values to show; NaN and infinity are ignored.
        span: The values at both ends; those of ``values`` when None.
        tick_count: About how many ticks, at least 3.
        round_ends: Extend an axis without ``span`` to the next tick on both sides.
    """
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
    ticks = tuple(
        Tick(_place(k * step, low, high, False), _format(k * step, decimals))
        for k in range(first, last + 1)
    )
    return Axis(low, high, False, ticks)


def log_axis(values: Iterable[float], *, span: Range | None = None, tick_count: int = 6) -> Axis:
    """Return a logarithmic axis.

    Args:
        values: The values to show; only finite values above 0 count.
        span: The values at both ends, above 0; when None those of ``values`` with a small margin,
            at least a factor of two apart.
        tick_count: About how many ticks, at least 3.
    """
    shown = [value for value in values if math.isfinite(value) and value > 0]
    low, high = span or (min(shown, default=1.0), max(shown, default=10.0))
    if span is None:
        margin = max((high / low) ** 0.04, math.sqrt(2 * low / high))
        low, high = low / margin, high * margin
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks: list[tuple[int, int]] = []
    for digits in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        marks = [(digit, decade) for decade in range(first, last + 1) for digit in digits]
        marks = [mark for mark in marks if low <= mark[0] * 10.0 ** mark[1] <= high]
        if len(marks) <= tick_count:
            break
    if len(marks) < 2:
        inner = linear_axis([], span=(low, high), tick_count=tick_count)
        places = [low + tick.place * (high - low) for tick in inner.ticks]
        spelled = zip(places, (tick.label for tick in inner.ticks), strict=True)
        return Axis(low, high, True, tuple(Tick(_place(p, low, high, True), s) for p, s in spelled))
    marks = marks[:: math.ceil(len(marks) / max(tick_count, 2))]
    ticks = (
        Tick(_place(digit * 10.0**decade, low, high, True), _format_decade(digit, decade))
        for digit, decade in marks
    )
    return Axis(low, high, True, tuple(ticks))


def _place(value: float, low: float, high: float, log: bool) -> float:
    if not math.isfinite(value) or (log and value <= 0):
        return math.nan
    if log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _round_step(step: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten (Heckbert 1990, "Nice numbers")."""
    power = 10.0 ** math.floor(math.log10(step))
    fraction = step / power
    return power * (1 if fraction < 1.5 else 2 if fraction < 3.5 else 5 if fraction < 7.5 else 10)


def _whole(values: list[float]) -> bool:
    return all(float(value).is_integer() for value in values)


def _format(value: float, decimals: int) -> str:
    small = value and decimals > 4
    return (
        format_number(value, 3) if small or abs(value) >= 1e7 else format_decimals(value, decimals)
    )


def _format_decade(digit: int, decade: int) -> str:
    if decade in _PLAIN_DECADES:
        return format_decimals(digit * 10.0**decade, max(0, -decade))
    power = format_power_of_ten(decade)
    return power if digit == 1 else f"{digit}×{power}"
