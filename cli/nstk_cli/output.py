"""What a finished job shows on standard output: a table for people, or one JSON object."""

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nstk
from nstk_cli.silence import is_deterministic

LARGEST_CONFUSION = 12
SCREEN = 80


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; paths become strings, and what is no number null."""
    print(as_json(value))


def print_made(value: Mapping[str, Any]) -> None:
    """Print what a command made as `print_json` does, and whether it would make the same again."""
    print_json(with_determinism(value))


def with_determinism(value: Mapping[str, Any]) -> dict[str, Any]:
    """Add whether equal runs make equal bytes to what a command says that it made."""
    return {**value, "deterministic": is_deterministic()}


def as_json(value: Any) -> str:
    """JSON on one line; paths become strings, and what is no number null.

    Letters that standard output may not know are escaped.
    """
    known = (sys.stdout.encoding or "utf-8").lower() == "utf-8"
    return nstk.printable(json.dumps(_plain(value), ensure_ascii=not known, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print aligned columns with a heading; at a terminal the last column is wrapped.

    Names may come from strangers: a cell is one line, whatever is in it.

    Args:
        columns: The headings.
        rows: The cells, as many as there are headings.
        right: The headings whose cells are aligned to the right, as numbers are.
    """
    table = [tuple(map(nstk.printable, row)) for row in (columns, *rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(columns))]
    before = sum(widths[:-1]) + 2 * len(widths[:-1])
    room = shutil.get_terminal_size().columns - before if sys.stdout.isatty() else 0
    for row in table:
        cells = (
            cell.rjust(width) if heading in right else cell.ljust(width)
            for heading, cell, width in zip(columns, row, widths, strict=True)
        )
        line = "  ".join(cells).rstrip()
        first, *more = textwrap.wrap(line[before:], room) if room > 20 else [line[before:]]
        print(line[:before] + first)
        for part in more:
            print(" " * before + part)


def duration(seconds: float) -> str:
    """Seconds in a reader's words: ``0.31 s``, ``12.4 s``, ``3 min 20 s``."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def percent(share: float | None) -> str:
    """A share as ``93.5 %``, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"


def interval(bounds: tuple[float, float] | None) -> str:
    """A 95 % interval of a share: ``85.1–97.3 %``."""
    return "–" if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f} %"


def list_skipped(skipped: Iterable["nstk.SkippedFile"]) -> list[dict[str, str]]:
    """The files that were left out, for JSON."""
    return [{"path": str(file.path), "reason": file.reason} for file in skipped]


def describe_reliability(reliability: "nstk.Reliability") -> dict[str, Any]:
    """A calibration error with its interval and its bins, for JSON."""
    return {
        "ece": reliability.ece,
        "ece_interval": reliability.ece_interval,
        "bins": [asdict(each) for each in reliability.bins],
    }


def print_confusion(evaluation: "nstk.Evaluation") -> None:
    """Print which classes were taken for which, where any were and where that fits on a screen.

    Columns have the names of the classes, or their numbers where those are too long together.
    """
    names = [score.name for score in evaluation.per_class]
    if evaluation.accuracy == 1 or len(names) > LARGEST_CONFUSION:
        return
    rows = columns = names
    if sum(len(name) + 2 for name in ("taken for →", *names)) > SCREEN:
        columns = [str(place) for place in range(1, len(names) + 1)]
        rows = [f"{place:>2} {name}" for place, name in zip(columns, names, strict=True)]
    print()
    print_table(
        ["taken for →", *columns],
        [(row, *map(str, counts)) for row, counts in zip(rows, evaluation.confusion, strict=True)],
        right=columns,
    )


def print_skipped(skipped: Sequence["nstk.SkippedFile"]) -> None:
    """Print the files that were left out, and why."""
    if skipped:
        print(f"\nleft out ({len(skipped)}):")
        for file in skipped:
            print(f"  {nstk.printable(file.path)}: {nstk.printable(file.reason)}")
