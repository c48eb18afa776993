"""The parts of the page about a classifier, each a section or nothing."""

from collections.abc import Mapping

import numpy as np

from nstk.auditing.findings import Audit
from nstk.classifiers.evaluation.figures import find_confused_pairs
from nstk.classifiers.explanation.job import Explanation, explain
from nstk.errors import ImageError
from nstk.heads.metrics import wilson_interval
from nstk.heads.reliability import Reliability
from nstk.images.image import crop_square, load_image
from nstk.progress import Reporter
from nstk.reports.classifier_subject import Subject
from nstk.reports.pages import (
    Bar,
    BarChart,
    Block,
    CaptionedImage,
    Cell,
    Details,
    Facts,
    HeatMap,
    ImageRow,
    LineChart,
    Paragraph,
    Section,
    Series,
    Table,
)
from nstk.reports.pages.numerals import format_number
from nstk.reports.wording import count, percent, span

_MOST_BARS = 30
_MOST_PAIRS = 6
_MOST_SKIPPED = 50
_PAIR = 720


def show_confusion(subject: Subject) -> Section:
    """Which class was taken for which."""
    scores, confusion = subject.evaluation.per_class, subject.evaluation.confusion
    names = [score.name for score in scores]
    shares = [
        [number / max(score.support, 1) for number in row]
        for score, row in zip(scores, confusion, strict=True)
    ]
    rows = [
        (
            f"{pair.actual} → {pair.predicted}",
            pair.images,
            f"{percent(pair.share)} of {pair.actual}",
        )
        for pair in find_confused_pairs(subject.evaluation)[:_MOST_PAIRS]
    ]
    words = "Each row is a true class; a cell is as dark as its share of that class."
    if subject.classifier.multi_label:
        words = (
            "On the diagonal: images rightly given that label. Off it: images that were not "
            "given the row's label, which they deserve, but the column's, which they do not."
        )
    title = f"What {count(subject.evaluation.images, 'image')} were taken for"
    blocks: list[Block] = [
        Paragraph(words, "quiet"),
        HeatMap(names, names, confusion, "true class", "label given", title, shares),
    ]
    if rows:
        columns = ("true → given", "images", "share")
        blocks.append(Table(columns, rows, numeric=("share",), caption="Most often confused"))
    return Section("What is taken for what", blocks)


def show_classes(subject: Subject) -> Section:
    """How every class fared."""
    columns = ("class", "images", "recognized", "95 %", "precision", "95 % ", "F1")
    rows = [
        (
            score.name,
            score.support,
            percent(score.recall),
            span(score.recall_interval),
            percent(score.precision),
            span(score.precision_interval),
            percent(score.f1),
        )
        for score in subject.evaluation.per_class
    ]
    blocks: list[Block] = [Table(columns, rows, numeric=columns[1:])]
    bars = [
        Bar(
            score.name,
            score.recall,
            percent(score.recall),
            *(score.recall_interval or (None, None)),
        )
        for score in subject.evaluation.per_class
        if score.recall is not None
    ]
    if len(bars) <= _MOST_BARS:
        chart = BarChart(
            bars, "share recognized", "Each class, with its 95 % interval", value_range=(0, 1)
        )
        blocks.append(chart)
    return Section("Class by class", blocks)


def show_reliability(subject: Subject) -> Section:
    """Whether probabilities mean what they say, and what it brings to say nothing."""
    after, before = subject.answers.reliability, subject.answers.reliability_before
    temperature = subject.classifier.temperature
    series = [
        Series("as sure as right", (0, 1), (0, 1), reference=True),
        _draw_bins("this classifier", after),
    ]
    words = (
        f"Of the answers given with a probability near x, the share y is right; on the line they "
        f"are as sure as they should be. Their mean distance from it is {percent(after.ece)} "
        f"({span(after.ece_interval)}), weighted by their number; bands are 95 % intervals."
    )
    if after != before:
        series.append(_draw_bins("at temperature 1", before))
        chosen = (
            f"Each head had a temperature of its own, that of the classifier is {temperature:.2f}; "
            "without them"
            if subject.folds
            else f"A temperature of {temperature:.2f}, chosen by training images left out, is "
            "inside the classifier; without it"
        )
        words += (
            f" {chosen} the distance would be {percent(before.ece)} ({span(before.ece_interval)})."
        )
    else:
        words += " Training images left out asked for no correction."
    chart = LineChart(
        series,
        "probability of the answer",
        "share that is right",
        "Sure and right",
        x_range=(0, 1),
        y_range=(0, 1),
        points=True,
    )
    columns = ("unsure below", "images answered", "share", "right of these", "95 %")
    rows = [
        (
            format_number(each.abstain_below),
            each.images,
            percent(each.share),
            percent(each.accuracy),
            span(each.accuracy_interval),
        )
        for each in subject.coverage
    ]
    table = Table(columns, rows, numeric=columns, caption="What it brings to say nothing")
    strange = (
        "Which of them are like nothing in training is not known here."
        if subject.strange is None
        else f"Like nothing in training: {format_number(subject.strange)} of "
        f"{count(subject.evaluation.images, 'image')}; these count as not answered here."
    )
    return Section(
        "How sure it may be", [Paragraph(words), chart, table, Paragraph(strange, "quiet")]
    )


def show_second_stage(subject: Subject) -> Section | None:
    """What it brought to let the last blocks learn, and whether that is kept."""
    stage = subject.second_stage
    if stage is None:
        return None
    blocks = "last block" if stage.plan.blocks == 1 else f"last {stage.plan.blocks} blocks"
    pairing = stage.pairing
    verdict = "no more than luck may bring, so the head alone on the frozen network is kept."
    if stage.kept:
        verdict = "more than luck explains, so the network that learned is kept."
    elif pairing.gained <= pairing.lost:
        verdict = "so nothing is gained, and the head alone on the frozen network is kept."
    words = (
        f"The network's {blocks} learned for {count(stage.plan.taken, 'step')}. Of "
        f"{count(pairing.images, 'validation image')} {percent(stage.finetuned_accuracy)} were "
        f"recognized then, and {percent(stage.probe_accuracy)} by the head alone: "
        f"{format_number(pairing.gained)} gained and {format_number(pairing.lost)} lost, "
        f"p = {format_number(pairing.p_value, 3)}, {verdict}"
    )
    return Section("What it brought to let blocks learn", [Paragraph(words)])


def show_learning_curve(subject: Subject) -> Section | None:
    """What more images have brought and would bring."""
    curve = subject.learning_curve
    if curve is None:
        return None
    twice = 2 * curve.images[-1]
    series = [
        Series("measured", curve.images, curve.accuracy),
        Series(
            "expected", (curve.images[-1], twice), (curve.accuracy[-1], curve.twice), reference=True
        ),
    ]
    chart = LineChart(
        series,
        "images learned from",
        "share of left-out images recognized",
        "Accuracy by the number of images",
        log_x=True,
        points=True,
    )
    words = (
        f"Twice as many images should bring {100 * curve.gain:+.1f} points. The weakest class is "
        f"{curve.weakest} ({percent(curve.weakest_recall)})."
    )
    if subject.second_stage and subject.second_stage.kept:
        words = f"Measured with heads alone, on the network before its blocks learned. {words}"
    return Section("What more images would bring", [Paragraph(words), chart])


def show_losses(subject: Subject, on_progress: Reporter) -> Section | None:
    """The worst images, and where in them the classifier found its answer."""
    losses = [loss for loss in subject.losses if loss.actual != loss.predicted]
    if not losses:
        return None
    wanted = {loss.path: loss for loss in losses}
    images = []
    for each in explain(subject.classifier, list(wanted), on_progress=on_progress):
        if not isinstance(each, Explanation):
            continue
        loss = wanted[each.path]
        said = f"{loss.actual or 'no label'} → {loss.predicted or 'no label'}"
        try:
            image = load_image(each.path).pixels
        except ImageError:  # It has gone since it was explained.
            continue
        images.append(
            CaptionedImage(
                np.concatenate([crop_square(image), crop_square(each.overlay)], axis=1),
                said,
                f"{subject.name(each.path).name} · {percent(loss.probability)} for the truth",
                longest_side=_PAIR,
            )
        )
    whose = " of the classifier, which has learned from all of them," if subject.folds else ""
    words = (
        "The images whose truth was thought least likely: true class → label given. On the "
        f"right of each, vermilion spoke for the likeliest class{whose} and blue against it."
    )
    return Section("Where it errs most", [Paragraph(words), ImageRow(images)])


def show_data(subject: Subject, audit: Audit | None) -> Section:
    """Where the images are from, what an audit found in them, and what was left out."""
    facts: dict[str, Cell] = {"data": subject.place, **subject.facts}
    blocks: list[Block] = [Facts({name: value for name, value in facts.items() if value})]
    if audit is not None:
        found = count_findings(audit)
        words = "All were looked at through the same network; `nstk audit --report` shows each."
        if not any(found.values()):
            words = "An audit found nothing that needs a look."
        remarks = [each for each in audit.notices if each not in subject.notices]
        blocks += [Paragraph(words, "quiet"), Facts(dict(found))]
        blocks += [Paragraph(remark, "quiet") for remark in remarks]
    if subject.skipped:
        rows = [(str(each.path), each.reason) for each in subject.skipped[:_MOST_SKIPPED]]
        table = Table(("file", "why"), rows)
        title = f"{count(len(subject.skipped), 'file')} left out"
        blocks.append(Details(title, [table]))
    return Section("The images", blocks)


def count_findings(audit: Audit) -> Mapping[str, int]:
    """How many of each kind an audit found."""
    return {
        "likely wrong labels": len(audit.label_suspects),
        "copies with different labels, groups": len(audit.cross_class_duplicates),
        "copies in different parts, groups": len(audit.cross_split_duplicates),
        "the same bytes, groups": len(audit.exact_duplicates),
        "nearly the same, groups": len(audit.near_duplicates),
        "unlike all others": len(audit.outliers),
        "tiny, blurred, dark or empty": sum(
            len(flaws) for flaws in (audit.tiny, audit.blurred, audit.dark, audit.low_contrast)
        ),
        "unreadable": len(audit.unreadable),
    }


def show_card(card: Mapping[str, str]) -> Section:
    """The model card."""
    return Section("Model card", [Table(("question", "answer"), list(card.items()))])


def _draw_bins(label: str, reliability: Reliability) -> Series:
    bins = reliability.bins
    spans = [wilson_interval(round(each.accuracy * each.images), each.images) for each in bins]
    return Series(
        label,
        [each.confidence for each in bins],
        [each.accuracy for each in bins],
        low=[low for low, _ in spans],
        high=[high for _, high in spans],
    )
