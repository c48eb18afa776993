"""``nstk sweep``: one stylization with settings varied over a grid."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nstk.errors import SettingsError
from nstk.settings import CheckpointSettings, StylizeSettings
from nstk_cli.options import (
    BackboneName,
    Content,
    ContentMasks,
    Json,
    KeepMask,
    Quiet,
    StyleMasks,
    Styles,
    WeightsFile,
    choose_backbone,
    with_settings,
)
from nstk_cli.output import check_not_inputs, format_duration, print_output
from nstk_cli.reporting import reporting

MANY = 100
"""The largest number of runs without confirmation."""


Axes = Annotated[
    list[str],
    typer.Option(
        metavar="KEY=V1,V2,…",
        help="Setting to vary (an option below, or backbone) and its values; once or twice; "
        "semicolons separate values that contain commas",
    ),
]
SheetFile = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Contact sheet to write, or a page for .html; the runs are stored in NAME.runs",
    ),
]
Confirmed = Annotated[bool, typer.Option("--yes", help=f"Confirm a sweep of more than {MANY} runs")]


@with_settings
def sweep(
    *,
    content: Content,
    styles: Styles,
    over: Axes,
    output: SheetFile,
    settings: StylizeSettings,
    checkpoints: CheckpointSettings,
    content_masks: ContentMasks = None,
    style_masks: StyleMasks = None,
    keep_mask: KeepMask = None,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    yes: Confirmed = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Stylize CONTENT with every combination of values of one or two settings.

    The same command again makes only the runs that are missing or whose images or settings
    changed. With --checkpoint an interrupted run continues, too.
    """
    mask_files = [*(content_masks or ()), *(style_masks or ()), keep_mask]
    with reporting(quiet=quiet) as report:
        from nstk.reports.sheets import check_figure
        from nstk.reports.sweep import save_sweep
        from nstk.stylization.regions import Masks
        from nstk.sweeping.grid import BACKBONE, count_points, read_axis
        from nstk.sweeping.job import predict_seconds
        from nstk.sweeping.job import sweep as run

        axes = [read_axis(text) for text in over]
        check_figure(output)
        check_not_inputs([content, *styles, *mask_files, Path(settings.init)], output)
        if weights is not None and any(axis.key == BACKBONE for axis in axes):
            raise SettingsError(
                f"`over` varies the backbone and {weights} belongs to one of them; leave "
                "`weights` out."
            )
        shared: dict[str, Any] = {
            "backbone": choose_backbone(backbone, weights, report),
            "settings": settings,
            "masks": Masks(content_masks or (), style_masks or (), keep_mask),
            "on_progress": report,
        }
        count = count_points(axes)
        if count > MANY and not yes:
            seconds = predict_seconds(content, styles, axes, **shared)
            raise SettingsError(
                f"`over` gives {count} runs, about {format_duration(seconds)} on this machine; add "
                "`yes=True` to run them all, or give fewer values."
            )
        runs = output.with_suffix(".runs")
        swept = run(content, styles, axes, runs, checkpoints=checkpoints, **shared)
        save_sweep(swept, output)
    described = {"output": output, **swept.to_dict()}
    print_output(json, described, "sweep.txt", swept=swept, output=output)
