"""The application: its commands, and how errors become one line and an exit status.

Exit 0: success. Exit 1: an unexpected error. Exit 2: bad input, nothing written. Exit 130: Ctrl-C.
Exit 143: SIGTERM.
"""

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from nstk import __version__
from nstk.errors import NstkError, printable
from nstk_cli.commands.audit import audit
from nstk_cli.commands.backbones import backbones
from nstk_cli.commands.doctor import doctor
from nstk_cli.commands.evaluate import evaluate
from nstk_cli.commands.explain import explain
from nstk_cli.commands.export import export
from nstk_cli.commands.finetune import finetune
from nstk_cli.commands.inspect import inspect
from nstk_cli.commands.lesson import lesson
from nstk_cli.commands.merge import merge
from nstk_cli.commands.page import label, page
from nstk_cli.commands.predict import predict
from nstk_cli.commands.stylize import style, stylize
from nstk_cli.commands.sweep import sweep
from nstk_cli.options import Command, Group
from nstk_cli.process import handle_sigterm, interruption_status, is_debugging, prepare_process

UNEXPECTED, BAD_INPUT = 1, 2


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn exceptions of the block into one line on standard error and an exit status."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except (NstkError, typer.TyperException) as error:
        raise report_error(error, BAD_INPUT) from error
    except KeyboardInterrupt as error:
        raise report_error(error, interruption_status()) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise  # the reader of a pipe has closed it; Typer exits quietly
        raise report_error(error, UNEXPECTED) from error


def report_error(error: BaseException, status: int) -> typer.Exit:
    """Print one line about an error, in debug mode after its traceback; return how to exit."""
    if is_debugging():
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
        message = f"{what} Set NSTK_LOG=debug to see the traceback."
    print("nstk: " + printable(" ".join(message.split())), file=sys.stderr)
    return typer.Exit(status)


def sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


class Application(Group):
    """The group of all commands, which prints errors instead of tracebacks."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with one_line_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with one_line_errors():
            return super().invoke(ctx)


app = typer.Typer(
    name="nstk",
    cls=Application,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(requested: bool) -> None:
    if requested:
        print(f"nstk {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None:
    """Neural style transfer and transfer learning with one frozen pretrained network."""


for command in (
    stylize,
    sweep,
    finetune,
    predict,
    evaluate,
    merge,
    explain,
    export,
    audit,
    label,
    page,
    backbones,
    doctor,
    lesson,
):
    app.command(cls=Command)(command)
app.add_typer(style)
app.add_typer(inspect)


def run() -> None:
    """Run the command line: the entry point of ``nstk``."""
    prepare_process()
    handle_sigterm()
    app()
