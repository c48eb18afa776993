"""``nstk stylize``: a content image repainted in the style of others."""

import dataclasses
import logging
import math
import shlex
import sys
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
from nstk_cli.output import duration, print_json, print_made
from nstk_cli.reporting import Reporter, reporting
from nstk_cli.signals import status_of_interruption

log = logging.getLogger("nstk")


@with_settings
def stylize(
    *,
    content: Annotated[Path, typer.Argument(help="Image to repaint", metavar="CONTENT")],
    styles: Annotated[
        list[Path], typer.Argument(help="Image or images to paint it like", metavar="STYLE")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Image to write; its ending says the format",
        ),
    ],
    settings: nstk.StylizeSettings,
    checkpoints: nstk.CheckpointSettings,
    content_masks: ContentMasks = None,
    style_masks: StyleMasks = None,
    keep_mask: KeepMask = None,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    report_folder: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Write report.html there, with images, curves and figures, and trace.json",
        ),
    ] = None,
    animation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the descent as a GIF")
    ] = None,
    preview_every: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Save it every N steps, beside the output as NAME.preview.png; 0 is never",
        ),
    ] = 0,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what memory and time it would take, and paint nothing"),
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Repaint CONTENT in the style of one or more STYLE images."""
    nstk.check_output(output)
    if animation is not None:
        nstk.check_animation(animation)
    masks = [*(content_masks or ()), *(style_masks or ()), keep_mask]
    preview = preview_path(output) if preview_every else None
    spare_inputs([content, *styles, *masks, Path(settings.init)], output, animation, preview)
    if report_folder is not None:
        nstk.check_report(report_folder)
    with reporting(quiet=quiet) as report:
        from nstk import Frames, Previews, Trace, broadcast, load_backbone, plan_stylization
        from nstk import stylize as run

        regions = nstk.Masks(content_masks or (), style_masks or (), keep_mask)
        asked: dict[str, Any] = {
            "backbone": load_backbone(backbone, weights=weights, on_progress=report),
            "settings": settings,
            "masks": regions,
        }
        if plan:
            show_plan(plan_stylization(content, styles, on_progress=report, **asked), json=json)
            return
        trace, frames = Trace(), Frames()
        listeners: list[Reporter] = [report, trace]
        if animation is not None:
            listeners.append(frames)
        if preview is not None:
            listeners.append(Previews(preview, preview_every))
        try:
            made = run(
                content, styles, on_progress=broadcast(*listeners), checkpoints=checkpoints, **asked
            )
        except nstk.DivergenceError as error:
            raise keep_last(error, output) from error
        made.save(output)
        for notice in made.notices:
            log.warning(notice)
        if animation is not None:
            frames.save(animation, made.image)
        page = report_folder and write_report(
            report_folder, content, styles, made, trace, regions
        )
    show(made, output, page, json=json)
    if made.interrupted:
        typer.echo(f"nstk: interrupted; {where_it_is(output, checkpoints)}.", err=True)
        raise typer.Exit(status_of_interruption())


def preview_path(output: Path) -> Path:
    """Where previews of an image go."""
    return output.with_name(f"{output.stem}.preview.png")


def where_it_is(output: Path, checkpoints: nstk.CheckpointSettings) -> str:
    """Where the results of a run that was interrupted are."""
    words = f"the image so far is in {output}"
    if checkpoints.checkpoint is None:
        return words
    return f"{words}, and --resume goes on from {checkpoints.checkpoint}"


def keep_last(error: nstk.DivergenceError, output: Path) -> nstk.DivergenceError:
    """Save the last good image of a descent that diverged, and say so."""
    if error.made is None or not error.made.steps:
        return error
    error.made.save(output)
    return nstk.DivergenceError(f"{error} The last good image is in {output}.")


def write_report(
    folder: Path,
    content: Path,
    styles: list[Path],
    made: "nstk.Stylization",
    trace: "nstk.Trace",
    masks: "nstk.Masks",
) -> Path:
    """Write the page about this run, with the command that repeats it."""
    return nstk.write_report(
        folder,
        content=content,
        styles=styles,
        stylization=made,
        trace=trace,
        command=shlex.join(["nstk", *sys.argv[1:]]),
        masks=masks,
    )


def show(made: "nstk.Stylization", output: Path, page: Path | None, *, json: bool) -> None:
    """Print what was made and where it is, or one JSON object."""
    height, width, _ = made.image.shape
    if json:
        print_made(
            {
                "output": output,
                "width": width,
                "height": height,
                "backbone": made.backbone,
                "tiling": made.tiling,
                "precision": made.precision,
                "convolution": made.convolution,
                "strength": made.strength,
                "steps": made.steps,
                "seconds": made.seconds,
                "seconds_per_step": made.seconds_per_step,
                "loss": made.loss,
                "terms": made.terms,
                "peak_memory_bytes": made.peak_memory_bytes,
            }
        )
        return
    # A run that was over before it was resumed has taken no step, and one that was interrupted
    # before its first has no loss either.
    pace, loss = made.seconds_per_step, made.loss
    each = f" ({duration(pace)} per step)" if math.isfinite(pace) else ""
    end = f", loss {loss:.4g}" if math.isfinite(loss) else ""
    print(f"{output}: {width}×{height}, {made.steps} steps in {duration(made.seconds)}{each}{end}")
    if page:
        print(f"{page}: the same as a page, with what happened on the way")


def show_plan(plan: "nstk.Plan", *, json: bool) -> None:
    """Print what a run would take, as one line or as one JSON object."""
    if json:
        print_json(dataclasses.asdict(plan))
        return
    print(
        f"tiling {plan.tiling} in {plan.precision}, {plan.convolution}, because {plan.reason}: "
        f"{plan.peak_memory_bytes / 2**30:.1f} GiB, {duration(plan.seconds)}"
    )
