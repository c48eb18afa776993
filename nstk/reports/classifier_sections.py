"""The sections of a classifier report; each is None where there is nothing to show."""

from collections.abc import Mapping

import numpy as np

from nstk.auditing.findings import Audit
from nstk.classifiers.evaluation.metrics import find_confused_pairs
from nstk.classifiers.explanation.job import Explanation, explain
from nstk.errors import ImageError
from nstk.heads.metrics import wilson_interval
from nstk.heads.reliability import Reliability
from nstk.images.image import crop_square
from nstk.images.loading import load_image
from nstk.progress import Reporter
from nstk.reports.audit import count_findings
from nstk.reports.classifier_data import ReportData
from nstk.reports.figures import Bar, BarChart, HeatMap, LineChart, Series
from nstk.reports.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
)
from nstk.reports.pages import (
    Block,
    CaptionedImage,
    Details,
    Facts,
    ImageRow,
    Paragraph,
    Section,
    Table,
    Value,
)

_MOST_BARS = 30
_MOST_PAIRS = 6
_MOST_SKIPPED = 50
_PAIR_WIDTH = 720


def confusion_matrix(data: ReportData) -> Section:
    """Show how many images of each class were predicted as each other class."""
    scores, confusion = data.evaluation.per_class, data.evaluation.confusion
    names = [score.name for score in scores]
    shares = [
        [number / max(score.support, 1) for number in row]
        for score, row in zip(scores, confusion, strict=True)
    ]
    rows = [
        (
            f"{pair.actual} → {pair.predicted}",
            pair.images,
            f"{format_percent(pair.share)} of {pair.actual}",
        )
        for pair in find_confused_pairs(data.evaluation)[:_MOST_PAIRS]
    ]
    words = "Rows are true classes, columns predicted classes; a cell's shade is its share of the "
    words += "row."
    if data.classifier.multi_label:
        words = (
            "On the diagonal: images that correctly got the label. Off the diagonal: images that "
            "lack the row's label, which is true, and have the column's, which is false."
        )
    blocks: list[Block] = [
        Paragraph(words, "quiet"),
        HeatMap(
            names,
            names,
            confusion,
            "true class",
            "predicted class",
            format_count(data.evaluation.images, "image"),
            shares,
        ),
    ]
    if rows:
        columns = ("true → predicted", "images", "share")
        blocks.append(Table(columns, rows, numeric=("share",), caption="Most confused pairs"))
    return Section("Confusion matrix", blocks)


def per_class_metrics(data: ReportData) -> Section:
    """Show recall, precision and F1 of every class."""
    columns = ("class", "images", "recall", "95 %", "precision", "95 % ", "F1")
    scores = data.evaluation.per_class
    rows = [
        (
            score.name,
            score.support,
            format_percent(score.recall),
            format_interval(score.recall_interval),
            format_percent(score.precision),
            format_interval(score.precision_interval),
            format_percent(score.f1),
        )
        for score in scores
    ]
    blocks: list[Block] = [Table(columns, rows, numeric=columns[1:])]
    bars = [
        Bar(
            score.name,
            score.recall,
            format_percent(score.recall),
            *(score.recall_interval or (None, None)),
        )
        for score in scores
        if score.recall is not None
    ]
    if len(bars) <= _MOST_BARS:
        title = "Recall by class, with 95 % intervals"
        blocks.append(BarChart(bars, "recall", title, value_range=(0, 1)))
    return Section("Per-class metrics", blocks)


def calibration(data: ReportData) -> Section:
    """Show whether probabilities agree with accuracy, as a reliability diagram."""
    after, before = data.predictions.reliability, data.predictions.reliability_before
    series = [
        Series("perfect calibration", (0, 1), (0, 1), reference=True),
        _draw_bins("this classifier", after),
    ]
    words = (
        f"The expected calibration error is {format_percent(after.ece)} "
        f"({format_interval(after.ece_interval)}): the mean distance of the curve from the "
        "diagonal, weighted by the number of images. Bands are 95 % intervals."
    )
    if after != before:
        series.append(_draw_bins("temperature 1", before))
        scaling = (
            "Each fold's head has a temperature of its own; the classifier's is "
            if data.folds
            else "The classifier's temperature, fitted on out-of-fold predictions, is "
        )
        words += (
            f" {scaling}{data.classifier.temperature:.2f}. Without temperature scaling the error "
            f"would be {format_percent(before.ece)} ({format_interval(before.ece_interval)})."
        )
    else:
        words += " No temperature scaling was needed."
    chart = LineChart(
        series,
        "predicted probability",
        "accuracy",
        "Reliability diagram",
        x_range=(0, 1),
        y_range=(0, 1),
        points=True,
    )
    return Section("Calibration", [Paragraph(words), chart])


def abstention(data: ReportData) -> Section:
    """Show accuracy where the classifier abstains below several thresholds."""
    columns = ("abstain below", "images labeled", "coverage", "accuracy", "95 %")
    rows = [
        (
            format_number(each.abstain_below),
            each.images,
            format_percent(each.share),
            format_percent(each.accuracy),
            format_interval(each.accuracy_interval),
        )
        for each in data.coverage
    ]
    words = (
        "With `--abstain-below P` the classifier labels an image unsure where its probability is "
        "below P or the image is out of distribution. "
    )
    words += (
        "Which images are out of distribution is unknown here."
        if data.predictions.ood_count is None
        else f"Out of distribution: {format_number(data.predictions.ood_count)} of "
        f"{format_count(data.evaluation.images, 'image')}."
    )
    return Section("Abstention", [Paragraph(words), Table(columns, rows, numeric=columns)])


def fine_tuning(data: ReportData) -> Section | None:
    """Compare the network with fine-tuned blocks with the head alone."""
    stage = data.second_stage
    if stage is None:
        return None
    blocks = "last block was" if stage.plan.blocks == 1 else f"last {stage.plan.blocks} blocks were"
    test = stage.mcnemar
    verdict = "The gain is not significant, so the head on the frozen network is kept."
    if stage.kept:
        verdict = "The gain is significant, so the fine-tuned network is kept."
    elif test.gained <= test.lost:
        verdict = "Accuracy did not improve, so the head on the frozen network is kept."
    words = (
        f"The network's {blocks} trained for {format_count(stage.plan.taken, 'step')}. On "
        f"{format_count(test.images, 'validation image')} accuracy is "
        f"{format_percent(stage.finetuned_accuracy)}, against "
        f"{format_percent(stage.probe_accuracy)} of the head alone: {format_number(test.gained)} "
        f"gained and {format_number(test.lost)} lost (McNemar test, "
        f"p = {format_number(test.p_value, 3)}). {verdict}"
    )
    return Section("Fine-tuning", [Paragraph(words)])


def learning_curve(data: ReportData) -> Section | None:
    """Show accuracy by number of training images."""
    curve = data.learning_curve
    if curve is None:
        return None
    ahead = (curve.images[-1], 2 * curve.images[-1])
    series = [
        Series("measured", curve.images, curve.accuracy),
        Series("expected", ahead, (curve.accuracy[-1], curve.twice), reference=True),
    ]
    chart = LineChart(
        series,
        "training images",
        "accuracy on held-out images",
        "Accuracy by number of training images",
        log_x=True,
        points=True,
    )
    words = (
        f"Twice as many images should bring {100 * curve.gain:+.1f} points. The weakest class is "
        f"{curve.weakest} ({format_percent(curve.weakest_recall)})."
    )
    if data.second_stage and data.second_stage.kept:
        words = f"Measured with heads on the frozen network, before fine-tuning. {words}"
    return Section("Learning curve", [Paragraph(words), chart])


def worst_predictions(data: ReportData, on_progress: Reporter) -> Section | None:
    """Show the images with the highest loss beside their class activation maps."""
    losses = {loss.path: loss for loss in data.losses if loss.actual != loss.predicted}
    if not losses:
        return None
    images = []
    for each in explain(data.classifier, list(losses), on_progress=on_progress):
        if not isinstance(each, Explanation):
            continue
        loss = losses[each.path]
        try:
            image = load_image(each.path).pixels
        except ImageError:  # The file was deleted after it was explained.
            continue
        images.append(
            CaptionedImage(
                np.concatenate([crop_square(image), crop_square(each.overlay)], axis=1),
                f"{loss.actual or 'no label'} → {loss.predicted or 'no label'}",
                f"{data.display_path(each.path).name} · "
                f"{format_percent(loss.probability)} for the true class",
                longest_side=_PAIR_WIDTH,
            )
        )
    whose = " of the final classifier, trained on all images" if data.folds else ""
    words = (
        "The images whose true class got the lowest probability: true → predicted class. On the "
        f"right, what speaks for the predicted class{whose} in vermilion, and against it in blue."
    )
    return Section("Worst predictions", [Paragraph(words), ImageRow(images)])


def dataset(data: ReportData, audit: Audit | None) -> Section:
    """Show where the images are, what an audit found, and the files that were skipped."""
    facts: dict[str, Value] = {"data": data.place, **data.facts}
    blocks: list[Block] = [Facts({name: value for name, value in facts.items() if value})]
    if audit is not None:
        found = count_findings(audit)
        words = "What an audit found; `nstk audit --report` shows each image."
        if not any(found.values()):
            words = "An audit found no problems."
        remarks = [each for each in audit.notices if each not in data.notices]
        blocks += [Paragraph(words, "quiet"), Facts(dict(found))]
        blocks += [Paragraph(remark, "quiet") for remark in remarks]
    if data.skipped:
        rows = [(str(each.path), each.reason) for each in data.skipped[:_MOST_SKIPPED]]
        title = f"{format_count(len(data.skipped), 'file')} skipped"
        blocks.append(Details(title, [Table(("file", "reason"), rows)]))
    return Section("Data", blocks)


def model_card(card: Mapping[str, str]) -> Section:
    """Show the model card."""
    return Section("Model card", [Table(("topic", "statement"), list(card.items()))])


def _draw_bins(label: str, reliability: Reliability) -> Series:
    bins = reliability.bins
    intervals = [wilson_interval(round(each.accuracy * each.images), each.images) for each in bins]
    return Series(
        label,
        [each.confidence for each in bins],
        [each.accuracy for each in bins],
        low=[low for low, _ in intervals],
        high=[high for _, high in intervals],
    )
