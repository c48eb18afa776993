"""``nstk inspect``: what a network has learned, in pictures; one module a command."""

import typer

inspect = typer.Typer(
    name="inspect",
    help="See what a network has learned, in pictures.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@inspect.callback()
def see() -> None:
    """See what a network has learned, in pictures."""
