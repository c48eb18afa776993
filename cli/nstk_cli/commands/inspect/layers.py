"""``nstk inspect layers``: what layers respond to."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.inputs import spare_inputs
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import print_made, print_skipped
from nstk_cli.reporting import reporting

OVERVIEW = "overview"


@partial(with_settings, only=("layers", "size", "channels", "steps", "seed"))
def layers(
    *,
    images: Annotated[
        list[Path], typer.Argument(help="Images, or folders of them", metavar="IMAGE")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR",
            help="Sheet to write; with several layers it is their overview, and NAME-LAYER beside "
            "it has each in full; or a folder for all of them",
        ),
    ],
    settings: nstk.InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show what layers respond to: filters, activation maps, patches, what a channel likes."""
    is_folder = output.is_dir() or not output.suffix
    if not is_folder:
        nstk.check_output(output)
        spare_inputs(images, output)
    else:
        nstk.check_writable(output / f"{OVERVIEW}.png" if output.exists() else output)
    with reporting(quiet=quiet) as report:
        from nstk import draw_layer_sheet, draw_overview, inspect_layers, load_backbone

        found = inspect_layers(
            images,
            backbone=load_backbone(backbone, weights=weights, on_progress=report),
            settings=settings,
            on_progress=report,
        )
        if is_folder:
            nstk.make_folder(output)
        sheet = output / f"{OVERVIEW}.png" if is_folder else output
        places = [place_sheet(sheet, layer.layer, is_folder) for layer in found.layers]
        if len(places) == 1 and not is_folder:
            places = [sheet]
        else:
            nstk.save_image(sheet, draw_overview(found))
        for place, layer in zip(places, found.layers, strict=True):
            nstk.save_image(place, draw_layer_sheet(found, layer))
    if json:
        described = found.to_dict()
        for layer, place in zip(described["layers"], places, strict=True):
            layer["output"] = place
        print_made({"output": sheet, **described})
        return
    if sheet not in places:
        print(f"{sheet}: {len(places)} layers of {found.backbone}")
    for place, shown in zip(places, found.layers, strict=True):
        print(f"{place}: {shown.layer}, channels {format_channels(shown)}")
    print_skipped(found.skipped)


def place_sheet(sheet: Path, layer: str, is_folder: bool) -> Path:
    """Where the sheet of one layer goes."""
    return sheet.with_name(f"{layer}.png" if is_folder else f"{sheet.stem}-{layer}{sheet.suffix}")


def format_channels(layer: "nstk.LayerInspection") -> str:
    """The channels that are shown, as ``3, 17, 5``."""
    return ", ".join(str(each.channel) for each in layer.channels)
