"""``nstk export``: a classifier in another format, verified."""

from pathlib import Path
from typing import Annotated

import typer

from nstk.settings import ExportSettings
from nstk_cli.commands.finetune import RECORD
from nstk_cli.options import Json, ModelFile, Quiet, with_settings
from nstk_cli.output import print_output
from nstk_cli.process import hide_stderr
from nstk_cli.reporting import reporting


@with_settings
def export(
    *,
    model: ModelFile,
    format: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="One of keras, savedmodel, tflite, tflite-int8, onnx"
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
            help="Images for verification and for int8 calibration; default: those that MODEL was "
            "trained on, or synthetic ones if its .json is missing",
        ),
    ] = None,
    settings: ExportSettings,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Convert MODEL to another format and verify that its predictions are the same."""
    with reporting(quiet=quiet) as report, hide_stderr():
        from nstk.classifiers.classifier import Classifier
        from nstk.exporting.job import export as run

        made = run(
            Classifier.load(model),
            format,
            output,
            images=images,
            record=model.with_suffix(RECORD),
            settings=settings,
            on_progress=report,
        )
    print_output(json, made.to_dict(), "export.txt", made=made, images=images)
