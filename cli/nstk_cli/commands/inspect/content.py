"""``nstk inspect content``: what each layer keeps of an image."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.commands.inspect.sheets import SheetFile, write_sheet
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import duration, print_made, print_table


@partial(with_settings, only=("layers", "size", "steps", "optimizer", "pooling", "seed"))
def content(
    *,
    image: Annotated[Path, typer.Argument(help="Image to look at", metavar="IMAGE")],
    output: SheetFile,
    settings: nstk.InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Reconstruct IMAGE from each layer alone, starting from noise: content loss only."""
    found: nstk.ContentInspection = write_sheet(
        "content",
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
    print_table(
        ["layer", "pixels off by", "content loss"],
        [
            (each.layer, f"{each.error:.3f}", f"{each.losses[-1]:.2g}")
            for each in found.reconstructions
        ],
        right=["pixels off by", "content loss"],
    )
    print(f"\n{output}: {found.steps} steps each in {duration(found.seconds)}")
