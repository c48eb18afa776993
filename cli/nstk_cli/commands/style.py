"""``nstk style``: style files."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nstk.settings import StylizeSettings
from nstk_cli.options import BackboneName, Command, Group, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import print_result
from nstk_cli.reporting import reporting

style = typer.Typer(name="style", cls=Group, help="Manage style files.", rich_markup_mode=None)


@style.callback()
def main() -> None:
    """Manage style files."""


@style.command(cls=Command)
@partial(with_settings, only=("style_blend", "style_layers", "pooling"))
def save(
    *,
    styles: Annotated[list[Path], typer.Argument(metavar="STYLE", help="Style images")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write, NAME.nstyle")
    ],
    settings: StylizeSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Save a style to a reusable .nstyle file."""
    with reporting(quiet=quiet) as report:
        from nstk.backbones.loading import load_backbone
        from nstk.stylization.saving import save_style

        saved = save_style(
            styles,
            output,
            backbone=load_backbone(backbone, weights=weights, on_progress=report),
            settings=settings,
            on_progress=report,
        )
    sizes, size = list(saved.sums), output.stat().st_size
    layers, network = list(saved.sums[sizes[0]]), saved.network["backbone"]
    if json:
        print_result(
            {"output": output, "backbone": network, "sizes": sizes, "layers": layers, "bytes": size}
        )
    else:
        print(
            f"{output}: {len(layers)} layers of {network} at {len(sizes)} sizes from {sizes[0]} to "
            f"{sizes[-1]} px, {size / 1e6:.1f} MB"
        )
