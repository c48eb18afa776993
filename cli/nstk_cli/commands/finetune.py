"""``nstk finetune``: a classifier from a folder of labeled images."""

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstk.errors import SettingsError
from nstk.progress import Reporter
from nstk.settings import CheckpointSettings, FinetuneSettings
from nstk_cli.commands.finetune_output import print_finetuning, print_replay
from nstk_cli.options import (
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
from nstk_cli.output import print_result
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.classifiers.evaluation.report import EvaluationReport
    from nstk.finetuning.result import FinetuneResult

log = logging.getLogger("nstk")

RECORD = ".json"


TrainingData = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA",
        help="Folder with one folder of images per class, or train/, val/, test/ of such "
        "folders; a zip of either; or a CSV or JSONL manifest",
        show_default=False,
    ),
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
    backbone: BackboneName = "compact",
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
    if json:
        described = made.to_dict()
        print_result({"model": output, **described, "differences": differences, "report": page})
    else:
        print_finetuning(made, output)
        if page:
            print(f"{page}: report")
        if differences is not None:
            print_replay(differences)
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
    """Train a classifier, or repeat a run.

    Returns:
        The result, and what differs from the repeated run; None where no run was repeated.
    """
    from nstk.finetuning.job import finetune as run
    from nstk.finetuning.replay import replay as repeat
    from nstk.finetuning.tensorboard import ScalarLog
    from nstk.stylization.recording import broadcast

    scalars = ScalarLog(tensorboard) if tensorboard else None
    on_progress = broadcast(report, scalars) if scalars else report
    differences = None
    if replay:
        repeated = repeat(replay, data=data, **shared, on_progress=on_progress)
        made, differences = repeated.result, list(repeated.differences)
    else:
        backbone = choose_backbone(*network, on_progress)
        made = run(
            data or "", backbone=backbone, settings=settings, **shared, on_progress=on_progress
        )
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

    command = shlex.join(["nstk", *sys.argv[1:]])
    return write_classifier_report(folder, made, command=command, cache=cache, on_progress=report)


def check_arguments(data: Path | None, output: Path | None, replay: Path | None) -> None:
    """Check that data and output are given.

    Raises:
        SettingsError: If one is missing.
    """
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
    from nstk.storage.files import check_writable

    if output:
        Classifier.check_output(output)
        check_writable(output.with_suffix(RECORD))
    if report_folder:
        check_classifier_report(report_folder)
