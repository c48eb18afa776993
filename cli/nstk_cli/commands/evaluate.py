"""``nstk evaluate``: how good a classifier is on labeled images."""

from pathlib import Path
from typing import Annotated

import typer

import nstk
from nstk_cli.commands.finetune import RECORD, say_calibration, write_report
from nstk_cli.options import Json, Quiet, ReportFolder
from nstk_cli.output import (
    interval,
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
        from nstk import Classifier

        classifier = Classifier.load(model)
        if report_folder:
            nstk.check_classifier_report(report_folder)
        record = model.with_suffix(RECORD)
        made = classifier.evaluate(data, losses=losses, record=record, on_progress=report)
        page = report_folder and write_report(report_folder, made, None, report)
    if json:
        print_made({**made.to_dict(), "report": page})
    else:
        print_result(made)
        if page:
            print(f"{page}: the same as a page, with the worst images")


def print_result(made: "nstk.EvaluationReport") -> None:
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
        f" {evaluation.images} images of {made.root},"
        f"\nmean average precision {percent(evaluation.mean_average_precision)},"
        f" {say_calibration(made)},"
        f"\n{format_ood(made.ood_count)};"
        f" {made.images_per_second:.1f} images a second"
    )
    for notice in made.notices:
        print(notice)


def format_ood(count: int | None) -> str:
    """The number of images out of distribution."""
    if count is None:
        return "the classifier has no out-of-distribution detector"
    return f"{count} out of distribution"
