"""The model card: what to expect of a classifier, in a few sentences (Mitchell et al. 2019)."""

from collections.abc import Mapping

from nstk.reports.classifier_subject import Subject
from nstk.reports.pages.numerals import format_number
from nstk.reports.wording import count, percent, span


def write_model_card(subject: Subject) -> Mapping[str, str]:
    """Give headings and what stands below them; page and text file hold the same words."""
    return {
        "What it does": _purpose(subject),
        "What it is": _making(subject),
        "How good it is": _quality(subject),
        "How sure it is": _sureness(subject),
        "What it does not know": _limits(subject),
    }


def to_markdown(title: str, card: Mapping[str, str]) -> str:
    """The card as a text file."""
    sections = (f"## {heading}\n\n{text}\n" for heading, text in card.items())
    return f"# {title}\n\n" + "\n".join(sections)


def _purpose(subject: Subject) -> str:
    names = ", ".join(subject.classifier.classes)
    if subject.classifier.multi_label:
        return f"It says which of these labels a photograph deserves, several or none: {names}."
    return f"It says which of these a photograph shows: {names}. It always names one."


def _making(subject: Subject) -> str:
    classifier = subject.classifier
    learned = subject.learned_from
    from_how_many = f" from {count(learned, 'image')}" if learned else ""
    network = classifier.backbone.get("name", "inside")
    stage = classifier.results.get("second_stage") or {}
    what = (
        f"A linear head, solved{from_how_many}, and the network {network}, whose last blocks have "
        "learned with it. They see"
        if stage.get("kept") == "finetuned"
        else f"A linear head, solved{from_how_many}, on the frozen network {network}. They see"
    )
    return (
        f"{what} the largest centered square of an image at {classifier.size} pixels; what lies "
        "beside that square is not seen."
    )


def _quality(subject: Subject) -> str:
    evaluation = subject.evaluation
    what = "given exactly their labels" if subject.classifier.multi_label else "recognized"
    scores = [score for score in evaluation.per_class if score.recall is not None]
    weakest = min(scores, key=lambda score: score.recall or 0.0, default=None)
    worst = (
        f" The weakest class is {weakest.name}, with {percent(weakest.recall)} "
        f"({span(weakest.recall_interval)}) of {count(weakest.support, 'image')}."
        if weakest and len(scores) > 1
        else ""
    )
    images, share = count(evaluation.images, "image"), percent(evaluation.accuracy)
    drawn = (
        f"of all images drawn as these were it is {span(evaluation.accuracy_interval)} "
        "(95 % interval)"
    )
    if subject.folds:
        left_out = "each left out of what a head learned from"
        said = f"Of {images}, {left_out}, {share} were {what}; {drawn}"
    elif subject.learned is None:
        said = (
            f"Of {images}, {share} were {what}; whether it had learned from some of them is not "
            f"known, and if it had not, {drawn}"
        )
    elif subject.learned:
        said = (
            f"Of {images}, {share} were {what}; but it had learned from "
            f"{format_number(subject.learned)} of them, and of others it will be less"
        )
        if subject.others:
            others = subject.others
            said += (
                f": of the {format_number(others.images)} that it had not learned from it is "
                f"{percent(others.accuracy)} ({span(others.accuracy_interval)}, 95 % interval)"
            )
    else:
        said = f"Of {images} that it had not learned from, {share} were {what}; {drawn}"
    return f"{said}.{worst}"


def _sureness(subject: Subject) -> str:
    reliability = subject.answers.reliability
    return (
        f"On average its probabilities are {percent(reliability.ece)} "
        f"({span(reliability.ece_interval)}) away from the share of answers that are right."
    )


def _limits(subject: Subject) -> str:
    ood_detector = subject.classifier.ood_detector
    here = (
        "" if subject.strange is None else f", and {format_number(subject.strange)} of those here"
    )
    known = (
        "An image that is like nothing in training gets a label as well, but is told: such are "
        f"{percent(1 - ood_detector.accepted)} of images like those it learned from{here}."
        if ood_detector
        else "It cannot tell an image that is like nothing in training."
    )
    return (
        f"{known} What it was not measured on it may do worse: other cameras, places, years, and "
        "people or things that its images had few of."
    )
