"""``nstk export``: a classifier in another format, verified."""

from pathlib import Path
from typing import Annotated

import typer

from nstk.settings import ExportSettings
from nstk_cli.commands.finetune import RECORD
from nstk_cli.options import Json, Quiet, with_settings
from nstk_cli.output import duration, percent, print_made
from nstk_cli.reporting import reporting
from nstk_cli.silence import loading


@with_settings
def export(
    *,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Classifier file written by nstk finetune")
    ],
    format: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="One of keras, savedmodel, tflite, tflite-int8, onnx",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="PATH", help="File to write, or folder of a savedmodel"
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images for verification, and for the calibration of tflite-int8; by default those"
            " that MODEL was trained on, or synthetic ones if its .json is not beside it",
        ),
    ] = None,
    settings: ExportSettings,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write MODEL in another format, and verify that its predictions are the same."""
    with reporting(quiet=quiet) as report, loading():
        from nstk import Classifier
        from nstk import export as run

        made = run(
            Classifier.load(model),
            format,
            output,
            images=images,
            record=model.with_suffix(RECORD),
            settings=settings,
            on_progress=report,
        )
    if json:
        print_made(made.to_dict())
    else:
        source = {
            "given": f"images from {images}",
            "recorded": "images from its training run",
            "synthetic": "synthetic images",
        }[made.image_source]
        print(
            f"{made.path}: {made.format}, {made.bytes / 1e6:.1f} MB, {duration(made.seconds)}\n"
            f"verified in a fresh process with {made.images} {source}:"
            f" {percent(made.agreement)} get the same label,"
            f" probabilities differ by at most {made.max_probability_difference:.1e}"
        )
