"""``nstk evaluate``: metrics of a classifier on labeled images."""

from typing import TYPE_CHECKING, Annotated

import typer

from nstk.errors import printable
from nstk.reports.formatting import format_interval, format_percent
from nstk_cli.commands.finetune import RECORD, write_report
from nstk_cli.commands.finetune_output import format_calibration
from nstk_cli.options import Json, LabeledData, ModelFile, Quiet, ReportFolder
from nstk_cli.output import (
    print_confusion,
    print_result,
    print_skipped,
    print_table,
)
from nstk_cli.reporting import reporting

if TYPE_CHECKING:
    from nstk.classifiers.evaluation.report import EvaluationReport


def evaluate(
    *,
    model: ModelFile,
    data: LabeledData,
    losses: Annotated[
        int, typer.Option(metavar="N", help="Number of worst predictions to list")
    ] = 10,
    report_folder: ReportFolder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Evaluate MODEL on labeled images that it was not trained on."""
    with reporting(quiet=quiet) as report:
        from nstk.classifiers.classifier import Classifier
        from nstk.reports.classifier import check_classifier_report

        classifier = Classifier.load(model)
        if report_folder:
            check_classifier_report(report_folder)
        record = model.with_suffix(RECORD)
        made = classifier.evaluate(data, losses=losses, record=record, on_progress=report)
        page = report_folder and write_report(report_folder, made, None, report)
    if json:
        print_result({**made.to_dict(), "report": page})
        return
    print_metrics(made)
    print_mistakes(made)
    print_skipped(made.skipped)
    print_summary(made)
    if page:
        print(f"{page}: report")


def print_metrics(made: "EvaluationReport") -> None:
    """Print per-class metrics and the confusion matrix."""
    columns = ["images", "recall", "95 %", "precision", "95 % ", "F1"]
    print_table(
        ["class", *columns],
        [
            (
                score.name,
                str(score.support),
                format_percent(score.recall),
                format_interval(score.recall_interval),
                format_percent(score.precision),
                format_interval(score.precision_interval),
                format_percent(score.f1),
            )
            for score in made.evaluation.per_class
        ],
        right=columns,
    )
    if not made.classifier.multi_label:
        print_confusion(made.evaluation)


def print_mistakes(made: "EvaluationReport") -> None:
    """Print the most confused pairs, the worst predictions, and the classes that do not match."""
    if made.confused_pairs:
        print("\nmost confused pairs:")
        for pair in made.confused_pairs[:5]:
            line = f"  {pair.actual} predicted as {pair.predicted}: {pair.images}"
            print(printable(f"{line} ({format_percent(pair.share)} of {pair.actual})"))
    if made.top_losses:
        print("\nworst predictions:")
        for each in made.top_losses:
            share = format_percent(each.probability)
            line = f"  {each.path}: {each.actual or 'no label'} {share}"
            wrong = f", predicted as {each.predicted or 'no label'}"
            print(printable(line + (wrong if each.predicted != each.actual else "")))
    if made.missing:
        print(f"\nclasses without images: {printable(', '.join(made.missing))}")
    if made.extra:
        print(f"\nclasses unknown to the model, skipped: {printable(', '.join(made.extra))}")


def print_summary(made: "EvaluationReport") -> None:
    """Print the metrics over all images, and notices."""
    evaluation = made.evaluation
    measure = "exact-match accuracy" if made.classifier.multi_label else "accuracy"
    interval = format_interval(evaluation.accuracy_interval)
    ood = (
        "the classifier has no out-of-distribution detector"
        if made.ood_count is None
        else f"{made.ood_count} out of distribution"
    )
    print(
        f"\n{measure} {format_percent(evaluation.accuracy)} ({interval}) on {evaluation.images} "
        f"images of {made.root},"
        f"\nmean average precision {format_percent(evaluation.mean_average_precision)}, "
        f"{format_calibration(made)},"
        f"\n{ood}; {made.images_per_second:.1f} images per second"
    )
    for notice in made.notices:
        print(notice)
