"""``nstk inspect``: figures that show what a network has learned."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from nstk.settings import FrozenSettings, InspectSettings, NewtonSettings
from nstk_cli.options import (
    BackboneName,
    Command,
    Group,
    Json,
    LabeledData,
    Quiet,
    WeightsFile,
    choose_backbone,
    with_settings,
)
from nstk_cli.output import check_not_inputs, print_output
from nstk_cli.reporting import reporting

log = logging.getLogger("nstk")

OVERVIEW = "overview"

LayersFile = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|DIR",
        help="Sheet to write; for several layers it is an overview, with NAME-LAYER beside it "
        "for each; or a folder for all of them",
    ),
]
SheetFile = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Sheet to write, or a page with sliders for .html"
    ),
]
FigureFile = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="Image to write, or a page for .html"),
]
InspectedImage = Annotated[Path, typer.Argument(metavar="IMAGE", help="Image to inspect")]
ImagePaths = Annotated[
    list[Path], typer.Argument(metavar="IMAGE", help="Images, or folders of them")
]
ComparedImages = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE", help="The style, then images to compare with it, such as the result"
    ),
]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The options that all inspections share."""

    backbone: BackboneName = "compact"
    weights: WeightsFile = None
    quiet: Quiet = False
    json: Json = False

    def write(
        self,
        inspect: Callable[..., Any],
        save: Callable[[Any, Path], Any],
        images: list[Path],
        output: Path,
        template: str,
    ) -> None:
        """Inspect images, write the sheet or page of the result, and print the result."""
        from nstk.backbones.loading import load_backbone
        from nstk.reports.sheets import check_figure

        check_figure(output)
        check_not_inputs(images, output)
        with reporting(quiet=self.quiet) as report:
            network = load_backbone(self.backbone, weights=self.weights, on_progress=report)
            found = inspect(backbone=network, on_progress=report)
            save(found, output)
        answer = {"output": output, **found.to_dict()}
        print_output(self.json, answer, template, found=found, output=output)


inspect = typer.Typer(
    name="inspect",
    cls=Group,
    help="Visualize what a network has learned.",
    rich_markup_mode=None,
)


@inspect.callback()
def main() -> None:
    """Visualize what a network has learned."""


@inspect.command(cls=Command)
@partial(with_settings, only=("layers", "size", "channels", "steps", "seed"))
def layers(
    *,
    images: ImagePaths,
    output: LayersFile,
    settings: InspectSettings,
    run: Run,
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
    with reporting(quiet=run.quiet) as report:
        from nstk.backbones.loading import load_backbone
        from nstk.inspecting.job import inspect_layers
        from nstk.reports.inspection_sheets import draw_layer_sheet, draw_overview

        network = load_backbone(run.backbone, weights=run.weights, on_progress=report)
        found = inspect_layers(images, backbone=network, settings=settings, on_progress=report)
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
    described = found.to_dict()
    for entry, sheet in zip(described["layers"], sheets, strict=True):
        entry["output"] = sheet
    described = {"output": overview, **described}
    print_output(run.json, described, "layers.txt", found=found, output=overview, sheets=sheets)


def name_sheet(overview: Path, layer: str, is_folder: bool) -> Path:
    """Return the path of the sheet of one layer."""
    suffix = overview.suffix
    return overview.with_name(f"{layer}.png" if is_folder else f"{overview.stem}-{layer}{suffix}")


@inspect.command(cls=Command)
@partial(with_settings, only=("layers", "size", "steps", "optimizer", "pooling", "seed"))
def content(
    *,
    image: InspectedImage,
    output: SheetFile,
    settings: InspectSettings,
    run: Run,
) -> None:
    """Reconstruct IMAGE from the activations of each layer, starting from noise."""
    from nstk.inspecting.reconstruction import inspect_content
    from nstk.reports.inspection_pages import save_content

    inspect = partial(inspect_content, image, settings=settings)
    run.write(inspect, save_content, [image], output, "content.txt")


@inspect.command(cls=Command)
@partial(with_settings, only=("layers", "size", "steps", "optimizer", "pooling", "seed"))
def style(
    *,
    image: InspectedImage,
    output: SheetFile,
    settings: InspectSettings,
    run: Run,
) -> None:
    """Synthesize textures from the Gram matrices of more and more layers of IMAGE."""
    from nstk.inspecting.reconstruction import inspect_style
    from nstk.reports.inspection_pages import save_textures

    inspect = partial(inspect_style, image, settings=settings)
    run.write(inspect, save_textures, [image], output, "style.txt")


@inspect.command(cls=Command)
@partial(with_settings, only=("layers", "size", "pairs"))
def gram(
    *,
    images: ComparedImages,
    output: SheetFile,
    settings: InspectSettings,
    run: Run,
) -> None:
    """Show the Gram matrices of images, and the most correlated channels with patches."""
    from nstk.inspecting.gram import inspect_gram
    from nstk.reports.inspection_pages import save_grams

    inspect = partial(inspect_gram, images, settings=settings)
    run.write(inspect, save_grams, images, output, "gram.txt")


@inspect.command(cls=Command)
@with_settings
def newton(
    *,
    image: InspectedImage,
    output: SheetFile,
    settings: NewtonSettings,
    run: Run,
) -> None:
    """Follow Newton's method on a curve, and compare optimizers on the loss of IMAGE.

    The loss is the content loss, from white noise, by gradient descent, L-BFGS and Newton's method.
    """
    from nstk.inspecting.newton import inspect_newton
    from nstk.reports.newton import save_newton

    inspect = partial(inspect_newton, image, settings=settings)
    run.write(inspect, save_newton, [image], output, "newton.txt")


@inspect.command(cls=Command)
@with_settings
def frozen(
    *,
    data: LabeledData,
    output: FigureFile,
    settings: FrozenSettings,
    run: Run,
) -> None:
    """Measure the benefit of transfer learning on DATA, by block, training images and time.

    Compares a head on the frozen pretrained network with a head on the same network with random
    weights, and with that network trained from random weights.
    """
    from nstk.reports.sheets import check_figure

    check_figure(output)
    with reporting(quiet=run.quiet) as report:
        from nstk.inspecting.frozen import study_frozen
        from nstk.reports.transfer import save_frozen

        network = choose_backbone(run.backbone, run.weights, report)
        study = study_frozen(data, backbone=network, settings=settings, on_progress=report)
        save_frozen(study, output)
        for notice in study.notices:
            log.warning(notice)
    described = {"output": output, **study.to_dict()}
    print_output(run.json, described, "frozen.txt", study=study, output=output)
