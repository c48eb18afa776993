"""``nstk evaluate``: metrics of a classifier on labeled images."""

from typing import Annotated

import typer

from nstk_cli.commands.finetune import RECORD, write_report
from nstk_cli.options import (
    Decode,
    Executor,
    Json,
    LabeledData,
    ModelFile,
    Quiet,
    ReportFolder,
    ShardOption,
)
from nstk_cli.output import print_output
from nstk_cli.reporting import reporting


def evaluate(
    *,
    model: ModelFile,
    data: LabeledData,
    losses: Annotated[
        int, typer.Option(metavar="N", help="Number of worst predictions to list")
    ] = 10,
    label_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Regular expression that finds the label in the name of each file, as its first "
            "group",
        ),
    ] = None,
    report_folder: ReportFolder = None,
    decode: Decode = None,
    executor: Executor = "auto",
    shard: ShardOption = "1/1",
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
        made = classifier.evaluate(
            data,
            losses=losses,
            record=record,
            decode=decode,
            executor=executor,
            label_pattern=label_pattern,
            shard=shard,
            on_progress=report,
        )
        page = report_folder and write_report(report_folder, made, None, report)
    print_output(json, {**made.to_dict(), "report": page}, "evaluate.txt", made=made, page=page)
