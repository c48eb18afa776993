"""The app: its commands, and how what goes wrong becomes one line and an exit status.

Exit 0: done. Exit 1: something unforeseen. Exit 2: bad input, nothing written. Exit 130: the
user pressed Ctrl-C. Exit 143: SIGTERM asked for the end.
"""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

import nstk
from nstk_cli.commands.audit import audit
from nstk_cli.commands.backbones import backbones
from nstk_cli.commands.evaluate import evaluate
from nstk_cli.commands.explain import explain
from nstk_cli.commands.export import export
from nstk_cli.commands.finetune import finetune
from nstk_cli.commands.inspect import inspect
from nstk_cli.commands.predict import predict
from nstk_cli.commands.style import style
from nstk_cli.commands.stylize import stylize
from nstk_cli.commands.sweep import sweep
from nstk_cli.options import Command, Group
from nstk_cli.signals import hear_termination, status_of_interruption
from nstk_cli.silence import debugging, prepare_process

UNFORESEEN, BAD_INPUT = 1, 2


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what the block raises into one line on standard error and an exit status."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except (nstk.NstkError, typer.TyperException) as error:
        raise complain(error, BAD_INPUT) from error
    except KeyboardInterrupt as error:
        raise complain(error, status_of_interruption()) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise  # the reader of a pipe has gone; Typer ends quietly
        raise complain(error, UNFORESEEN) from error


def complain(error: BaseException, status: int) -> typer.Exit:
    """Write one line about an error, in debug mode with its traceback.

    Returns:
        The exception that ends the process with this status.
    """
    if debugging():
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        message = "interrupted."
    elif isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        manual = "nstk" if context is None else context.command_path
        message = f"{sentence(error.format_message())} See `{manual} --help`."
    elif status == BAD_INPUT:
        message = str(error)
    else:
        what = sentence(f"unexpected {type(error).__name__}: {error}")
        message = f"{what} Set NSTK_LOG=debug to see where it comes from."
    print("nstk: " + nstk.printable(" ".join(message.split())), file=sys.stderr)
    return typer.Exit(status)


def sentence(words: str) -> str:
    """Words with a full stop, unless they end like a sentence already."""
    return words if words.endswith((".", "?", "!")) else f"{words}."


class Shell(Group):
    """The group of all commands, which lets no traceback through."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options before the command."""
        with one_line_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's own options and run it."""
        with one_line_errors():
            return super().invoke(ctx)


app = typer.Typer(
    name="nstk",
    cls=Shell,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"nstk {nstk.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version"),
    ] = False,
) -> None:
    """One frozen pretrained network, two jobs: stylize an image, or finetune a classifier."""


for command in (stylize, sweep, finetune, predict, evaluate, explain, export, audit, backbones):
    app.command(cls=Command)(command)
app.add_typer(style)
app.add_typer(inspect)


def run() -> None:
    """Run the shell: the entry point of ``nstk``."""
    prepare_process()
    hear_termination()
    app()
