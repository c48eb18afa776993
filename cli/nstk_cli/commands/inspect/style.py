"""``nstk inspect style``: what the statistics of ever more layers keep of a picture."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.commands.inspect.options import SheetFile
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import duration, print_json, print_table
from nstk_cli.reporting import reporting
from nstk_cli.silence import loading


@partial(with_settings, only=("layers", "size", "steps", "minimizer", "pooling", "seed"))
def style(
    *,
    picture: Annotated[Path, typer.Argument(help="Picture to look at", metavar="PICTURE")],
    output: SheetFile,
    settings: nstk.InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make textures from the Gram matrices of layers 1, 1-2, … of PICTURE, starting from noise."""
    nstk.check_output(output)
    with reporting(quiet=quiet) as report:
        with loading():
            from nstk import draw_style_sheet, inspect_style, load_backbone
        found = inspect_style(
            picture,
            backbone=load_backbone(backbone, weights=weights, on_progress=report),
            settings=settings,
            on_progress=report,
        )
        nstk.save_picture(output, draw_style_sheet(found))
    if json:
        height, width, _ = found.original.shape
        print_json(
            {
                "output": output,
                "backbone": found.backbone,
                "width": width,
                "height": height,
                "steps": found.steps,
                "textures": [
                    {
                        "layers": each.layers,
                        "errors": each.errors,
                        "loss": each.losses[-1],
                        "losses": each.losses,
                    }
                    for each in found.textures
                ],
                "seconds": found.seconds,
            }
        )
        return
    names = list(found.textures[-1].layers)
    print("Gram matrices off by, in each layer:\n")
    print_table(
        ["texture from", *names],
        [
            (f"up to {each.layers[-1]}", *(f"{each.errors[name]:.2f}" for name in names))
            for each in found.textures
        ],
        right=names,
    )
    print(f"\n{output}: {found.steps} steps each in {duration(found.seconds)}")
