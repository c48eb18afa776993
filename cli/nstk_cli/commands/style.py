"""``nstk style``: styles kept in files."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.options import BackboneName, Command, Group, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import print_made
from nstk_cli.reporting import reporting

style = typer.Typer(
    name="style",
    cls=Group,
    help="Keep styles in files.",
    rich_markup_mode=None,
)


@style.callback()
def keep() -> None:
    """Keep styles in files."""


@style.command(cls=Command)
@partial(with_settings, only=("style_blend", "style_layers", "pooling"))
def save(
    *,
    styles: Annotated[
        list[Path], typer.Argument(help="Image or images of the style", metavar="STYLE")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write, NAME.nstyle")
    ],
    settings: nstk.StylizeSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Keep what the network sees in STYLE images, to be given wherever a style image is."""
    with reporting(quiet=quiet) as report:
        from nstk import load_backbone, save_style

        saved = save_style(
            styles,
            output,
            backbone=load_backbone(backbone, weights=weights, on_progress=report),
            settings=settings,
            on_progress=report,
        )
    sizes, size = list(saved.sums), output.stat().st_size
    layers = list(saved.sums[sizes[0]])
    if json:
        print_made(
            {
                "output": output,
                "backbone": saved.network["backbone"],
                "sizes": sizes,
                "layers": layers,
                "bytes": size,
            }
        )
    else:
        print(
            f"{output}: {len(layers)} layers of {saved.network['backbone']} at {len(sizes)} sizes "
            f"from {sizes[0]} to {sizes[-1]} px, {size / 1e6:.1f} MB"
        )
