"""Range and type checks for settings, each with a one-line error."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from nstk.errors import SettingsError


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Refuse a number outside ``[low, high]``, and anything that is not a finite number.

    Raises:
        SettingsError: Names the parameter, its value and the range.
    """
    _check_number(name, value, low, high, is_kind=_is_number(value), kind="a number")


def check_whole(name: str, value: int, low: float, high: float = float("inf")) -> None:
    """Refuse a number outside ``[low, high]``, and anything that is not a whole number.

    Raises:
        SettingsError: Names the parameter, its value and the range.
    """
    is_whole = _is_number(value) and isinstance(value, int)
    _check_number(name, value, low, high, is_kind=is_whole, kind="a whole number")


def check_word(name: str, value: object, kind: object) -> None:
    """Refuse a word that is not one of a ``Literal``.

    Raises:
        SettingsError: Names the parameter, its value and the choices.
    """
    words = get_args(kind)
    if value not in words:
        raise _refuse(name, value, f"one of {', '.join(words)}")


def check_switch(name: str, value: object) -> None:
    """Refuse a value that is not a bool.

    Raises:
        SettingsError: Names the parameter and its value.
    """
    if not isinstance(value, bool):
        raise _refuse(name, value, "true or false")


def check_blocks(name: str, value: object) -> None:
    """Refuse a value that is not a number of blocks.

    Raises:
        SettingsError: Names the parameter and its value.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _refuse(name, value, "none, auto, all or a number of blocks, at least 1")


def check_layers(name: str, value: object) -> None:
    """Refuse a value that does not map layers to weights of 0 or more.

    Raises:
        SettingsError: Names the parameter, its value and what is needed.
    """
    weights = list(value.values()) if isinstance(value, Mapping) else []
    if value != "auto" and not are_weights(weights):
        layers = "auto, or layers with weights of 0 or more, not all of them 0"
        raise _refuse(name, value, f"{layers}, as in block1_conv1:4,block2_conv1:1")


def are_weights(values: Iterable[Any]) -> bool:
    """Whether all are numbers of 0 or more, and not all of them 0."""
    weights = list(values)
    return all(_is_number(each) and 0 <= each < float("inf") for each in weights) and any(weights)


def _check_number(
    name: str, value: float, low: float, high: float, *, is_kind: bool, kind: str
) -> None:
    if not is_kind or not low <= value <= high or value == float("inf"):
        span = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        raise _refuse(name, value, f"{kind} {span}")


def _refuse(name: str, value: object, needed: str) -> SettingsError:
    return SettingsError(f"`{name}` is {value!r}; it must be {needed}.")


def _is_number(value: object) -> bool:
    """Whether a value is a number; bool does not count."""
    return isinstance(value, int | float) and not isinstance(value, bool)
