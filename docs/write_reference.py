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

What `--help` says of every command. Written by `docs/write_reference.py`; a test holds it true.
"""


def list_commands(group: Any = None, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, in the order in which the app names them."""
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from list_commands(command, (*above, name))
        else:
            yield (*above, name)


def write_page() -> str:
    """The page: one section a command."""
    runner = CliRunner(env={"COLUMNS": "80"})
    sections = [HEADING]
    for words in list_commands():
        shown = runner.invoke(app, [*words, "--help"], prog_name="nstk").stdout
        sections.append(f"## nstk {' '.join(words)}\n\n```text\n{shown}```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(write_page(), encoding="utf-8")
