"""Write reference.md, the help pages of all commands, beside this file.

python docs/write_reference.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from nstk_cli.main import app

HEADING = """# Reference

What `--help` prints for every command. `docs/write_reference.py` generates this page.
"""


def list_commands(group: Any = None, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """List the words of every command, in the order of the app."""
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from list_commands(command, (*above, name))
        else:
            yield (*above, name)


def show_help(words: tuple[str, ...]) -> str:
    """Return what `nstk WORDS --help` prints in a terminal of 80 columns."""
    # The help of a terminal of 80 columns leaves two of them empty.
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="nstk", terminal_width=78)
    return result.stdout


def write_page() -> str:
    """Write the page: one section per command."""
    sections = [
        f"## nstk {' '.join(words)}\n\n```text\n{show_help(words)}```\n"
        for words in list_commands()
    ]
    return "\n".join([HEADING, *sections])


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(write_page(), encoding="utf-8")
