"""``nstk doctor``: what a bug report needs, in one block to paste."""

from typing import Annotated

import typer

from nstk_cli.options import Json, Quiet
from nstk_cli.output import print_json, print_text
from nstk_cli.reporting import reporting


def doctor(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the self-test, which takes ten seconds")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check this installation: versions, processor, executors, cache, and both jobs on tiny images.

    Paste what it prints into a bug report. Nothing is downloaded or sent.
    Exit status 1 if a check fails.
    """
    from nstk.diagnosis import diagnose

    with reporting(quiet=quiet) as on_progress:
        diagnosis = diagnose(self_test=not quick, on_progress=on_progress)
    if json:
        print_json(diagnosis)
    else:
        print_text("doctor.txt", **diagnosis)
    raise typer.Exit(0 if diagnosis["healthy"] else 1)
