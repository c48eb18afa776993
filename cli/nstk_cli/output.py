"""Standard output of a finished command: text from a template, or one JSON object."""

import io
import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nstk.errors import OutputError, printable
from nstk.reports.formatting import format_interval, format_percent
from nstk_cli.process import is_deterministic

if TYPE_CHECKING:
    from jinja2 import Environment


def print_output(json: bool, value: Mapping[str, Any], template: str, **values: object) -> None:
    """Print a result as JSON, or as text from a template."""
    if json:
        print_result(value)
    else:
        print_text(template, **values)


def print_json(value: Mapping[str, Any]) -> None:
    print(as_json(value))


def print_result(value: Mapping[str, Any]) -> None:
    """Print the JSON object of a result, with whether the run was deterministic."""
    print_json({**value, "deterministic": is_deterministic()})


def as_json(value: Mapping[str, Any]) -> str:
    """Return JSON on one line; paths become strings, NaN and infinity null.

    Characters that standard output cannot encode are escaped.
    """
    strict = json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)
    is_unicode = (sys.stdout.encoding or "utf-8").lower() == "utf-8"
    return printable(json.dumps(strict, ensure_ascii=not is_unicode))


def print_text(template: str, **values: object) -> None:
    """Print a template of this package; in values, which may contain untrusted file names, control
    characters and line breaks are escaped.
    """
    text = _environment().get_template(template).render(**values)
    print(text, end="" if text.endswith("\n") or not text else "\n")


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nstk_cli"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        finalize=lambda value: value if isinstance(value, Table) else printable(value),
        extensions=["jinja2.ext.do"],
    )
    environment.filters |= {"percent": format_percent, "interval": format_interval}
    environment.filters["duration"] = format_duration
    environment.globals["table"] = format_table
    return environment


class Table(str):
    """A text of several lines, in which everything is escaped already."""


def format_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()
) -> Table:
    """Return aligned columns with headings, those of ``right`` to the right.

    A terminal wraps the last column. Control characters and line breaks in cells are escaped.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(columns, 1):
        side: Any = "right" if name in right else "left"
        table.add_column(Text(printable(name)), justify=side, no_wrap=place < len(columns))
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(file=(drawn := io.StringIO()), width=10**6, color_system=None)
    needed = Measurement.get(console, console.options, table)
    screen = shutil.get_terminal_size().columns if sys.stdout.isatty() else needed.maximum
    console.print(table, width=max(needed.minimum, screen))
    return Table("\n".join(line.rstrip() for line in drawn.getvalue().splitlines()))


def format_duration(seconds: float) -> str:
    """Write a duration: ``0.31 s``, ``12.4 s``, ``3 min 20 s``."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def command_line() -> str:
    """The command that repeats this run."""
    return shlex.join(["nstk", *sys.argv[1:]])


def check_not_inputs(inputs: Iterable[Path | None], *outputs: Path | None) -> None:
    """Refuse, before any work, to overwrite an image that the result is made from."""
    read = [path for path in inputs if path is not None and path.is_file()]
    for output in outputs:
        if output is None or not output.is_file():
            continue
        if any(output.samefile(path) for path in read):
            raise OutputError(
                f"{output} is also an input of this command and would be overwritten; choose "
                "another name."
            )
