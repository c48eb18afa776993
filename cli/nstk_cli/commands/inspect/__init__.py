"""``nstk inspect``: what a network has learned, in images; one module a command."""

import typer

from nstk_cli.commands.inspect.content import content
from nstk_cli.commands.inspect.frozen import frozen
from nstk_cli.commands.inspect.gram import gram
from nstk_cli.commands.inspect.layers import layers
from nstk_cli.commands.inspect.style import style
from nstk_cli.options import Command, Group

inspect = typer.Typer(
    name="inspect",
    cls=Group,
    help="See what a network has learned, in images.",
    rich_markup_mode=None,
)


@inspect.callback()
def see() -> None:
    """See what a network has learned, in images."""


for command in (layers, content, style, gram, frozen):
    inspect.command(cls=Command)(command)
