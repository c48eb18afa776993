"""``nstk sweep``: one content and style with settings varied over a grid."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

import nstk
from nstk_cli.inputs import spare_inputs
from nstk_cli.options import (
    BackboneName,
    ContentMasks,
    Json,
    KeepMask,
    Quiet,
    StyleMasks,
    WeightsFile,
    with_settings,
)
from nstk_cli.output import duration, print_made, print_table
from nstk_cli.reporting import reporting

MANY = 100
"""The most runs that need no confirmation."""


@with_settings
def sweep(
    *,
    content: Annotated[Path, typer.Argument(help="Image to repaint", metavar="CONTENT")],
    styles: Annotated[
        list[Path], typer.Argument(help="Image or images to paint it like", metavar="STYLE")
    ],
    over: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=V1,V2,…",
            help="Setting to vary, any option below or backbone, and its values; once or twice; "
            "semicolons between values that hold commas",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Contact sheet to write, or a page where it ends in .html; the runs are kept "
            "beside it in NAME.runs",
        ),
    ],
    settings: nstk.StylizeSettings,
    checkpoints: nstk.CheckpointSettings,
    content_masks: ContentMasks = None,
    style_masks: StyleMasks = None,
    keep_mask: KeepMask = None,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Paint more than a hundred runs")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Repaint CONTENT like STYLE with every combination of the values of one or two settings.

    Finished runs are kept: the same command goes on with the others, and paints again what was
    made from other images or settings. --checkpoint keeps the state of the run in between, too.
    """
    with reporting(quiet=quiet) as report:
        axes = [nstk.read_axis(text) for text in over]
        nstk.check_figure(output)
        masks = [*(content_masks or ()), *(style_masks or ()), keep_mask]
        spare_inputs([content, *styles, *masks, Path(settings.init)], output)
        from nstk import load_backbone, save_sweep
        from nstk import sweep as run
        from nstk.sweeping.grid import BACKBONE, count_points
        from nstk.sweeping.job import predict_seconds

        if weights is not None and any(axis.key == BACKBONE for axis in axes):
            raise nstk.SettingsError(
                f"`over` varies the backbone and {weights} belongs to one of them; leave "
                "`weights` out."
            )
        shared: dict[str, Any] = {
            "backbone": load_backbone(backbone, weights=weights, on_progress=report)
            if weights
            else backbone,
            "settings": settings,
            "masks": nstk.Masks(content_masks or (), style_masks or (), keep_mask),
            "on_progress": report,
        }
        count = count_points(axes)
        if count > MANY and not yes:
            seconds = predict_seconds(content, styles, axes, **shared)
            raise nstk.SettingsError(
                f"`over` asks for {count} runs, about {duration(seconds)} on this machine; give "
                "`yes` to make them all, or fewer values."
            )
        runs = output.with_suffix(".runs")
        swept = run(content, styles, axes, runs, checkpoints=checkpoints, **shared)
        save_sweep(swept, output)
    if json:
        print_made(
            {"output": output, "seconds": swept.seconds, "runs": list(map(describe, swept.runs))}
        )
    else:
        show(swept, output)


def describe(run: "nstk.SweptRun") -> dict[str, Any]:
    """One run for JSON."""
    return {
        "settings": {**dataclasses.asdict(run.point.settings), "backbone": run.backbone},
        "terms": run.terms,
        "seconds": run.seconds,
        "output": run.output,
        "diverged": run.diverged,
        "resumed": run.resumed,
    }


def show(swept: "nstk.Sweep", output: Path) -> None:
    """Print the runs as a table."""
    axes = swept.axes
    print_table(
        [*(axis.option for axis in axes), "content", "style", "seconds", "image"],
        [
            (
                *(axis.format_value(run.point.values[axis.key]) for axis in axes),
                f"{run.terms['content']:.4g}",
                f"{run.terms['style']:.4g}",
                "kept" if run.resumed else f"{run.seconds:.1f}",
                str(run.output),
            )
            for run in swept.runs
        ],
        right=["content", "style", "seconds"],
    )
    painted = [run.seconds for run in swept.runs if not run.resumed]
    kept = len(swept.runs) - len(painted)
    before = f", {kept} kept from before" if kept else ""
    spent = f", {duration(sum(painted))}" if painted else ""
    print(f"\n{output}: {len(swept.runs)} runs{before}{spent}")
