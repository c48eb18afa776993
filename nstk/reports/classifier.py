"""A page about a classifier, its figures as plain JSON, and its model card as a text file."""

import platform
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from nstk.auditing.findings import Audit
from nstk.auditing.job import audit
from nstk.backbones.classifier_files import take_backbone
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.job import EvaluationReport
from nstk.finetuning.result import FinetuneResult
from nstk.progress import Reporter, no_progress
from nstk.reports.classifier_sections import (
    count_findings,
    show_card,
    show_classes,
    show_confusion,
    show_data,
    show_learning_curve,
    show_losses,
    show_reliability,
    show_second_stage,
)
from nstk.reports.classifier_subject import Subject, describe_examination, describe_finetuning
from nstk.reports.model_card import to_markdown, write_model_card
from nstk.reports.pages import (
    Block,
    Cell,
    Code,
    Details,
    Facts,
    Figure,
    Headline,
    Page,
    Paragraph,
    Section,
    Table,
    write_page,
)
from nstk.reports.pages.numerals import format_number
from nstk.reports.pages.records import check_folder, write_record, write_text
from nstk.reports.wording import count, percent, span
from nstk.settings import FinetuneSettings
from nstk.storage.files import make_folder
from nstk.storage.versions import list_versions

PAGE_NAME = "report.html"
RECORD_NAME = "results.json"
CARD_NAME = "model-card.md"


def check_classifier_report(folder: str | Path) -> None:
    """Refuse, before any long work, a place where no report could be written.

    Args:
        folder: Where one is to be written later.

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
    """Write ``report.html``, one page that needs nothing else, and two files beside it.

    The page shows accuracy with its interval, the confusion matrix, every class, reliability, what
    abstaining brings, the second stage and the learning curve where there are some, the worst
    images with activation maps, the data (of a classifier that was just made, with an audit,
    which reads every image once more, unless they came from memory), settings, command, versions
    and the model card.
    ``results.json`` holds the same in numbers, ``model-card.md`` the card in the same words.

    Args:
        folder: Where to; made if it is absent, in a folder that is there.
        made: What `nstk.finetune` or `nstk.evaluate` gave; its images must still be there.
        command: The exact command, for the reader to repeat.
        cache: See `nstk.audit`.
        on_progress: Told about the stages of `nstk.audit`, and ``"explain"``.

    Returns:
        The path of the page.

    Raises:
        OutputError: If a file cannot be written.
        NstkError: Whatever `nstk.audit` raises.
    """
    check_classifier_report(folder)
    if isinstance(made, FinetuneResult):
        subject, found = describe_finetuning(made), _audit(made, cache, on_progress)
    else:
        subject, found = describe_examination(made), None
    card = write_model_card(subject)
    page = _compose(subject, found, show_card(card), command, on_progress)
    record = _record(subject, found, command) | {"model_card": card}
    folder = make_folder(folder)
    write_record(record, folder / RECORD_NAME)
    write_text(to_markdown(page.title, card), folder / CARD_NAME)
    return write_page(page, folder / PAGE_NAME)


def _audit(made: FinetuneResult, cache: str | Path | None, on_progress: Reporter) -> Audit | None:
    if made.data is None:
        return None
    known = made.classifier.backbone
    network = made.classifier.model.get_layer("backbone")
    backbone = take_backbone(network, known["name"], known["input_size"], known["source"])
    return audit(made.data, backbone=backbone, cache=cache, on_progress=on_progress)


def _compose(
    subject: Subject, found: Audit | None, card: Section, command: str, on_progress: Reporter
) -> Page:
    """Put the page together, from the number that counts to how it came about."""
    sections = [
        show_confusion(subject),
        show_classes(subject),
        show_reliability(subject),
        show_second_stage(subject),
        show_learning_curve(subject),
        show_losses(subject, on_progress),
        show_data(subject, found),
        Section("How it was made", _explain_making(subject, command)),
        card,
    ]
    notices = [Paragraph(notice, "warning") for notice in subject.notices]
    blocks: list[Block] = [_headline(subject), *notices]
    blocks += [section for section in sections if section is not None]
    return Page(
        title=_title(subject.classifier),
        subtitle=f"{subject.name_of_data}, measured on {subject.measured_on}.",
        blocks=blocks,
        footer=", ".join(f"{name} {version}" for name, version in list_versions().items()),
    )


def _title(classifier: Classifier) -> str:
    """``Ants or bees``; where there are many classes, how many."""
    names = classifier.classes
    if len(names) > 4:
        return f"A classifier of {len(names)} classes"
    last = " and " if classifier.multi_label else " or "
    return f"{', '.join(names[:-1])}{last}{names[-1]}".removeprefix(last)


def _headline(subject: Subject) -> Headline:
    evaluation, reliability = subject.evaluation, subject.answers.reliability
    figures = [
        Figure(
            "exactly right labels" if subject.classifier.multi_label else "accuracy",
            percent(evaluation.accuracy),
            f"{span(evaluation.accuracy_interval)}, 95 % interval",
        ),
        Figure("images", format_number(evaluation.images), _compare_with_learned(subject)),
        Figure("calibration error", percent(reliability.ece), span(reliability.ece_interval)),
    ]
    if subject.strange is not None:
        of = f"of {count(evaluation.images, 'image')}"
        figures.append(Figure("like nothing in training", format_number(subject.strange), of))
    return Headline(figures)


def _compare_with_learned(subject: Subject) -> str:
    """How many images it learned from, and whether these are others."""
    if subject.folds:
        return "learned from, each left out once"
    if subject.learned:
        return f"learned from {format_number(subject.learned)} of them"
    if subject.learned_from is None:
        return ""
    if subject.learned is None:
        return f"learned from {format_number(subject.learned_from)}"
    return f"learned from {count(subject.learned_from, 'other')}"


def _explain_making(subject: Subject, command: str) -> list[Block]:
    classifier = subject.classifier
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
        "seconds": subject.seconds,
    }
    versions = {**list_versions(), "python": platform.python_version()}
    return [
        *([Code(command)] if command else []),
        Facts(facts),
        Details(
            "Settings of the classifier", [Table(("setting", "value", "default", "meaning"), rows)]
        ),
        Details("Versions", [Facts({**versions, "machine": platform.platform()})]),
    ]


def _format(value: Any) -> Cell:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _record(subject: Subject, found: Audit | None, command: str) -> dict[str, Any]:
    """Everything that is not an image, as plain values."""
    classifier, evaluation, answers = subject.classifier, subject.evaluation, subject.answers
    curve, stage = subject.learning_curve, subject.second_stage
    return {
        "command": command,
        "data": subject.place,
        "measured_on": subject.measured_on,
        "classes": classifier.classes,
        "learned_from": subject.learned_from,
        "learned_images": subject.learned,
        "others": subject.others and asdict(subject.others),
        **asdict(evaluation),
        "temperature": classifier.temperature,
        "calibration": {
            "before": asdict(answers.reliability_before),
            "after": asdict(answers.reliability),
        },
        "strange": subject.strange,
        "coverage": [asdict(each) for each in subject.coverage],
        "second_stage": stage and stage.describe(),
        "learning_curve": curve and asdict(curve),
        "top_losses": [
            asdict(each) | {"path": str(subject.name(each.path))} for each in subject.losses
        ],
        "audit": found and dict(count_findings(found)),
        "skipped": [{"path": str(each.path), "reason": each.reason} for each in subject.skipped],
        "notices": subject.notices,
        "backbone": dict(classifier.backbone),
        "settings": dict(classifier.settings),
        "seconds": subject.seconds,
        "versions": list_versions(),
    }
