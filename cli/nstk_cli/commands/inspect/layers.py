"""``nstk inspect layers``: what the channels of layers respond to."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nstk.settings import InspectSettings
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import check_not_inputs, print_result, print_skipped
from nstk_cli.reporting import reporting

OVERVIEW = "overview"


ImagePaths = Annotated[
    list[Path], typer.Argument(metavar="IMAGE", help="Images, or folders of them")
]
SheetFile = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR",
        help="Sheet to write; for several layers it is an overview, with NAME-LAYER beside it "
        "for each; or a folder for all of them",
    ),
]


@partial(with_settings, only=("layers", "size", "channels", "steps", "seed"))
def layers(
    *,
    images: ImagePaths,
    output: SheetFile,
    settings: InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show filters, activation maps, top patches and feature visualizations of layers."""
    from nstk.images.encoding import check_output, save_image
    from nstk.storage.files import check_writable, make_folder

    is_folder = output.is_dir() or not output.suffix
    if is_folder:
        check_writable(output / f"{OVERVIEW}.png" if output.exists() else output)
    else:
        check_output(output)
        check_not_inputs(images, output)
    with reporting(quiet=quiet) as report:
        from nstk.backbones.loading import load_backbone
        from nstk.inspecting.job import inspect_layers
        from nstk.reports.layer_sheets import draw_layer_sheet, draw_overview

        found = inspect_layers(
            images,
            backbone=load_backbone(backbone, weights=weights, on_progress=report),
            settings=settings,
            on_progress=report,
        )
        if is_folder:
            make_folder(output)
        overview = output / f"{OVERVIEW}.png" if is_folder else output
        sheets = [name_sheet(overview, layer.layer, is_folder) for layer in found.layers]
        if len(sheets) == 1 and not is_folder:
            sheets = [overview]
        else:
            save_image(overview, draw_overview(found))
        for sheet, layer in zip(sheets, found.layers, strict=True):
            save_image(sheet, draw_layer_sheet(found, layer))
    if json:
        described = found.to_dict()
        for entry, sheet in zip(described["layers"], sheets, strict=True):
            entry["output"] = sheet
        print_result({"output": overview, **described})
        return
    if overview not in sheets:
        layers_shown = "1 layer" if len(sheets) == 1 else f"{len(sheets)} layers"
        print(f"{overview}: {layers_shown} of {found.backbone}")
    for sheet, layer in zip(sheets, found.layers, strict=True):
        channels = ", ".join(str(each.channel) for each in layer.channels)
        print(f"{sheet}: {layer.layer}, channels {channels}")
    print_skipped(found.skipped)


def name_sheet(overview: Path, layer: str, is_folder: bool) -> Path:
    """Return the path of the sheet of one layer."""
    suffix = overview.suffix
    return overview.with_name(f"{layer}.png" if is_folder else f"{overview.stem}-{layer}{suffix}")
