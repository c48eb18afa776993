"""The order in which a reader expects file names: 1, 2, 10."""

import re
from collections.abc import Sequence
from pathlib import Path

NaturalKey = tuple[tuple[tuple[int, int, str], ...], str]

_NUMBERS = re.compile(r"([0-9]+)")
_GAPS = re.compile(r"[\s_]+")


def natural_key(name: str) -> NaturalKey:
    """Sorting key under which numbers inside names count as numbers and case comes last.

    A number may have any number of digits. Names that differ have keys that differ, so the order
    never depends on the disk.

    Args:
        name: Any text, usually one part of a path.
    """
    pieces = _NUMBERS.split(name)
    folded = tuple(
        (0, len(piece.lstrip("0")), piece.lstrip("0")) if position % 2 else (1, 0, piece.casefold())
        for position, piece in enumerate(pieces)
        if piece
    )
    return folded, name


def warn_similar_names(classes: Sequence[str]) -> tuple[str, ...]:
    """What to say of classes whose names differ only in case, spaces and underscores.

    Args:
        classes: Their names.

    Returns:
        One sentence for each name that is spelled in several ways.
    """
    spelled: dict[str, list[str]] = {}
    for name in classes:
        spelled.setdefault(_GAPS.sub(" ", name).strip().casefold(), []).append(name)
    return tuple(
        f"The classes {' and '.join(map(repr, names))} differ only in case or spaces; where they "
        "are one, give them one name."
        for names in spelled.values()
        if len(names) > 1
    )


def natural_path_key(path: Path) -> tuple[NaturalKey, ...]:
    """Sorting key of a path: part by part, each by `natural_key`."""
    return tuple(natural_key(part) for part in path.parts)
