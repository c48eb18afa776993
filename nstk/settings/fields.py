"""Fields of settings classes: default, help text, range, and how to parse and check the value."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from nstk.errors import SettingsError
from nstk.settings.parsing import parse_color

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Settings = TypeVar("_Settings", bound="DataclassInstance")

INFINITY = math.inf
MAX_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A settings class; values that contradict the types or ranges of its fields are refused."""

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        for each in fields(self):
            value, kind = getattr(self, each.name), kinds[each.name]
            if each.metadata["check"] is not None:
                each.metadata["check"](each.name, value)
            elif not (isinstance(value, str) and value in list_words(kind)) and (
                value is not None or type(None) not in get_args(kind)
            ):
                _check_kind(each.name, value, kind, *each.metadata["span"])


def setting(
    default: object,
    help: str,
    *,
    span: tuple[float, float] = (0, INFINITY),
    check: Callable[[str, Any], None] | None = None,
    parse: Callable[[str], object] | None = None,
    metavar: str | None = None,
) -> Any:
    """Declare one field of a settings class, with what the command line needs to know about it.

    Args:
        default: The default value.
        help: Help text: one sentence, without a full stop.
        span: Smallest and largest number, where the type allows numbers.
        check: Takes name and value, and refuses values that type and span do not.
        parse: Converts text to the value, if the field's type alone does not determine how.
        metavar: Placeholder for the value in help pages.
    """
    known = {"help": help, "span": span, "check": check, "parse": parse, "metavar": metavar}
    return field(default=default, metadata=known)


def resolve_settings(
    kind: type[_Settings], settings: _Settings | None, options: Mapping[str, object]
) -> _Settings:
    """Return a settings object, given as such or as keyword options.

    Raises:
        SettingsError: If both are given, an option is unknown, or a value is out of range.

    Example:
        >>> from nstk.settings import StylizeSettings, resolve_settings
        >>> resolve_settings(StylizeSettings, None, {"size": 256}).size
        256
    """
    if settings is not None and not isinstance(settings, kind):
        raise SettingsError(
            f"settings is a {type(settings).__name__}; pass a {kind.__name__}, or the settings "
            "as keyword arguments."
        )
    if settings is not None and options:
        raise SettingsError(
            f"both settings and {', '.join(options)} were passed; pass a {kind.__name__} or "
            "keyword arguments."
        )
    names = [each.name for each in fields(kind)]
    for unknown in (name for name in options if name not in names):
        nearest = difflib.get_close_matches(unknown, names, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"choose from {', '.join(names)}."
        raise SettingsError(f"{unknown} is not a parameter of {kind.__name__}; {hint}")
    return kind(**options) if settings is None else settings


def read_setting(settings: type, name: str, text: str) -> Any:
    """Parse the value of one setting; the settings class itself checks its range.

    Raises:
        ValueError: If the text is not such a value; the message is meant for the user.

    Example:
        >>> from nstk.settings import StylizeSettings, read_setting
        >>> read_setting(StylizeSettings, "learning_rate", "2e-2")
        0.02
    """
    (parse,) = (each.metadata["parse"] for each in fields(settings) if each.name == name)
    if parse is not None:
        return parse(text)
    kind = get_type_hints(settings)[name]
    number = next((part for part in get_args(kind) or (kind,) if part in (int, float)), None)
    words = list_words(kind)
    if number is None or text in words:
        return text
    try:
        return number(text)
    except ValueError:
        choices = " or ".join(["a whole number" if number is int else "a number", *words])
        raise ValueError(f"{text!r} is not {choices}.") from None


def list_words(kind: object) -> tuple[str, ...]:
    """List the choices of a ``Literal``, alone or in a union."""
    parts = get_args(kind) if get_origin(kind) is not Literal else (kind,)
    return tuple(word for part in parts if get_origin(part) is Literal for word in get_args(part))


def check_range(name: str, value: float, low: float, high: float = INFINITY) -> None:
    """Refuse a number outside ``[low, high]``, and anything that is not a finite number."""
    _check_number(name, value, low, high, is_kind=is_number(value), kind="a number")


def check_whole(name: str, value: int, low: float, high: float = INFINITY) -> None:
    """Refuse a number outside ``[low, high]``, and anything that is not a whole number."""
    is_whole = is_number(value) and isinstance(value, int)
    _check_number(name, value, low, high, is_kind=is_whole, kind="a whole number")


def check_word(name: str, value: object, kind: object) -> None:
    """Refuse a word that is not one of a ``Literal``."""
    words = get_args(kind)
    if value not in words:
        raise refuse(name, value, f"one of {', '.join(words)}")


def check_switch(name: str, value: object) -> None:
    """Refuse a value that is not a bool."""
    if not isinstance(value, bool):
        raise refuse(name, value, "true or false")


def check_blocks(name: str, value: object) -> None:
    """Refuse a value that is not a number of blocks, or a word for one."""
    if value not in ("none", "auto", "all") and (
        isinstance(value, bool) or not isinstance(value, int) or value < 1
    ):
        raise refuse(name, value, "none, auto, all or a number of blocks, at least 1")


def check_color(name: str, value: Any) -> None:
    """Refuse a value that is not a color."""
    try:
        parse_color(value)
    except ValueError:
        raise refuse(name, value, "white, gray, black or a color such as #ff8000") from None


def check_pattern(name: str, value: str | None) -> None:
    """Refuse a text that is not a regular expression with a group; None is none."""
    try:
        has_group = value is None or re.compile(value).groups > 0
    except (re.error, TypeError, RecursionError, OverflowError):
        has_group = False
    if not has_group:
        raise refuse(name, value, r"a regular expression with one group, as in (.+)_\d+")


def check_layers(name: str, value: object) -> None:
    """Refuse a value that does not map layers to weights of 0 or more."""
    weights = list(value.values()) if isinstance(value, Mapping) else []
    if value != "auto" and not are_weights(weights):
        layers = "auto, or layers with weights of 0 or more, not all of them 0"
        raise refuse(name, value, f"{layers}, as in block1_conv1:4,block2_conv1:1")


def are_weights(values: Iterable[Any]) -> bool:
    """Whether all are numbers of 0 or more, and not all of them 0."""
    weights = list(values)
    return all(is_number(each) and 0 <= each < INFINITY for each in weights) and any(weights)


def is_number(value: object) -> bool:
    """Whether a value is a number; bool does not count."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def refuse(name: str, value: object, needed: str) -> SettingsError:
    """The error for a value; ``needed`` completes "it must be"."""
    return SettingsError(f"`{name}` is {value!r}; it must be {needed}.")


def _check_kind(name: str, value: Any, kind: object, low: float, high: float) -> None:
    parts = get_args(kind) if get_origin(kind) is not Literal else ()
    parts = parts or (kind,)
    if bool in parts:
        check_switch(name, value)
    elif float in parts:
        check_range(name, value, low, high)
    elif int in parts:
        check_whole(name, value, low, high)
    elif get_origin(kind) is Literal:
        check_word(name, value, kind)


def _check_number(
    name: str, value: float, low: float, high: float, *, is_kind: bool, kind: str
) -> None:
    if not is_kind or not low <= value <= high or value == INFINITY:
        span = f"at least {low:g}" if high == INFINITY else f"from {low:g} to {high:g}"
        raise refuse(name, value, f"{kind} {span}")
