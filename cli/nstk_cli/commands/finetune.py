"""``nstk finetune``: a folder of labelled pictures becomes a classifier."""

import logging
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import duration, list_skipped, percent, print_json, print_skipped, print_table
from nstk_cli.reporting import reporting
from nstk_cli.silence import loading

log = logging.getLogger("nstk")


@with_settings
def finetune(
    *,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with one folder of pictures per class, or train/, val/, test/ of such",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="Classifier to write, a .keras file"),
    ],
    settings: nstk.FinetuneSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Learn to tell apart the classes of DATA, a folder of labelled pictures."""
    with reporting(quiet=quiet) as report:
        with loading():
            from nstk import Classifier
            from nstk import finetune as run
        Classifier.check_output(output)
        made = run(data, backbone=backbone, weights=weights, settings=settings, on_progress=report)
        made.classifier.save(output)
        for notice in made.notices:
            log.warning(notice)
    if json:
        print_json(
            {
                "model": output,
                "classes": made.classes,
                "train_images": made.train_images,
                "validation_images": made.validation_images,
                "skipped": list_skipped(made.skipped),
                "accuracy": made.accuracy,
                "forward_passes": made.forward_passes,
                "seconds": made.seconds,
            }
        )
    else:
        print_result(made, output)


def print_result(made: "nstk.Finetuning", output: Path) -> None:
    """Print how every class fared, the accuracy with its interval, and what was left out."""
    print_table(
        ["class", "pictures", "recognised", "95 %", "precision"],
        [
            (
                score.name,
                str(score.support),
                percent(score.recall),
                interval(score.recall_interval),
                percent(score.precision),
            )
            for score in made.evaluation.per_class
        ],
        right=["pictures", "recognised", "95 %", "precision"],
    )
    print(
        f"\naccuracy {percent(made.accuracy)} ({interval(made.accuracy_interval)}) on the"
        f" {made.evaluation.images} {made.measured_on} pictures,"
        f" learned from {made.train_images}"
    )
    print_skipped(made.skipped)
    print(f"{output}: {len(made.classes)} classes, {duration(made.seconds['total'])}")


def interval(bounds: tuple[float, float] | None) -> str:
    """A 95 % interval of a share: ``85.1–97.3 %``."""
    return "–" if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f} %"
