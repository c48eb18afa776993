"""The model card: what to expect of a classifier, in a few sentences (Mitchell et al. 2019)."""

from collections.abc import Mapping

from nstk.reports.classifier_data import ReportData
from nstk.reports.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
)


def compose_model_card(data: ReportData) -> Mapping[str, str]:
    """Return the card's headings and texts, for the page and the text file."""
    return {
        "Intended use": _intended_use(data),
        "Model": _model(data),
        "Accuracy": _accuracy(data),
        "Calibration": _calibration(data),
        "Limitations": _limitations(data),
    }


def to_markdown(title: str, card: Mapping[str, str]) -> str:
    """Return the card as a text file."""
    sections = (f"## {heading}\n\n{text}\n" for heading, text in card.items())
    return f"# {title}\n\n" + "\n".join(sections)


def _intended_use(data: ReportData) -> str:
    names = ", ".join(data.classifier.classes)
    if data.classifier.multi_label:
        return f"It assigns any number of these labels to a photograph: {names}."
    return f"It assigns one of these classes to a photograph: {names}."


def _model(data: ReportData) -> str:
    classifier = data.classifier
    network = classifier.backbone.get("name", "inside")
    trained = f" trained on {format_count(data.train_images, 'image')}" if data.train_images else ""
    stage = classifier.results.get("second_stage") or {}
    below = (
        f"on the network {network}, whose last blocks were fine-tuned"
        if stage.get("kept") == "finetuned"
        else f"on the frozen network {network}"
    )
    return (
        f"A linear head{trained} {below}. Its input is the largest centered square of the image "
        f"at {classifier.size} pixels; the model does not see the rest of the image."
    )


def _accuracy(data: ReportData) -> str:
    evaluation = data.evaluation
    images, share = format_count(evaluation.images, "image"), format_percent(evaluation.accuracy)
    measure = "Exact-match accuracy" if data.classifier.multi_label else "Accuracy"
    interval = f"{format_interval(evaluation.accuracy_interval)}, 95 % interval"
    if data.folds:
        said = f"{measure} {share} ({interval}) on {images}, by cross-validation"
    elif data.train_overlap is None:
        said = (
            f"{measure} {share} ({interval}) on {images}; it is unknown whether it was trained on "
            "some of them"
        )
    elif data.train_overlap:
        said = (
            f"{measure} {share} on {images}, but it was trained on "
            f"{format_number(data.train_overlap)} of them, and on new images it will be lower"
        )
        if data.unseen:
            unseen = data.unseen
            said += (
                f": {format_percent(unseen.accuracy)} on the {format_number(unseen.images)} new "
                f"images ({format_interval(unseen.accuracy_interval)}, 95 % interval)"
            )
    else:
        said = f"{measure} {share} ({interval}) on {images} that it was not trained on"
    return f"{said}.{_weakest_class(data)}"


def _weakest_class(data: ReportData) -> str:
    scores = [score for score in data.evaluation.per_class if score.recall is not None]
    if len(scores) < 2:
        return ""
    weakest = min(scores, key=lambda score: score.recall or 0.0)
    return (
        f" The weakest class is {weakest.name}: recall {format_percent(weakest.recall)} "
        f"({format_interval(weakest.recall_interval)}) on {format_count(weakest.support, 'image')}."
    )


def _calibration(data: ReportData) -> str:
    reliability = data.predictions.reliability
    return (
        f"Expected calibration error {format_percent(reliability.ece)} "
        f"({format_interval(reliability.ece_interval)}): the mean difference between predicted "
        "probability and observed accuracy."
    )


def _limitations(data: ReportData) -> str:
    detector = data.classifier.ood_detector
    count = data.predictions.ood_count
    here = "" if count is None else f", and {format_number(count)} of those here"
    known = (
        "An image that is out of distribution gets a label as well, but is flagged; so are "
        f"{format_percent(1 - detector.accepted)} of images like the training images{here}."
        if detector
        else "It cannot detect images that are out of distribution."
    )
    return (
        f"{known} Expect lower accuracy where images differ from those it was measured on: other "
        "cameras, places and years, and subjects that were rare in training."
    )
