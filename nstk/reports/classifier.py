"""The report about a classifier: a page, its figures as JSON, and its model card as a text file."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

from nstk.auditing.findings import Audit
from nstk.auditing.job import audit
from nstk.backbones.loading import make_backbone
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.report import EvaluationReport
from nstk.finetuning.result import FinetuneResult
from nstk.progress import Reporter, no_progress
from nstk.reports import classifier_sections as sections
from nstk.reports.audit import count_findings
from nstk.reports.classifier_data import ReportData, from_evaluation, from_finetuning
from nstk.reports.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
)
from nstk.reports.model_card import compose_model_card, to_markdown
from nstk.reports.pages import (
    Block,
    Code,
    Details,
    Facts,
    Figure,
    Headline,
    Page,
    Paragraph,
    Section,
    Table,
    Value,
    write_page,
)
from nstk.reports.pages.records import check_folder, write_record, write_text
from nstk.settings import FinetuneSettings
from nstk.storage.files import make_folder
from nstk.storage.run_identity import list_versions

PAGE_NAME = "report.html"
RECORD_NAME = "results.json"
CARD_NAME = "model-card.md"


def check_classifier_report(folder: str | Path) -> None:
    """Check, before any long work, that a report can be written.

    Args:
        folder: The report's folder; it may exist or not.

    Raises:
        OutputError: If no file can be written there, or the folder cannot be made.
    """
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
    card = compose_model_card(data)
    page = _compose_page(data, found, card, command, on_progress)
    record = _compose_record(data, found, command) | {"model_card": card}
    folder = make_folder(folder)
    write_record(record, folder / RECORD_NAME)
    write_text(to_markdown(page.title, card), folder / CARD_NAME)
    return write_page(page, folder / PAGE_NAME)


def _audit(made: FinetuneResult, cache: str | Path | None, on_progress: Reporter) -> Audit | None:
    if made.data is None:
        return None
    known = made.classifier.backbone
    network = made.classifier.model.get_layer("backbone")
    backbone = make_backbone(network, known["name"], known["input_size"], known["source"])
    return audit(made.data, backbone=backbone, cache=cache, on_progress=on_progress)


def _compose_page(
    data: ReportData,
    found: Audit | None,
    card: Mapping[str, str],
    command: str,
    on_progress: Reporter,
) -> Page:
    shown = [
        sections.confusion_matrix(data),
        sections.per_class_metrics(data),
        sections.calibration(data),
        sections.abstention(data),
        sections.fine_tuning(data),
        sections.learning_curve(data),
        sections.worst_predictions(data, on_progress),
        sections.dataset(data, found),
        Section("Settings", _compose_settings(data, command)),
        sections.model_card(card),
    ]
    blocks: list[Block] = [_compose_headline(data)]
    blocks += [Paragraph(notice, "warning") for notice in data.notices]
    blocks += [section for section in shown if section is not None]
    return Page(
        title=_compose_title(data.classifier),
        subtitle=f"{data.data_name}, measured on {data.measured_on}.",
        blocks=blocks,
        footer=", ".join(f"{name} {version}" for name, version in list_versions().items()),
    )


def _compose_title(classifier: Classifier) -> str:
    """``Ants or bees``; the number of classes where there are many."""
    names = classifier.classes
    if len(names) > 4:
        return f"A classifier of {len(names)} classes"
    last = " and " if classifier.multi_label else " or "
    return f"{', '.join(names[:-1])}{last}{names[-1]}".removeprefix(last)


def _compose_headline(data: ReportData) -> Headline:
    evaluation, reliability = data.evaluation, data.predictions.reliability
    figures = [
        Figure(
            "exact-match accuracy" if data.classifier.multi_label else "accuracy",
            format_percent(evaluation.accuracy),
            f"{format_interval(evaluation.accuracy_interval)}, 95 % interval",
        ),
        Figure("images", format_number(evaluation.images), _compare_with_training(data)),
        Figure(
            "calibration error",
            format_percent(reliability.ece),
            format_interval(reliability.ece_interval),
        ),
    ]
    if data.predictions.ood_count is not None:
        of = f"of {format_count(evaluation.images, 'image')}"
        figures.append(Figure("out of distribution", format_number(data.predictions.ood_count), of))
    return Headline(figures)


def _compare_with_training(data: ReportData) -> str:
    """How many training images there were, and whether the measured images are new."""
    if data.folds:
        return f"by {data.folds}-fold cross-validation"
    if data.train_overlap:
        return f"trained on {format_number(data.train_overlap)} of them"
    if data.train_images is None:
        return ""
    others = "" if data.train_overlap is None else "other "
    return f"trained on {format_count(data.train_images, f'{others}image')}"


def _compose_settings(data: ReportData, command: str) -> list[Block]:
    classifier = data.classifier
    rows = [
        (
            field.name.replace("_", "-"),
            _format(classifier.settings.get(field.name, field.default)),
            _format(field.default),
            field.metadata.get("help", ""),
        )
        for field in fields(FinetuneSettings)
    ]
    facts = {
        "backbone": classifier.backbone.get("name"),
        "digest of its weights": str(classifier.backbone.get("digest", ""))[:16],
        "features": classifier.results.get("features"),
        "size": classifier.size,
        "temperature": classifier.temperature,
        "seconds": data.seconds,
    }
    versions = {**list_versions(), "python": platform.python_version()}
    table = Table(("setting", "value", "default", "meaning"), rows)
    return [
        *([Code(command)] if command else []),
        Facts(facts),
        Details("All settings", [table]),
        Details("Versions", [Facts({**versions, "machine": platform.platform()})]),
    ]


def _format(value: object) -> Value:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


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
