"""``nstk inspect frozen``: the benefit of transfer learning on a folder of images."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nstk.reports.formatting import format_interval, format_percent
from nstk.settings import FrozenSettings
from nstk_cli.options import (
    BackboneName,
    Json,
    LabeledData,
    Quiet,
    WeightsFile,
    choose_backbone,
    with_settings,
)
from nstk_cli.output import (
    print_result,
    print_skipped,
    print_table,
)
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.inspecting.frozen_study import FrozenStudy

log = logging.getLogger("nstk")


@with_settings
def frozen(
    *,
    data: LabeledData,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Image to write, or a page for .html",
        ),
    ],
    settings: FrozenSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure the benefit of transfer learning on DATA, by block, training images and time.

    Compares a head on the frozen pretrained network with a head on the same network with random
    weights, and with that network trained from random weights.
    """
    from nstk.reports.sheets import check_figure

    check_figure(output)
    with reporting(quiet=quiet) as report:
        from nstk.inspecting.frozen import study_frozen
        from nstk.reports.transfer import save_frozen

        study = study_frozen(
            data,
            backbone=choose_backbone(backbone, weights, report),
            settings=settings,
            on_progress=report,
        )
        save_frozen(study, output)
        for notice in study.notices:
            log.warning(notice)
    if json:
        print_result({"output": output, **study.to_dict()})
    else:
        print_study(study, output)


def print_study(study: "FrozenStudy", output: Path) -> None:
    """Print the three methods and the blocks as tables."""
    methods = {
        "pretrained weights, frozen": (study.transfer, study.seconds["transfer"]),
        "random weights, frozen": (study.random, None),
        "random weights, trained": (study.trained, study.seconds["scratch"]),
    }
    print_table(
        ["method", "accuracy", "95 %", "seconds"],
        [
            (
                method,
                format_percent(each.accuracy),
                format_interval(each.accuracy_interval),
                "" if took is None else f"{took:.1f}",
            )
            for method, (each, took) in methods.items()
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
                format_percent(block.pretrained.accuracy),
                format_percent(block.random.accuracy),
            )
            for block in study.blocks
        ],
        right=["channels", "pretrained", "random"],
    )
    print_skipped(study.skipped)
    print(
        f"\n{output}: {study.frozen_parameters:,} parameters frozen, "
        f"{study.learned_parameters:,} trained on {study.train_images} images"
    )
