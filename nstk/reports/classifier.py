"""The report about a classifier: a page, its figures as JSON, and its model card as a text file."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from nstk.auditing.findings import Audit
from nstk.auditing.job import audit
from nstk.backbones.loading import make_backbone
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.report import EvaluationReport, find_confused_pairs
from nstk.classifiers.explanation import Explanation, explain
from nstk.errors import ImageError
from nstk.finetuning.result import FinetuneResult
from nstk.heads.calibration import Reliability
from nstk.heads.learning_curve import LearningCurve
from nstk.heads.metrics import wilson_interval
from nstk.images.image import crop_square
from nstk.images.loading import load_image
from nstk.progress import Reporter, no_progress
from nstk.reports.audit import count_findings
from nstk.reports.classifier_data import (
    ReportData,
    compose_model_card,
    from_evaluation,
    from_finetuning,
)
from nstk.reports.figures import Bar, BarChart, HeatMap, LineChart, Series
from nstk.reports.formatting import format_count, format_percent
from nstk.reports.pages import (
    CaptionedImage,
    check_folder,
    list_settings,
    write_page,
    write_record,
    write_text,
)
from nstk.settings import FinetuneSettings
from nstk.storage.checkpoints import list_versions
from nstk.storage.files import make_folder

PAGE_NAME = "report.html"
RECORD_NAME = "results.json"
CARD_NAME = "model-card.md"

_MOST_BARS = 30
_PAIR_WIDTH = 720


def check_classifier_report(folder: str | Path) -> None:
    """Check, before any long work, that a report can be written; else raise OutputError."""
    check_folder(folder, (PAGE_NAME, RECORD_NAME, CARD_NAME))


def write_classifier_report(
    folder: str | Path,
    made: FinetuneResult | EvaluationReport,
    *,
    command: str = "",
    cache: str | Path | None = None,
    on_progress: Reporter = no_progress,
) -> Path:
    """Write ``report.html``, one self-contained page, with two files beside it.

    The page shows accuracy with its interval, the confusion matrix, per-class metrics,
    calibration, abstention, the effect of fine-tuning and the learning curve where they were
    measured, the worst predictions with activation maps, the data, settings, command, versions
    and the model card. For the result of `nstk.finetune` the data section includes an audit,
    which reads every image once more, unless the images are in memory.
    ``results.json`` holds the same in numbers, ``model-card.md`` the model card.

    Args:
        folder: The report's folder; it is created if its parent exists.
        made: The result of `nstk.finetune` or `nstk.evaluate`; its images must still exist.
        command: The command that repeats the run.
        cache: See `nstk.audit`.
        on_progress: Called with the stages of `nstk.audit`, and ``"explain"``.

    Returns:
        The path of the page.

    Raises:
        OutputError: If a file cannot be written.
        NstkError: What `nstk.audit` raises.
    """
    check_classifier_report(folder)
    if isinstance(made, FinetuneResult):
        data, found = from_finetuning(made), _audit(made, cache, on_progress)
    else:
        data, found = from_evaluation(made), None
    title, card = _compose_title(data.classifier), compose_model_card(data)
    name = data.data.resolve().name if data.data else data.place
    worst = _show_worst(data, on_progress)
    folder = make_folder(folder)
    write_record(_compose_record(data, found, command) | {"model_card": card}, folder / RECORD_NAME)
    sections = [f"## {heading}\n\n{text}\n" for heading, text in card.items()]
    write_text("\n".join([f"# {title}\n", *sections]), folder / CARD_NAME)
    return write_page(
        folder / PAGE_NAME,
        "classifier.html",
        title=title,
        subtitle=f"{name}, measured on {data.measured_on}.",
        data=data,
        confused_pairs=find_confused_pairs(data.evaluation),
        **_draw_charts(data),
        worst=worst,
        audit=found,
        count_findings=count_findings,
        command=command,
        settings=list_settings(FinetuneSettings, data.classifier.settings),
        card=card,
    )


def _audit(made: FinetuneResult, cache: str | Path | None, on_progress: Reporter) -> Audit | None:
    if made.data is None:
        return None
    known = made.classifier.backbone
    network = made.classifier.model.get_layer("backbone")
    backbone = make_backbone(network, known["name"], known["input_size"], known["source"])
    return audit(made.data, backbone=backbone, cache=cache, on_progress=on_progress)


def _compose_title(classifier: Classifier) -> str:
    """``Ants or bees``; the number of classes where there are many."""
    names = classifier.classes
    if len(names) > 4:
        return f"A classifier of {len(names)} classes"
    last = " and " if classifier.multi_label else " or "
    return f"{', '.join(names[:-1])}{last}{names[-1]}".removeprefix(last)


def _draw_charts(data: ReportData) -> dict[str, object]:
    """Return the page's charts by name; None where there are too many bars or no curve."""
    scores, confusion = data.evaluation.per_class, data.evaluation.confusion
    names = [score.name for score in scores]
    shares = [
        [number / max(score.support, 1) for number in row]
        for score, row in zip(scores, confusion, strict=True)
    ]
    count = format_count(data.evaluation.images, "image")
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
    title = "Recall by class, with 95 % intervals"
    few, curve = len(bars) <= _MOST_BARS, data.learning_curve
    return {
        "confusion": HeatMap(
            names, names, confusion, "true class", "predicted class", count, shares
        ),
        "recalls": BarChart(bars, "recall", title, value_range=(0, 1)) if few else None,
        "reliability": _draw_reliability(data),
        "learning_curve": curve and _draw_learning_curve(curve),
    }


def _draw_reliability(data: ReportData) -> LineChart:
    after, before = data.predictions.reliability, data.predictions.reliability_before
    series = [
        Series("perfect calibration", (0, 1), (0, 1), reference=True),
        _draw_bins("this classifier", after),
    ]
    if after != before:
        series.append(_draw_bins("temperature 1", before))
    return LineChart(
        series,
        "predicted probability",
        "accuracy",
        "Reliability diagram",
        x_range=(0, 1),
        y_range=(0, 1),
        points=True,
    )


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


def _draw_learning_curve(curve: LearningCurve) -> LineChart:
    ahead = (curve.images[-1], 2 * curve.images[-1])
    return LineChart(
        [
            Series("measured", curve.images, curve.accuracy),
            Series("expected", ahead, (curve.accuracy[-1], curve.twice), reference=True),
        ],
        "training images",
        "accuracy on held-out images",
        "Accuracy by number of training images",
        log_x=True,
        points=True,
    )


def _show_worst(data: ReportData, on_progress: Reporter) -> list[CaptionedImage]:
    """Show the images with the highest loss beside their class activation maps."""
    losses = {loss.path: loss for loss in data.losses if loss.actual != loss.predicted}
    images = []
    explained = explain(data.classifier, list(losses), on_progress=on_progress) if losses else ()
    for each in explained:
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
    return images


def _compose_record(data: ReportData, found: Audit | None, command: str) -> dict[str, object]:
    """Return everything except the images, as plain values."""
    classifier, predictions = data.classifier, data.predictions
    curve, stage = data.learning_curve, data.second_stage
    return {
        "command": command,
        "data": data.place,
        "measured_on": data.measured_on,
        "classes": classifier.classes,
        "learned_from": data.train_images,
        "learned_images": data.train_overlap,
        "others": data.unseen and asdict(data.unseen),
        **asdict(data.evaluation),
        "temperature": classifier.temperature,
        "calibration": {
            "before": asdict(predictions.reliability_before),
            "after": asdict(predictions.reliability),
        },
        "ood_count": data.predictions.ood_count,
        "coverage": [asdict(each) for each in data.coverage],
        "backbone_trials": [asdict(each) for each in data.backbone_trials],
        "second_stage": stage and stage.to_dict(),
        "learning_curve": curve and asdict(curve),
        "top_losses": [
            asdict(each) | {"path": str(data.display_path(each.path))} for each in data.losses
        ],
        "audit": found and dict(count_findings(found)),
        "skipped": [{"path": str(each.path), "reason": each.reason} for each in data.skipped],
        "notices": data.notices,
        "backbone": dict(classifier.backbone),
        "settings": dict(classifier.settings),
        "seconds": data.seconds,
        "versions": list_versions(),
    }
