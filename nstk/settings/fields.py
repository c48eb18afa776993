"""One field of a settings class: its default, its help text, and how it is read."""

from collections.abc import Callable
from dataclasses import field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints


def setting(
    default: Any,
    help: str,
    *,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
) -> Any:
    """Declare one field of a settings class, with what the shell needs to know about it.

    Args:
        default: The value of those who do not choose one.
        help: One sentence, without a full stop.
        parse: Turns what is typed into the value, where its type alone does not say how.
        metavar: What the help page shows in the place of such a value.
    """
    return field(default=default, metadata={"help": help, "parse": parse, "metavar": metavar})


def read_setting(settings: type, name: str, text: str) -> Any:
    """Read one value of a settings class from what was typed; its range is checked by the class.

    Args:
        settings: The class.
        name: Of one of its fields.
        text: What was typed.

    Raises:
        ValueError: If it is no such value; in words for whoever typed it.

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
        choices = " nor ".join(["a whole number" if number is int else "a number", *words])
        is_none = f"is neither {choices}" if words else f"is not {choices}"
        raise ValueError(f"{text!r} {is_none}.") from None


def format_option(name: str) -> str:
    """How the shell spells a field: ``--learning-rate`` for ``learning_rate``."""
    return "--" + name.replace("_", "-")


def list_words(kind: Any) -> tuple[str, ...]:
    """The words among the values of a type: those of a ``Literal``, alone or in a union.

    Args:
        kind: The type of a setting.
    """
    parts = get_args(kind) if get_origin(kind) is not Literal else (kind,)
    return tuple(word for part in parts if get_origin(part) is Literal for word in get_args(part))
