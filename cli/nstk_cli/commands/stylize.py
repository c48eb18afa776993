"""``nstk stylize``: neural style transfer."""

import logging
import math
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstk.errors import DivergenceError
from nstk.progress import Reporter
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
    with_settings,
)
from nstk_cli.output import check_not_inputs, format_duration, print_json, print_result
from nstk_cli.process import interruption_status
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.stylization.recording import Trace
    from nstk.stylization.result import StylizeResult
    from nstk.stylization.tiled.planning import Plan

log = logging.getLogger("nstk")


ImageFile = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Image to write; its extension sets the format"
    ),
]
PageFolder = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="Write report.html and trace.json to this folder"),
]
AnimationFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the optimization as an animated GIF")
]
PreviewEvery = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Save NAME.preview.png every N steps beside the output (0: off)",
    ),
]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Print the predicted memory and time, without running")
]


@with_settings
def stylize(
    *,
    content: Content,
    styles: Styles,
    output: ImageFile,
    settings: StylizeSettings,
    checkpoints: CheckpointSettings,
    content_masks: ContentMasks = None,
    style_masks: StyleMasks = None,
    keep_mask: KeepMask = None,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    report_folder: PageFolder = None,
    animation: AnimationFile = None,
    preview_every: PreviewEvery = 0,
    plan: PlanOnly = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Repaint CONTENT in the style of one or more STYLE images."""
    preview = output.with_name(f"{output.stem}.preview.png") if preview_every else None
    mask_files = [*(content_masks or ()), *(style_masks or ()), keep_mask]
    check_outputs(output, animation, report_folder)
    check_not_inputs(
        [content, *styles, *mask_files, Path(settings.init)], output, animation, preview
    )
    with reporting(quiet=quiet) as report:
        from nstk.backbones.loading import load_backbone
        from nstk.stylization.job import stylize as run
        from nstk.stylization.masks import Masks
        from nstk.stylization.preparing import plan_stylization
        from nstk.stylization.recording import Frames, Previews, Trace, broadcast

        chosen: dict[str, Any] = {
            "backbone": load_backbone(backbone, weights=weights, on_progress=report),
            "settings": settings,
            "masks": Masks(content_masks or (), style_masks or (), keep_mask),
        }
        if plan:
            print_plan(plan_stylization(content, styles, on_progress=report, **chosen), json=json)
            return
        trace, frames = Trace(), Frames()
        reporters: list[Reporter] = [report, trace]
        reporters += [frames] if animation is not None else []
        reporters += [Previews(preview, preview_every)] if preview is not None else []
        on_progress = broadcast(*reporters)
        try:
            made = run(content, styles, on_progress=on_progress, checkpoints=checkpoints, **chosen)
        except DivergenceError as error:
            raise save_last_image(error, output) from error
        made.save(output)
        for notice in made.notices:
            log.warning(notice)
        if animation is not None:
            frames.save(animation, made.image)
        read = {"content": content, "styles": styles, "masks": chosen["masks"]}
        page = report_folder and write_page(report_folder, made, trace, read)
    if json:
        print_result({"output": output, **made.to_dict()})
    else:
        print_stylization(made, output, page)
    if made.interrupted:
        typer.echo(f"nstk: interrupted; {describe_state(output, checkpoints)}.", err=True)
        raise typer.Exit(interruption_status())


def write_page(
    folder: Path, made: "StylizeResult", trace: "Trace", inputs: Mapping[str, Any]
) -> Path:
    """Write the report of a run, with the command that repeats it."""
    from nstk.reports.stylization import write_report

    command = shlex.join(["nstk", *sys.argv[1:]])
    return write_report(folder, **inputs, result=made, trace=trace, command=command)


def check_outputs(output: Path, animation: Path | None, report_folder: Path | None) -> None:
    """Check, before any work, that all files can be written."""
    from nstk.images.animations import check_animation
    from nstk.images.encoding import check_output
    from nstk.reports.stylization import check_report

    check_output(output)
    if animation is not None:
        check_animation(animation)
    if report_folder is not None:
        check_report(report_folder)


def describe_state(output: Path, checkpoints: CheckpointSettings) -> str:
    """Say where the results of an interrupted run are."""
    state = f"the image so far is in {output}"
    if checkpoints.checkpoint is None:
        return state
    return f"{state}; continue with --checkpoint {checkpoints.checkpoint} --resume"


def save_last_image(error: DivergenceError, output: Path) -> DivergenceError:
    """Save the last good image of a run that diverged, and add that to the error."""
    if error.made is None or not error.made.steps:
        return error
    error.made.save(output)
    return DivergenceError(f"{error} The last good image is in {output}.")


def print_stylization(made: "StylizeResult", output: Path, page: Path | None) -> None:
    """Print the size, steps and time of a result, and where it is."""
    height, width, _ = made.image.shape
    # There is no pace without a step of this run, and no loss without any step.
    pace, loss = made.seconds_per_step, made.loss
    each = f" ({format_duration(pace)} per step)" if math.isfinite(pace) else ""
    end = f", loss {loss:.4g}" if math.isfinite(loss) else ""
    seconds = format_duration(made.seconds)
    print(f"{output}: {width}×{height}, {made.steps} steps in {seconds}{each}{end}")
    if page:
        print(f"{page}: report")


def print_plan(plan: "Plan", *, json: bool) -> None:
    """Print the memory and time that a run needs, as one line or as one JSON object."""
    if json:
        print_json(plan.to_dict())
        return
    print(
        f"tiling {plan.tiling} in {plan.precision}, {plan.convolution}, because {plan.reason}: "
        f"{plan.peak_memory_bytes / 2**30:.1f} GiB, {format_duration(plan.seconds)}"
    )
