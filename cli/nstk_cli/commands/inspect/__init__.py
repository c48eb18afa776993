"""``nstk inspect``: figures that show what a network has learned."""

import typer

from nstk_cli.commands.inspect.frozen import frozen
from nstk_cli.commands.inspect.layers import layers
from nstk_cli.commands.inspect.sheets import content, gram, style
from nstk_cli.options import Command, Group

inspect = typer.Typer(
    name="inspect",
    cls=Group,
    help="Visualize what a network has learned.",
    rich_markup_mode=None,
)


@inspect.callback()
def main() -> None:
    """Visualize what a network has learned."""


for command in (layers, content, style, gram, frozen):
    inspect.command(cls=Command)(command)
