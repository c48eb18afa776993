"""``nstk inspect gram``: Gram matrices of a style and of what was made from it."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.commands.inspect.sheets import SheetFile, write_sheet
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import duration, print_made, print_table


@partial(with_settings, only=("layers", "size", "pairs"))
def gram(
    *,
    images: Annotated[
        list[Path],
        typer.Argument(
            help="The style, then what is compared with it: a result, the content",
            metavar="IMAGE",
        ),
    ],
    output: SheetFile,
    settings: nstk.InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show the Gram matrices of images and the channels that go together, with patches."""
    found: nstk.GramInspection = write_sheet(
        "gram",
        images,
        output,
        settings=settings,
        backbone=backbone,
        weights=weights,
        quiet=quiet,
    )
    if json:
        print_made({"output": output, **found.to_dict()})
        return
    others = list(found.names[1:])
    if others:
        print(f"Gram matrices off from {found.names[0]} by, in each layer:\n")
        print_table(
            ["layer", *others],
            [(each.layer, *(f"{error:.2f}" for error in each.errors[1:])) for each in found.layers],
            right=others,
        )
        print()
    print(f"{output}: {len(found.layers)} layers in {duration(found.seconds)}")
