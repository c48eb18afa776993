"""``nstk stylize``: a content picture repainted in the style of others."""

import logging
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import duration, print_json
from nstk_cli.reporting import Reporter, reporting
from nstk_cli.silence import loading

INTERRUPTED = 130

log = logging.getLogger("nstk")


class Previews:
    """Write the current picture beside the output every few steps, then pass the report on."""

    def __init__(self, output: Path, every: int, report: Reporter) -> None:
        self.path = output.with_name(f"{output.stem}.preview.png")
        self.every = every
        self.report = report

    def __call__(self, progress: nstk.Progress) -> None:
        """Save a preview if this step is due for one; a failure to do so stops nothing."""
        if progress.preview and progress.step and progress.step % self.every == 0:
            try:
                nstk.save_picture(self.path, progress.preview())
            except nstk.OutputError as error:
                log.warning("no preview: %s", error)
        self.report(progress)


@with_settings
def stylize(
    *,
    content: Annotated[Path, typer.Argument(help="Picture to repaint", metavar="CONTENT")],
    styles: Annotated[
        list[Path], typer.Argument(help="Picture or pictures to paint it like", metavar="STYLE")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Picture to write; its ending says the format",
        ),
    ],
    settings: nstk.StylizeSettings,
    content_mask: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Where a style goes, white on black, of the content's shape; "
            "once for every STYLE, in the same order",
        ),
    ] = None,
    style_mask: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Which part of a style picture counts; once for every STYLE"
        ),
    ] = None,
    keep_mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What is to stay as it is, white on black")
    ] = None,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    preview_every: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Save it every N steps, beside the output as NAME.preview.png; 0 is never",
        ),
    ] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Repaint CONTENT in the style of one or more STYLE pictures."""
    nstk.check_output(output)
    with reporting(quiet=quiet) as report:
        with loading():
            from nstk import load_backbone
            from nstk import stylize as run
        made = run(
            content,
            styles,
            backbone=load_backbone(backbone, weights=weights, on_progress=report),
            settings=settings,
            content_masks=content_mask or (),
            style_masks=style_mask or (),
            keep_mask=keep_mask,
            on_progress=Previews(output, preview_every, report) if preview_every else report,
        )
        made.save(output)
        for notice in made.notices:
            log.warning(notice)
    height, width, _ = made.picture.shape
    if json:
        print_json(
            {
                "output": output,
                "width": width,
                "height": height,
                "backbone": made.backbone,
                "strength": made.strength,
                "steps": made.steps,
                "seconds": made.seconds,
                "seconds_per_step": made.seconds_per_step,
                "loss": made.loss,
                "terms": made.terms,
                "peak_memory_bytes": made.peak_memory_bytes,
            }
        )
    else:
        print(
            f"{output}: {width}×{height}, {made.steps} steps in {duration(made.seconds)}"
            f" ({duration(made.seconds_per_step)} per step), loss {made.loss:.4g}"
        )
    if made.interrupted:
        typer.echo(f"nstk: interrupted; the picture so far is in {output}.", err=True)
        raise typer.Exit(INTERRUPTED)
