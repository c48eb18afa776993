"""``nstk inspect frozen``: what frozen pretrained weights are worth on a folder of images."""

import logging
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.options import BackboneName, Json, Quiet, WeightsFile, with_settings
from nstk_cli.output import (
    interval,
    percent,
    print_made,
    print_skipped,
    print_table,
)
from nstk_cli.reporting import reporting

log = logging.getLogger("nstk")


@with_settings
def frozen(
    *,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of class folders (or train/, val/, test/ of such), manifest or zip",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Image to write, or a page where it ends in .html",
        ),
    ],
    settings: nstk.FrozenSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Show what transfer learning saves on DATA: accuracy by block, by images and by time.

    A head on the frozen network is compared with a head on the same network with random weights,
    and with that network trained from random weights.
    """
    nstk.check_figure(output)
    with reporting(quiet=quiet) as report:
        from nstk import save_frozen, study_frozen

        study = study_frozen(
            data, backbone=backbone, weights=weights, settings=settings, on_progress=report
        )
        save_frozen(study, output)
        for notice in study.notices:
            log.warning(notice)
    if json:
        print_made({"output": output, **study.to_dict()})
    else:
        show(study, output)


def show(study: "nstk.FrozenStudy", output: Path) -> None:
    """Print the three ways and the blocks as tables."""
    ways = {
        "pretrained weights, frozen": (study.transfer, study.seconds["transfer"]),
        "random weights, frozen": (study.random, None),
        "random weights, trained": (study.trained, study.seconds["scratch"]),
    }
    print_table(
        ["way", "accuracy", "95 %", "seconds"],
        [
            (
                way,
                percent(each.accuracy),
                interval(each.accuracy_interval),
                "" if took is None else f"{took:.1f}",
            )
            for way, (each, took) in ways.items()
        ],
        right=["accuracy", "95 %", "seconds"],
    )
    print()
    print_table(
        ["block", "channels", "pretrained", "random"],
        [
            (
                block.layer,
                str(block.channels),
                percent(block.pretrained.accuracy),
                percent(block.random.accuracy),
            )
            for block in study.blocks
        ],
        right=["channels", "pretrained", "random"],
    )
    print_skipped(study.skipped)
    print(
        f"\n{output}: {study.frozen_parameters:,} parameters frozen, "
        f"{study.learned_parameters:,} learned from {study.train_images} images"
    )
