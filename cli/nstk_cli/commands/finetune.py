"""``nstk finetune``: a classifier from a folder of labeled images."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstk.errors import SettingsError
from nstk.progress import Reporter
from nstk.settings import CheckpointSettings, FinetuneSettings
from nstk_cli.commands.features import cache_features
from nstk_cli.options import (
    DATA_HELP,
    CacheFolder,
    DaskAddress,
    Json,
    Quiet,
    ReportFolder,
    ShardOption,
    TrainingBackbone,
    TrainingWeights,
    choose_backbone,
    choose_cache,
    with_settings,
)
from nstk_cli.output import command_line, print_output
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.backbones.candidates import BackboneChoice
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
    backbone: TrainingBackbone = "efficientnet-lite0",
    weights: TrainingWeights = None,
    cache: CacheFolder = None,
    report_folder: ReportFolder = None,
    replay: RecordFile = None,
    tensorboard: LogFolder = None,
    shard: ShardOption = "1/1",
    dask: DaskAddress = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train an image classifier on DATA."""
    with reporting(quiet=quiet) as report:
        whole = shard == "1/1"
        if whole:
            check_arguments(data, output, replay)
        if dask or not whole:
            source, kept = choose(backbone, weights or (), report), choose_cache(cache)
            found = cache_features(data, source, settings, kept, report, shard=shard, dask=dask)
        if not whole:
            print_output(json, found.to_dict(), "features.txt", found=found)
            return
        check_outputs(output, report_folder)
        made, differences = train(
            data,
            replay,
            tensorboard,
            report,
            (backbone, weights or ()),
            settings,
            {"cache": choose_cache(cache), "checkpoints": checkpoints},
        )
        if output:
            made.classifier.save(output)
        if output and not replay:
            from nstk.finetuning.replay import save_manifest

            name, file = backbone, next(iter(weights or ()), None)
            for trial in made.backbone_trials:
                if trial.chosen:
                    name, file = trial.name, None if trial.weights is None else Path(trial.weights)
            save_manifest(made, output.with_suffix(RECORD), backbone=name, weights=file)
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
    network: tuple[str, Sequence[Path]],
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
        made = run(data or "", backbone=choose(*network, report), settings=settings, **shared)
    if scalars:
        scalars.record(made)
    return made, differences


def choose(name: str, weights: Sequence[Path], report: Reporter) -> "BackboneChoice":
    """The network of a name with its weights file; with auto, any number of files to try."""
    if name == "auto":
        return [name, *weights]
    if len(weights) > 1:
        raise SettingsError(
            f"`weights` was given {len(weights)} times, but only `backbone='auto'` chooses among "
            "files; give one."
        )
    return choose_backbone(name, next(iter(weights), None), report)


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
