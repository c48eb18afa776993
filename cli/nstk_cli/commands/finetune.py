"""``nstk finetune``: a folder of labeled images becomes a classifier."""

import logging
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.options import (
    BackboneName,
    CacheFolder,
    Json,
    Quiet,
    ReportFolder,
    WeightsFile,
    choose_cache,
    with_settings,
)
from nstk_cli.output import (
    duration,
    interval,
    percent,
    print_confusion,
    print_made,
    print_skipped,
    print_table,
)
from nstk_cli.reporting import Reporter, reporting

log = logging.getLogger("nstk")

RECORD = ".json"


@with_settings
def finetune(
    *,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Folder with one folder of images per class, or train/, val/, test/ of such;"
            " a zip of either; or a CSV or JSONL manifest",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Classifier to write, a .keras file"),
    ] = None,
    settings: nstk.FinetuneSettings,
    checkpoints: nstk.CheckpointSettings,
    backbone: BackboneName = "compact",
    weights: WeightsFile = None,
    cache: CacheFolder = None,
    report_folder: ReportFolder = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="Repeat the run that wrote this .json beside its model, with its settings, and"
            " say whether the numbers match; needs neither DATA nor --output",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the loss of every step while blocks learn, and the final figures, for"
            " TensorBoard",
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Learn to tell apart the classes of DATA, a folder of labeled images."""
    with reporting(quiet=quiet) as report:
        from nstk import Classifier, save_manifest
        from nstk import finetune as run
        from nstk import replay as repeat

        check_given(data, output, replay)
        if output:
            Classifier.check_output(output)
            nstk.check_writable(output.with_suffix(RECORD))
        if report_folder:
            nstk.check_classifier_report(report_folder)
        place = choose_cache(cache)
        scalars = nstk.ScalarLog(tensorboard) if tensorboard else None
        listen = nstk.broadcast(report, scalars) if scalars else report
        repeated = None
        if replay:
            repeated = repeat(
                replay, data=data, cache=place, checkpoints=checkpoints, on_progress=listen
            )
            made = repeated.result
        else:
            made = run(
                data or "",
                backbone=backbone,
                weights=weights,
                settings=settings,
                cache=place,
                checkpoints=checkpoints,
                on_progress=listen,
            )
        if scalars:
            scalars.record(made)
        if output:
            made.classifier.save(output)
        if output and not replay:
            record = output.with_suffix(RECORD)
            save_manifest(made, record, backbone=backbone, weights=weights)
        page = report_folder and write_report(report_folder, made, place, report)
        for notice in made.notices:
            log.warning(notice)
    if json:
        differences = repeated and repeated.differences
        print_made({"model": output, **made.to_dict(), "differences": differences, "report": page})
    else:
        print_result(made, output)
        if page:
            print(f"{page}: the same as a page, with the worst images")
        if repeated:
            print_replay(repeated)
    if repeated and repeated.differences:
        raise typer.Exit(1)


def write_report(
    folder: Path,
    made: "nstk.FinetuneResult | nstk.EvaluationReport",
    cache: Path | None,
    report: Reporter,
) -> Path:
    """Write the page about a run, with the command that repeats it."""
    command = shlex.join(["nstk", *sys.argv[1:]])
    return nstk.write_classifier_report(
        folder, made, command=command, cache=cache, on_progress=report
    )


def check_given(data: Path | None, output: Path | None, replay: Path | None) -> None:
    """Refuse a run of which too little is said.

    Raises:
        SettingsError: With what is missing.
    """
    if replay is None and (data is None or output is None):
        missing = "DATA" if data is None else "--output"
        raise nstk.SettingsError(
            f"{missing} is missing; name the folder to learn from and the file to write, as in "
            "nstk finetune insects -o insects.keras."
        )


def print_result(made: "nstk.FinetuneResult", output: Path | None) -> None:
    """Print how every class fared, the accuracy with its interval, and what was left out."""
    columns = ["images", "recognized", "95 %", "precision"]
    print_table(
        ["class", *columns],
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
        right=columns,
    )
    if made.thresholds:
        print_thresholds(made.evaluation, made.thresholds)
    else:
        print_confusion(made.evaluation)
    measured = (
        f"the {made.evaluation.images} images, each left out once in {made.folds} folds"
        if made.measured_on == "folds"
        else f"the {made.evaluation.images} {made.measured_on} images"
    )
    figure = "exactly right labels" if made.thresholds else "accuracy"
    print(
        f"\n{figure} {percent(made.accuracy)} ({interval(made.accuracy_interval)}) on {measured},"
        f" learned from {made.train_images}"
    )
    print(say_calibration(made))
    if len(made.selection.trials) > 1:
        print_choice(made.selection.trials, made.features)
    if made.second_stage:
        print_second_stage(made.second_stage)
    if made.learning_curve:
        stage = made.second_stage
        print_learning_curve(made.learning_curve, alone=stage is not None and stage.kept)
    print_skipped(made.skipped)
    size, seconds = made.classifier.size, duration(made.seconds["total"])
    said = f"{len(made.classes)} classes, seen at {size} px, {seconds}"
    print(f"{output}: {said}" if output else said)


def print_thresholds(evaluation: "nstk.Evaluation", thresholds: Mapping[str, float]) -> None:
    """Print what each label is given for, and how well that went."""
    columns = ["threshold", "F1", "95 %", "average precision"]
    print()
    print_table(
        ["label", *columns],
        [
            (
                score.name,
                percent(thresholds[score.name]),
                percent(score.f1),
                interval(score.f1_interval),
                percent(score.average_precision),
            )
            for score in evaluation.per_class
        ],
        right=columns,
    )
    print(f"\nmean average precision {percent(evaluation.mean_average_precision)}")


def print_choice(trials: "Mapping[str, nstk.Trial]", chosen: str) -> None:
    """Print what each choice of features was worth on training images left out."""
    said = [
        f"{name}{' (chosen)' if name == chosen else ''} {percent(trial.accuracy)},"
        f" log-loss {trial.log_loss:.3f}"
        for name, trial in trials.items()
    ]
    print(f"features, by training images left out: {'; '.join(said)}")


def print_second_stage(stage: "nstk.SecondStage") -> None:
    """Print what it brought to let the last blocks learn, and whether that is kept."""
    plan, pairing = stage.plan, stage.mcnemar
    blocks = "the last block" if plan.blocks == 1 else f"the last {plan.blocks} blocks"
    kept = "kept" if stage.kept else "not kept, the head alone is written"
    print(
        f"second stage, {blocks} for {plan.taken} steps: {percent(stage.finetuned_accuracy)}"
        f" against {percent(stage.probe_accuracy)} of the head alone on {pairing.images} validation"
        f" images, {pairing.gained} gained and {pairing.lost} lost,"
        f" p = {pairing.p_value:.3g}: {kept}"
    )


def print_learning_curve(curve: "nstk.LearningCurve", *, alone: bool) -> None:
    """Print what more images have brought and would bring; say if blocks have learned since."""
    grown = ", ".join(
        f"{percent(accuracy)} from {images}"
        for images, accuracy in zip(curve.images, curve.accuracy, strict=True)
    )
    print(
        f"left-out images recognized{' by heads alone' if alone else ''}: {grown};"
        f" twice as many should bring {100 * curve.gain:+.1f} points; the weakest class is"
        f" {nstk.printable(curve.weakest)} ({percent(curve.weakest_recall)})"
    )


def print_replay(repeated: "nstk.Replay") -> None:
    """Print whether a repeated run gave the same numbers."""
    for difference in repeated.differences:
        print(f"differs: {nstk.printable(difference)}")
    if not repeated.differences:
        print("the numbers match")


def say_calibration(made: "nstk.FinetuneResult | nstk.EvaluationReport") -> str:
    """The calibration error with its interval, and what it would be without the temperature."""
    after, before = made.reliability, made.reliability_before
    unlike = f", {percent(before.ece)} without its temperature" if after != before else ""
    return f"calibration error {percent(after.ece)} ({interval(after.ece_interval)}){unlike}"
