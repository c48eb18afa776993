"""Which settings are varied, over which values, and the runs that this makes."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from nstk.errors import SettingsError
from nstk.settings import StylizeSettings, read_setting

BACKBONE = "backbone"
"""What is varied beside the settings: the network."""

KEYS = (*(each.name for each in fields(StylizeSettings)), BACKBONE)


@dataclass(frozen=True)
class SweepAxis:
    """One setting and the values it is to take.

    Attributes:
        key: A field of `StylizeSettings`, or ``backbone``.
        values: At least one, in the order in which they are shown; no value twice.

    Raises:
        SettingsError: If there is no such setting, no value, or one of them twice.
    """

    key: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if self.key not in KEYS:
            raise SettingsError(_unknown(self.option))
        twice = [value for place, value in enumerate(self.values) if value in self.values[:place]]
        if twice or not self.values:
            what = f"{self.format_value(twice[0])} twice" if twice else "no value"
            raise SettingsError(
                f"--over {self.option} has {what}; give every value once, as in "
                "--over content-weight=0.001,0.01,0.1."
            )

    @property
    def option(self) -> str:
        """The key as the shell spells it."""
        return self.key.replace("_", "-")

    def format_value(self, value: Any) -> str:
        """One of the values as a person would write it."""
        if isinstance(value, Mapping):
            parts = (
                name if weight == 1 else f"{name}:{weight:g}" for name, weight in value.items()
            )
            return ",".join(parts)
        if isinstance(value, tuple):
            return ",".join(f"{part:g}" for part in value)
        return f"{value:g}" if isinstance(value, float) else str(value)

    def label(self, value: Any) -> str:
        """The key with one of its values: ``content-weight 0.001``."""
        return f"{self.option} {self.format_value(value)}"

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """The values, where all of them are numbers."""
        values = [value for value in self.values if isinstance(value, int | float)]
        return tuple(map(float, values)) if len(values) == len(self.values) else None


def read_axis(text: str) -> SweepAxis:
    """Read ``content-weight=1e-3,1e-2``; semicolons stand between values that hold commas.

    Values are read as the option of that name reads them.

    Args:
        text: ``KEY=V1,V2,…`` or ``KEY=V1;V2;…``.

    Raises:
        SettingsError: If there is no such setting, or it cannot have such a value.

    Example:
        >>> from nstk.sweeping.grid import read_axis
        >>> read_axis("content-weight=1e-3,1e-2").values
        (0.001, 0.01)
        >>> read_axis("content-layers=block1_conv1;block1_conv1,block2_conv1").spell({"a": 2.0})
        'a:2'
    """
    option, equals, listed = text.partition("=")
    key = option.strip().removeprefix("--").replace("-", "_")
    if not equals:
        raise SettingsError(
            f"--over is {text!r}; it must be a setting and its values, as in "
            "content-weight=1e-3,1e-2."
        )
    if key not in KEYS:
        raise SettingsError(_unknown(option.strip()))
    typed = [part.strip() for part in listed.split(";" if ";" in listed else ",")]
    return SweepAxis(key, tuple(_read(key, part) for part in typed if part))


@dataclass(frozen=True)
class GridPoint:
    """One of the paintings to be made.

    Attributes:
        place: Where it stands on every axis, counted from 0.
        choice: What it takes of every axis, by key.
        settings: All its settings.
        backbone: The name of its network; None for the one that all have.
        label: What tells it from the others: ``content-weight 0.001, strength 0.5``.
    """

    place: tuple[int, ...]
    choice: Mapping[str, Any]
    settings: StylizeSettings
    backbone: str | None
    label: str


def make_grid(axes: Sequence[SweepAxis], settings: StylizeSettings) -> tuple[GridPoint, ...]:
    """Every combination of the values; the last axis changes fastest.

    Args:
        axes: One or two of different keys.
        settings: What all have in common.

    Raises:
        SettingsError: If there are none or more than two axes, two of one key, or a value is out
            of its range.
    """
    if not 1 <= len(axes) <= 2 or len({axis.key for axis in axes}) < len(axes):
        given = ", ".join(axis.option for axis in axes) or "nothing"
        raise SettingsError(f"--over was given for {given}; give one or two different settings.")
    places = product(*(range(len(axis.values)) for axis in axes))
    return tuple(_point(axes, place, settings) for place in places)


def count_points(axes: Sequence[SweepAxis]) -> int:
    """How many combinations there are."""
    count = 1
    for axis in axes:
        count *= len(axis.values)
    return count


def _point(
    axes: Sequence[SweepAxis], place: tuple[int, ...], settings: StylizeSettings
) -> GridPoint:
    picked = [(axis, axis.values[index]) for axis, index in zip(axes, place, strict=True)]
    choice = {axis.key: value for axis, value in picked}
    changes = {key: value for key, value in choice.items() if key != BACKBONE}
    return GridPoint(
        place=place,
        choice=choice,
        settings=replace(settings, **changes),
        backbone=choice.get(BACKBONE),
        label=", ".join(axis.label(value) for axis, value in picked),
    )


def _read(key: str, text: str) -> Any:
    if key == BACKBONE:
        return text
    try:
        value = read_setting(StylizeSettings, key, text)
        StylizeSettings(**{key: value})
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise SettingsError(f"--over {key.replace('_', '-')} has {text!r}: {reason}.") from None
    return value


def _unknown(option: str) -> str:
    options = [key.replace("_", "-") for key in KEYS]
    nearest = difflib.get_close_matches(option, options, n=1)
    meant = f" did you mean {nearest[0]}?" if nearest else ""
    return f"--over {option} is no setting of a painting;{meant} choose from {', '.join(options)}."
