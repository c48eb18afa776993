"""What the commands that write one sheet share."""

from pathlib import Path
from typing import Annotated, Any

import typer

import nstk
from nstk_cli.inputs import spare_inputs
from nstk_cli.reporting import reporting

SheetFile = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Sheet to write; its ending says the format"
    ),
]


def write_sheet(
    what: str,
    subject: Path | list[Path],
    output: Path,
    *,
    settings: nstk.InspectSettings,
    backbone: str,
    weights: Path | None,
    quiet: bool,
) -> Any:
    """Look at an image, or several, and write the sheet that shows what was found.

    Args:
        what: ``content``, ``style`` or ``gram``.
        subject: The image, or the images.
        output: The sheet.
        settings: What is asked for.
        backbone: The network's name.
        weights: Its weights, where they are the user's.
        quiet: Show no progress.

    Returns:
        What was found.
    """
    nstk.check_output(output)
    spare_inputs(subject if isinstance(subject, list) else [subject], output)
    with reporting(quiet=quiet) as report:
        inspect = getattr(nstk, f"inspect_{what}")
        draw = getattr(nstk, f"draw_{what}_sheet")

        found = inspect(
            subject,
            backbone=nstk.load_backbone(backbone, weights=weights, on_progress=report),
            settings=settings,
            on_progress=report,
        )
        nstk.save_image(output, draw(found))
    return found
