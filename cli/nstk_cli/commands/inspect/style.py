"""``nstk inspect style``: what the statistics of ever more layers keep of an image."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.commands.inspect.sheets import SheetFile, write_sheet
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import duration, print_made, print_table


@partial(with_settings, only=("layers", "size", "steps", "optimizer", "pooling", "seed"))
def style(
    *,
    image: Annotated[Path, typer.Argument(help="Image to look at", metavar="IMAGE")],
    output: SheetFile,
    settings: nstk.InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make textures from the Gram matrices of layers 1, 1-2, … of IMAGE, starting from noise."""
    found: nstk.StyleInspection = write_sheet(
        "style",
        image,
        output,
        settings=settings,
        backbone=backbone,
        weights=weights,
        quiet=quiet,
    )
    if json:
        print_made({"output": output, **found.to_dict()})
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
