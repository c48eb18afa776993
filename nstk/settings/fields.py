"""Fields of settings classes: default, help text, and how to parse the value."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from nstk.errors import SettingsError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Settings = TypeVar("_Settings", bound="DataclassInstance")


def resolve_settings(
    kind: type[_Settings], settings: _Settings | None, options: Mapping[str, object]
) -> _Settings:
    """Return a settings object, given as such or as keyword options.

    Args:
        kind: The settings class, such as `StylizeSettings`.
        settings: An instance of it, or None.
        options: Fields of the class by name; the others keep their defaults.

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


def setting(
    default: object,
    help: str,
    *,
    parse: Callable[[str], object] | None = None,
    metavar: str | None = None,
) -> Any:
    """Declare one field of a settings class, with what the command line needs to know about it.

    Args:
        default: The default value.
        help: Help text: one sentence, without a full stop.
        parse: Converts text to the value, if the field's type alone does not determine how.
        metavar: Placeholder for the value in help pages.
    """
    return field(default=default, metadata={"help": help, "parse": parse, "metavar": metavar})


def read_setting(settings: type, name: str, text: str) -> Any:
    """Parse the value of one setting; the settings class itself checks its range.

    Args:
        settings: The class.
        name: Name of the field.
        text: The text that the user typed.

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
    parts = get_args(kind) or (kind,)
    number = next((part for part in parts if part in (int, float)), None)
    words = list_words(kind)
    if number is None or text in words:
        return text
    try:
        return number(text)
    except ValueError:
        choices = " or ".join(["a whole number" if number is int else "a number", *words])
        raise ValueError(f"{text!r} is not {choices}.") from None


def list_words(kind: object) -> tuple[str, ...]:
    """List the choices of a ``Literal``, alone or in a union.

    Args:
        kind: Type of a setting.
    """
    parts = get_args(kind) if get_origin(kind) is not Literal else (kind,)
    return tuple(word for part in parts if get_origin(part) is Literal for word in get_args(part))
