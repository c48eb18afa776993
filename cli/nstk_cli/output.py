"""Standard output of a finished command: tables for people, or one JSON object."""

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nstk.errors import OutputError, printable
from nstk_cli.process import is_deterministic

if TYPE_CHECKING:
    from nstk.datasets.listing import SkippedFile
    from nstk.heads.metrics import Evaluation

LARGEST_CONFUSION = 12
SCREEN = 80


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; see `as_json`."""
    print(as_json(value))


def print_result(value: Mapping[str, Any]) -> None:
    """Print the JSON object of a result, with whether the run was deterministic."""
    print_json(with_determinism(value))


def with_determinism(value: Mapping[str, Any]) -> dict[str, Any]:
    """Add whether the same command writes the same bytes again."""
    return {**value, "deterministic": is_deterministic()}


def as_json(value: Any) -> str:
    """Return JSON on one line; paths become strings, NaN and infinity null.

    Characters that standard output cannot encode are escaped.
    """
    is_unicode = (sys.stdout.encoding or "utf-8").lower() == "utf-8"
    return printable(json.dumps(_plain(value), ensure_ascii=not is_unicode, allow_nan=False))


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
    """Print aligned columns with headings; a terminal wraps the last column.

    Cells may contain untrusted file names: control characters and line breaks are escaped.

    Args:
        columns: The headings.
        rows: One cell for each heading.
        right: The headings of columns to align right.
    """
    table = [tuple(map(printable, row)) for row in (columns, *rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(columns))]
    before = sum(widths[:-1]) + 2 * len(widths[:-1])
    free = shutil.get_terminal_size().columns - before if sys.stdout.isatty() else 0
    for row in table:
        cells = (
            cell.rjust(width) if heading in right else cell.ljust(width)
            for heading, cell, width in zip(columns, row, widths, strict=True)
        )
        line = "  ".join(cells).rstrip()
        first, *more = textwrap.wrap(line[before:], free) if free > 20 else [line[before:]]
        print(line[:before] + first)
        for part in more:
            print(" " * before + part)


def format_duration(seconds: float) -> str:
    """Write a duration: ``0.31 s``, ``12.4 s``, ``3 min 20 s``."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def print_confusion(evaluation: "Evaluation") -> None:
    """Print the confusion matrix, if there are errors and it fits on a screen.

    Columns have the names of the classes, or their numbers where the names are too long.
    """
    names = [score.name for score in evaluation.per_class]
    if evaluation.accuracy == 1 or len(names) > LARGEST_CONFUSION:
        return
    rows = columns = names
    if sum(len(name) + 2 for name in ("true \\ predicted", *names)) > SCREEN:
        columns = [str(place) for place in range(1, len(names) + 1)]
        rows = [f"{place:>2} {name}" for place, name in zip(columns, names, strict=True)]
    print()
    print_table(
        ["true \\ predicted", *columns],
        [(row, *map(str, counts)) for row, counts in zip(rows, evaluation.confusion, strict=True)],
        right=columns,
    )


def print_skipped(skipped: Sequence["SkippedFile"]) -> None:
    """Print the skipped files, with reasons."""
    if skipped:
        print(f"\nskipped ({len(skipped)}):")
        for file in skipped:
            print(f"  {printable(file.path)}: {printable(file.reason)}")


def check_not_inputs(inputs: Iterable[Path | None], *outputs: Path | None) -> None:
    """Refuse, before any work, to overwrite an image that the result is made from.

    Args:
        inputs: The files that are read.
        outputs: The files that will be written.

    Raises:
        OutputError: If an output and an input are the same file.
    """
    read = [path for path in inputs if path is not None and path.is_file()]
    for output in outputs:
        if output is None or not output.is_file():
            continue
        if any(output.samefile(path) for path in read):
            raise OutputError(
                f"{output} is also an input of this command and would be overwritten; choose "
                "another name."
            )
