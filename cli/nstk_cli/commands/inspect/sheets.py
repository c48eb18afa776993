"""``nstk inspect content``, ``style`` and ``gram``: commands that write one sheet each."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstk.settings import InspectSettings
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import check_not_inputs, format_duration, print_result, print_table
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.inspecting.gram import GramInspection
    from nstk.inspecting.reconstruction import ContentInspection
    from nstk.inspecting.textures import StyleInspection

SheetFile = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Sheet to write; its extension sets the format"
    ),
]
InspectedImage = Annotated[Path, typer.Argument(metavar="IMAGE", help="Image to inspect")]


@partial(with_settings, only=("layers", "size", "steps", "optimizer", "pooling", "seed"))
def content(
    *,
    image: InspectedImage,
    output: SheetFile,
    settings: InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Reconstruct IMAGE from the activations of each layer, starting from noise."""
    from nstk.inspecting.reconstruction import inspect_content
    from nstk.reports.inspection_sheets import draw_content_sheet

    inspect = partial(inspect_content, image, settings=settings)
    found: ContentInspection = write_sheet(
        inspect, draw_content_sheet, [image], output, (backbone, weights), quiet=quiet
    )
    if json:
        print_result({"output": output, **found.to_dict()})
        return
    print_table(
        ["layer", "pixel error", "content loss"],
        [
            (each.layer, f"{each.error:.3f}", f"{each.losses[-1]:.2g}")
            for each in found.reconstructions
        ],
        right=["pixel error", "content loss"],
    )
    print(f"\n{output}: {found.steps} steps each in {format_duration(found.seconds)}")


@partial(with_settings, only=("layers", "size", "steps", "optimizer", "pooling", "seed"))
def style(
    *,
    image: InspectedImage,
    output: SheetFile,
    settings: InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Synthesize textures from the Gram matrices of more and more layers of IMAGE."""
    from nstk.inspecting.textures import inspect_style
    from nstk.reports.inspection_sheets import draw_style_sheet

    inspect = partial(inspect_style, image, settings=settings)
    found: StyleInspection = write_sheet(
        inspect, draw_style_sheet, [image], output, (backbone, weights), quiet=quiet
    )
    if json:
        print_result({"output": output, **found.to_dict()})
        return
    names = list(found.textures[-1].layers)
    print("relative error of the Gram matrix in each layer:\n")
    print_table(
        ["texture from", *names],
        [
            (f"up to {each.layers[-1]}", *(f"{each.errors[name]:.2f}" for name in names))
            for each in found.textures
        ],
        right=names,
    )
    print(f"\n{output}: {found.steps} steps each in {format_duration(found.seconds)}")


@partial(with_settings, only=("layers", "size", "pairs"))
def gram(
    *,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE", help="The style, then images to compare with it, such as the result"
        ),
    ],
    output: SheetFile,
    settings: InspectSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show the Gram matrices of images, and the most correlated channels with patches."""
    from nstk.inspecting.gram import inspect_gram
    from nstk.reports.inspection_sheets import draw_gram_sheet

    inspect = partial(inspect_gram, images, settings=settings)
    found: GramInspection = write_sheet(
        inspect, draw_gram_sheet, images, output, (backbone, weights), quiet=quiet
    )
    if json:
        print_result({"output": output, **found.to_dict()})
        return
    others = list(found.names[1:])
    if others:
        print(f"relative error of the Gram matrix against {found.names[0]} in each layer:\n")
        print_table(
            ["layer", *others],
            [(each.layer, *(f"{error:.2f}" for error in each.errors[1:])) for each in found.layers],
            right=others,
        )
        print()
    print(f"{output}: {len(found.layers)} layers in {format_duration(found.seconds)}")


def write_sheet(
    inspect: Callable[..., Any],
    draw: Callable[[Any], Any],
    images: list[Path],
    output: Path,
    network: tuple[str, Path | None],
    *,
    quiet: bool,
) -> Any:
    """Inspect images and write the sheet of the result.

    Args:
        inspect: Takes ``backbone`` and ``on_progress``.
        draw: Draws its result.
        images: The files that are read.
        output: The sheet.
        network: The name of the backbone, and its weights file.
        quiet: Show errors only.

    Returns:
        The result.
    """
    from nstk.backbones.loading import load_backbone
    from nstk.images.encoding import check_output, save_image

    check_output(output)
    check_not_inputs(images, output)
    name, weights = network
    with reporting(quiet=quiet) as report:
        backbone = load_backbone(name, weights=weights, on_progress=report)
        found = inspect(backbone=backbone, on_progress=report)
        save_image(output, draw(found))
    return found
