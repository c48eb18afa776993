"""What ``nstk finetune`` prints."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nstk.errors import printable
from nstk.reports.formatting import format_interval, format_percent
from nstk_cli.output import (
    format_duration,
    print_confusion,
    print_skipped,
    print_table,
)

if TYPE_CHECKING:
    from nstk.classifiers.evaluation.report import EvaluationReport
    from nstk.finetuning.result import FinetuneResult
    from nstk.finetuning.unfreezing.result import SecondStage
    from nstk.heads.learning_curve import LearningCurve
    from nstk.heads.metrics import Evaluation
    from nstk.heads.selection import Trial


def print_finetuning(made: "FinetuneResult", output: Path | None) -> None:
    """Print per-class metrics, the accuracy with its interval, and where the classifier is."""
    columns = ["images", "recall", "95 %", "precision"]
    print_table(
        ["class", *columns],
        [
            (
                score.name,
                str(score.support),
                format_percent(score.recall),
                format_interval(score.recall_interval),
                format_percent(score.precision),
            )
            for score in made.evaluation.per_class
        ],
        right=columns,
    )
    if made.thresholds:
        print_thresholds(made.evaluation, made.thresholds)
    else:
        print_confusion(made.evaluation)
    print(f"\n{format_accuracy(made)}")
    print(format_calibration(made))
    if len(made.selection.trials) > 1:
        print_features(made.selection.trials, made.features)
    if made.second_stage:
        print_second_stage(made.second_stage)
    if made.learning_curve:
        stage = made.second_stage
        print_learning_curve(made.learning_curve, frozen=stage is not None and stage.kept)
    print_skipped(made.skipped)
    size, seconds = made.classifier.size, format_duration(made.seconds["total"])
    summary = f"{len(made.classes)} classes, input {size} px, {seconds}"
    print(f"{output}: {summary}" if output else summary)


def format_accuracy(made: "FinetuneResult") -> str:
    """Write the accuracy with its interval, and the images that it was measured on."""
    measure = "exact-match accuracy" if made.thresholds else "accuracy"
    images = made.evaluation.images
    measured = (
        f"{images} images by {made.folds}-fold cross-validation"
        if made.measured_on == "folds"
        else f"{images} {made.measured_on} images"
    )
    return (
        f"{measure} {format_percent(made.accuracy)} ({format_interval(made.accuracy_interval)}) on "
        f"{measured}, trained on {made.train_images}"
    )


def format_calibration(made: "FinetuneResult | EvaluationReport") -> str:
    """Write the calibration error with its interval, and the error without temperature scaling."""
    after, before = made.reliability, made.reliability_before
    unscaled = (
        f", {format_percent(before.ece)} without temperature scaling" if after != before else ""
    )
    error, interval = format_percent(after.ece), format_interval(after.ece_interval)
    return f"calibration error {error} ({interval}){unscaled}"


def print_thresholds(evaluation: "Evaluation", thresholds: Mapping[str, float]) -> None:
    """Print the threshold of each label with its metrics."""
    columns = ["threshold", "F1", "95 %", "average precision"]
    print()
    print_table(
        ["label", *columns],
        [
            (
                score.name,
                format_percent(thresholds[score.name]),
                format_percent(score.f1),
                format_interval(score.f1_interval),
                format_percent(score.average_precision),
            )
            for score in evaluation.per_class
        ],
        right=columns,
    )
    print(f"\nmean average precision {format_percent(evaluation.mean_average_precision)}")


def print_features(trials: Mapping[str, "Trial"], chosen: str) -> None:
    """Print the cross-validated accuracy of each choice of features."""
    listed = [
        f"{name}{' (chosen)' if name == chosen else ''} {format_percent(trial.accuracy)}, "
        f"log-loss {trial.log_loss:.3f}"
        for name, trial in trials.items()
    ]
    print(f"features, by cross-validation: {'; '.join(listed)}")


def print_second_stage(stage: "SecondStage") -> None:
    """Print the effect of fine-tuning the last blocks, and whether it is kept."""
    plan, test = stage.plan, stage.mcnemar
    blocks = "the last block" if plan.blocks == 1 else f"the last {plan.blocks} blocks"
    kept = "kept" if stage.kept else "not kept, the model has the head on the frozen network"
    print(
        f"fine-tuning, {blocks} for {plan.taken} steps: {format_percent(stage.finetuned_accuracy)} "
        f"against {format_percent(stage.probe_accuracy)} of the head alone on {test.images} "
        f"validation images, {test.gained} gained and {test.lost} lost, p = {test.p_value:.3g}: "
        f"{kept}"
    )


def print_learning_curve(curve: "LearningCurve", *, frozen: bool) -> None:
    """Print accuracy by number of images; say if it was measured before fine-tuning."""
    steps = ", ".join(
        f"{format_percent(accuracy)} with {images}"
        for images, accuracy in zip(curve.images, curve.accuracy, strict=True)
    )
    print(
        f"learning curve{' before fine-tuning' if frozen else ''}: {steps} images; twice as many "
        f"should bring {100 * curve.gain:+.1f} points; the weakest class is "
        f"{printable(curve.weakest)} ({format_percent(curve.weakest_recall)})"
    )


def print_replay(differences: Iterable[str]) -> None:
    """Print whether a repeated run gave the same numbers."""
    lines = [f"differs: {printable(difference)}" for difference in differences]
    print("\n".join(lines) or "the numbers match")
