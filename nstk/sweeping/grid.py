"""The settings that a sweep varies, their values, and the resulting runs."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product

from nstk.errors import SettingsError
from nstk.settings import StylizeSettings, read_setting
from nstk.types import SettingValue

BACKBONE = "backbone"
"""What can be varied besides settings: the network."""

KEYS = (*(each.name for each in fields(StylizeSettings)), BACKBONE)


@dataclass(frozen=True)
class SweepAxis:
    """One setting and its values.

    Attributes:
        key: A field of `StylizeSettings`, or ``backbone``.
        values: At least one, in display order, without duplicates.

    Raises:
        SettingsError: If the setting is unknown, or there is no value or a duplicate.
    """

    key: str
    values: tuple[SettingValue, ...]

    def __post_init__(self) -> None:
        if self.key not in KEYS:
            raise SettingsError(_describe_unknown(self.option))
        twice = [value for index, value in enumerate(self.values) if value in self.values[:index]]
        if twice or not self.values:
            what = f"{self.format_value(twice[0])} twice" if twice else "no value"
            raise SettingsError(
                f"`over` {self.option} has {what}; give every value once, as in "
                "content-weight=0.001,0.01,0.1."
            )

    @property
    def option(self) -> str:
        """The key as an option of the command line."""
        return self.key.replace("_", "-")

    def format_value(self, value: SettingValue) -> str:
        """Format a value as a person would write it."""
        if isinstance(value, Mapping):
            parts = (
                name if weight == 1 else f"{name}:{weight:g}" for name, weight in value.items()
            )
            return ",".join(parts)
        if isinstance(value, tuple):
            return ",".join(f"{part:g}" for part in value)
        return f"{value:g}" if isinstance(value, float) else str(value)

    def label(self, value: SettingValue) -> str:
        """Return the key with a value: ``content-weight 0.001``."""
        return f"{self.option} {self.format_value(value)}"

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """The values, if all of them are numbers."""
        values = [value for value in self.values if isinstance(value, int | float)]
        return tuple(map(float, values)) if len(values) == len(self.values) else None


def read_axis(text: str) -> SweepAxis:
    """Parse ``content-weight=1e-3,1e-2``; semicolons separate values that contain commas.

    Values are parsed as the option of that name parses them.

        >>> from nstk.sweeping.grid import read_axis
        >>> read_axis("content-weight=1e-3,1e-2").values
        (0.001, 0.01)
        >>> read_axis("content-layers=block1_conv1;block1_conv1,block2_conv1").values[0]
        {'block1_conv1': 1.0}
    """
    option, equals, listed = text.partition("=")
    key = option.strip().removeprefix("--").replace("-", "_")
    if not equals:
        raise SettingsError(
            f"`over` is {text!r}; it must be a setting and its values, as in "
            "content-weight=1e-3,1e-2."
        )
    if key not in KEYS:
        raise SettingsError(_describe_unknown(option.strip()))
    typed = [part.strip() for part in listed.split(";" if ";" in listed else ",")]
    return SweepAxis(key, tuple(_parse_value(key, part) for part in typed if part))


@dataclass(frozen=True)
class GridPoint:
    """One run of a grid, with its index and its value on every axis.

    Its label is unique: ``content-weight 0.001, strength 0.5``. The network is the common one if
    it is None.
    """

    index: tuple[int, ...]
    values: Mapping[str, SettingValue]
    settings: StylizeSettings
    backbone: str | None
    label: str


def make_grid(axes: Sequence[SweepAxis], settings: StylizeSettings) -> tuple[GridPoint, ...]:
    """Every combination of the values of one or two axes; the last changes fastest."""
    if not 1 <= len(axes) <= 2 or len({axis.key for axis in axes}) < len(axes):
        given = ", ".join(axis.option for axis in axes) or "nothing"
        raise SettingsError(f"`over` names {given}; give one or two different settings.")
    indices = product(*(range(len(axis.values)) for axis in axes))
    return tuple(_make_point(axes, index, settings) for index in indices)


def count_points(axes: Sequence[SweepAxis]) -> int:
    """The number of combinations."""
    return math.prod(len(axis.values) for axis in axes)


def _make_point(
    axes: Sequence[SweepAxis], index: tuple[int, ...], settings: StylizeSettings
) -> GridPoint:
    picked = [(axis, axis.values[k]) for axis, k in zip(axes, index, strict=True)]
    values = {axis.key: value for axis, value in picked}
    changes = {key: value for key, value in values.items() if key != BACKBONE}
    return GridPoint(
        index=index,
        values=values,
        settings=replace(settings, **changes),
        backbone=values.get(BACKBONE),
        label=", ".join(axis.label(value) for axis, value in picked),
    )


def _parse_value(key: str, text: str) -> SettingValue:
    if key == BACKBONE:
        return text
    try:
        value = read_setting(StylizeSettings, key, text)
        StylizeSettings(**{key: value})
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise SettingsError(f"`over` {key.replace('_', '-')} has {text!r}: {reason}.") from None
    return value


def _describe_unknown(option: str) -> str:
    options = [key.replace("_", "-") for key in KEYS]
    nearest = difflib.get_close_matches(option, options, n=1)
    hint = f" did you mean {nearest[0]}?" if nearest else ""
    return f"`over` {option} is not a setting;{hint} choose from {', '.join(options)}."
