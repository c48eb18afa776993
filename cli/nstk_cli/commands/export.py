"""``nstk export``: a classifier in another format, with a proof."""

from pathlib import Path
from typing import Annotated

import typer

from nstk_cli.commands.finetune import RECORD
from nstk_cli.options import Json, Quiet
from nstk_cli.output import duration, percent, print_made
from nstk_cli.reporting import reporting
from nstk_cli.silence import loading


def export(
    *,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Classifier file made by nstk finetune")
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
            help="Images to prove it with, and to calibrate tflite-int8 with; without them those"
            " that MODEL was made with, or drawn ones where its .json is not beside it",
        ),
    ] = None,
    min_agreement: Annotated[
        float,
        typer.Option(
            metavar="X", help="Share of the images that tflite-int8 must label like the original"
        ),
    ] = 0.97,
    max_images: Annotated[
        int, typer.Option(metavar="N", help="How many of the images to prove it with, at most")
    ] = 200,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of their choice")] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write MODEL in another format, and prove that it still answers the same."""
    with reporting(quiet=quiet) as report, loading():
        from nstk import Classifier
        from nstk import export as run

        made = run(
            Classifier.load(model),
            format,
            output,
            images=images,
            record=model.with_suffix(RECORD),
            min_agreement=min_agreement,
            max_images=max_images,
            seed=seed,
            on_progress=report,
        )
    if json:
        print_made(
            {
                "format": made.format,
                "path": made.path,
                "bytes": made.bytes,
                "agreement": made.agreement,
                "max_probability_difference": made.max_probability_difference,
                "images": made.images,
            }
        )
    else:
        asked = {
            "given": f"images of {images}",
            "recorded": "images that it was made with",
            "drawn": "images drawn for it",
        }[made.image_source]
        print(
            f"{made.path}: {made.format}, {made.bytes / 1e6:.1f} MB, {duration(made.seconds)}\n"
            f"opened in a fresh process and asked about {made.images} {asked}:"
            f" {percent(made.agreement)} get the same label,"
            f" probabilities differ by at most {made.max_probability_difference:.1e}"
        )
