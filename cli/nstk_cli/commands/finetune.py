"""``nstk finetune``: a classifier from a folder of labeled images."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstk.errors import SettingsError
from nstk.progress import Reporter
from nstk.settings import CheckpointSettings, FinetuneSettings
from nstk_cli.options import (
    DATA_HELP,
    BackboneName,
    CacheFolder,
    Json,
    Quiet,
    ReportFolder,
    WeightsFile,
    choose_backbone,
    choose_cache,
    with_settings,
)
from nstk_cli.output import command_line, print_output
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.classifiers.evaluation.report import EvaluationReport
    from nstk.finetuning.result import FinetuneResult

log = logging.getLogger("nstk")

RECORD = ".json"


TrainingData = Annotated[
    Path | None,
    typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False),
]
ClassifierFile = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Classifier to write, NAME.keras"),
]
RecordFile = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST",
        help="Repeat the run of this .json file with its settings, and check that the numbers "
        "match; DATA and --output are optional",
    ),
]
LogFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write the loss of each fine-tuning step for TensorBoard"),
]


@with_settings
def finetune(
    *,
    data: TrainingData = None,
    output: ClassifierFile = None,
    settings: FinetuneSettings,
    checkpoints: CheckpointSettings,
    backbone: BackboneName = "efficientnet-lite0",
    weights: WeightsFile = None,
    cache: CacheFolder = None,
    report_folder: ReportFolder = None,
    replay: RecordFile = None,
    tensorboard: LogFolder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train an image classifier on DATA."""
    with reporting(quiet=quiet) as report:
        check_arguments(data, output, replay)
        check_outputs(output, report_folder)
        made, differences = train(
            data,
            replay,
            tensorboard,
            report,
            (backbone, weights),
            settings,
            {"cache": choose_cache(cache), "checkpoints": checkpoints},
        )
        if output:
            made.classifier.save(output)
        if output and not replay:
            from nstk.finetuning.replay import save_manifest

            record = output.with_suffix(RECORD)
            save_manifest(made, record, backbone=backbone, weights=weights)
        page = report_folder and write_report(report_folder, made, choose_cache(cache), report)
        for notice in made.notices:
            log.warning(notice)
    end = {"differences": differences, "report": page}
    described = {"model": output, **made.to_dict(), **end}
    print_output(json, described, "finetune.txt", made=made, output=output, **end)
    if differences:
        raise typer.Exit(1)


def train(
    data: Path | None,
    replay: Path | None,
    tensorboard: Path | None,
    report: Reporter,
    network: tuple[str, Path | None],
    settings: FinetuneSettings,
    shared: dict[str, Any],
) -> tuple["FinetuneResult", list[str] | None]:
    """Train a classifier, or repeat a run and return what differs from it."""
    from nstk.finetuning.job import finetune as run
    from nstk.finetuning.replay import replay as repeat
    from nstk.finetuning.tensorboard import ScalarLog
    from nstk.stylization.result import broadcast

    scalars = ScalarLog(tensorboard) if tensorboard else None
    shared |= {"on_progress": broadcast(report, scalars) if scalars else report}
    differences = None
    if replay:
        repeated = repeat(replay, data=data, **shared)
        made, differences = repeated.result, list(repeated.differences)
    else:
        backbone = choose_backbone(*network, report)
        made = run(data or "", backbone=backbone, settings=settings, **shared)
    if scalars:
        scalars.record(made)
    return made, differences


def write_report(
    folder: Path,
    made: "FinetuneResult | EvaluationReport",
    cache: Path | None,
    report: Reporter,
) -> Path:
    """Write the report of a run, with the command that repeats it."""
    from nstk.reports.classifier import write_classifier_report

    chosen: dict[str, Any] = {"cache": cache, "on_progress": report}
    return write_classifier_report(folder, made, command=command_line(), **chosen)


def check_arguments(data: Path | None, output: Path | None, replay: Path | None) -> None:
    if replay is None and (data is None or output is None):
        missing = "DATA" if data is None else "--output"
        raise SettingsError(
            f"{missing} is missing; give the folder to train on and the file to write, as in "
            "nstk finetune insects -o insects.keras."
        )


def check_outputs(output: Path | None, report_folder: Path | None) -> None:
    """Check, before any work, that all files can be written."""
    from nstk.classifiers.classifier import Classifier
    from nstk.reports.classifier import check_classifier_report
    from nstk.storage.files import check_replaceable

    if output:
        Classifier.check_output(output)
        check_replaceable(output.with_suffix(RECORD), '"versions"', '"settings"')
    if report_folder:
        check_classifier_report(report_folder)
