"""``nstk evaluate``: how good a classifier is on labeled images."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.commands.finetune import RECORD, say_calibration, write_report
from nstk_cli.options import Json, Quiet, ReportFolder
from nstk_cli.output import (
    describe_reliability,
    interval,
    list_skipped,
    percent,
    print_confusion,
    print_made,
    print_skipped,
    print_table,
)
from nstk_cli.reporting import reporting


def evaluate(
    *,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Classifier file made by nstk finetune")
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with one folder of images per class, or parts of such"
        ),
    ],
    losses: Annotated[
        int, typer.Option(metavar="N", help="How many of the worst images to list")
    ] = 10,
    report_folder: ReportFolder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure MODEL on DATA, a folder of labeled images that it has not learned from."""
    with reporting(quiet=quiet) as report:
        from nstk import evaluate as run
        from nstk import load_classifier

        classifier = load_classifier(model)
        if report_folder:
            nstk.check_classifier_report(report_folder)
        record = model.with_suffix(RECORD)
        made = run(classifier, data, losses=losses, record=record, on_progress=report)
        page = report_folder and write_report(report_folder, made, None, report)
    if json:
        print_made(
            {
                "accuracy": made.evaluation.accuracy,
                "accuracy_interval": made.evaluation.accuracy_interval,
                "per_class": [
                    {
                        "class": score.name,
                        "images": score.support,
                        "recall": score.recall,
                        "recall_interval": score.recall_interval,
                        "precision": score.precision,
                        "precision_interval": score.precision_interval,
                        "f1": score.f1,
                        "f1_interval": score.f1_interval,
                        "average_precision": score.average_precision,
                    }
                    for score in made.evaluation.per_class
                ],
                "confusion": made.evaluation.confusion,
                "mean_average_precision": made.evaluation.mean_average_precision,
                "ece": made.ece,
                "images": made.evaluation.images,
                "skipped": list_skipped(made.skipped),
                "seconds": made.seconds,
                "ece_interval": made.reliability.ece_interval,
                "temperature": classifier.temperature,
                "calibration": {
                    "before": describe_reliability(made.reliability_before),
                    "after": describe_reliability(made.reliability),
                },
                "strange": made.strange,
                "coverage": [asdict(each) for each in made.coverage],
                "report": page,
                "learned_images": made.learned,
                "others": made.others
                and {
                    "images": made.others.images,
                    "accuracy": made.others.accuracy,
                    "accuracy_interval": made.others.accuracy_interval,
                },
                "missing": made.missing,
                "extra": made.extra,
                "confused_pairs": [asdict(each) for each in made.confused_pairs],
                "top_losses": [asdict(each) for each in made.top_losses],
                "notices": made.notices,
            }
        )
    else:
        print_result(made)
        if page:
            print(f"{page}: the same as a page, with the worst images")


def print_result(made: "nstk.Examination") -> None:
    """Print the classes, what is taken for what, the worst images, and the figures of all."""
    evaluation = made.evaluation
    columns = ["images", "recognized", "95 %", "precision", "95 % ", "F1"]
    print_table(
        ["class", *columns],
        [
            (
                score.name,
                str(score.support),
                percent(score.recall),
                interval(score.recall_interval),
                percent(score.precision),
                interval(score.precision_interval),
                percent(score.f1),
            )
            for score in evaluation.per_class
        ],
        right=columns,
    )
    if not made.classifier.multi_label:
        print_confusion(evaluation)
    if made.confused_pairs:
        print("\nmost confused:")
        for pair in made.confused_pairs[:5]:
            told = f"  {pair.actual} taken for {pair.predicted}: {pair.images}"
            print(nstk.printable(f"{told} ({percent(pair.share)} of {pair.actual})"))
    if made.top_losses:
        print("\nworst images:")
        for each in made.top_losses:
            told = f"  {each.path}: {each.actual or 'no label'} {percent(each.probability)}"
            wrong = f", taken for {each.predicted or 'one without'}"
            print(nstk.printable(told + (wrong if each.predicted != each.actual else "")))
    if made.missing:
        print(f"\nno image of: {nstk.printable(', '.join(made.missing))}")
    if made.extra:
        extra = nstk.printable(", ".join(made.extra))
        print(f"\nunknown to the classifier, not counted: {extra}")
    print_skipped(made.skipped)
    figure = "exactly right labels" if made.classifier.multi_label else "accuracy"
    print(
        f"\n{figure} {percent(evaluation.accuracy)} ({interval(evaluation.accuracy_interval)}) on"
        f" {evaluation.images} images of {made.place},"
        f"\nmean average precision {percent(evaluation.mean_average_precision)},"
        f" {say_calibration(made)},"
        f"\n{say_strange(made.strange)};"
        f" {made.images_per_second:.1f} images a second"
    )
    for notice in made.notices:
        print(notice)


def say_strange(strange: int | None) -> str:
    """How many images are like nothing in training."""
    if strange is None:
        return "it does not know its training images, so none of these can be told to be strange"
    return f"{strange} of them {'is' if strange == 1 else 'are'} like nothing in training"
