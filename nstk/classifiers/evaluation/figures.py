"""What a confusion matrix does not say: what is taken for what, how wrong, and how sure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.heads.links import Targets
from nstk.heads.metrics import Evaluation, Interval, wilson_interval
from nstk.heads.predictions import SplitPredictions

Probabilities = npt.NDArray[np.floating]

_LEAST_PROBABILITIES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class ConfusedPair:
    """One class taken for another.

    Attributes:
        actual: The true class.
        predicted: What it was taken for.
        images: How many images.
        share: Of the images of the true class.
    """

    actual: str
    predicted: str
    images: int
    share: float


@dataclass(frozen=True)
class ImageLoss:
    """How wrong the classifier is about one image.

    Attributes:
        path: The file.
        actual: The true class; several with | between them.
        predicted: The class it is given; several with | between them.
        probability: Of the true class; of exactly the true ones where there may be several.
        loss: −log of that, in nats.
    """

    path: Path
    actual: str
    predicted: str
    probability: float
    loss: float


@dataclass(frozen=True)
class Coverage:
    """What it brings to say nothing about some images.

    Attributes:
        abstain_below: The least probability of an answer; strange images get none at all.
        images: How many images got an answer.
        share: Of all images.
        accuracy: Share of them that were given exactly their labels; None where none got any.
        accuracy_interval: Wilson interval of it, 95 %.
    """

    abstain_below: float
    images: int
    share: float
    accuracy: float | None
    accuracy_interval: Interval | None


def measure_coverage(answers: SplitPredictions) -> tuple[Coverage, ...]:
    """For several least probabilities, how many images get an answer and how many a right one.

    Args:
        answers: At least one.
    """
    sure = answers.decision.confidence(answers.probabilities)
    covered = []
    for least in _LEAST_PROBABILITIES:
        told = (sure >= least) & ~answers.strange
        count, correct = int(told.sum()), int(answers.right[told].sum())
        covered.append(
            Coverage(
                abstain_below=least,
                images=count,
                share=count / len(told),
                accuracy=correct / count if count else None,
                accuracy_interval=wilson_interval(correct, count) if count else None,
            )
        )
    return tuple(covered)


def find_confused_pairs(evaluation: Evaluation) -> tuple[ConfusedPair, ...]:
    """List what was taken for what, most frequent first.

    Args:
        evaluation: Its confusion matrix counts.
    """
    pairs = [
        ConfusedPair(actual.name, predicted.name, count, count / actual.support)
        for actual, row in zip(evaluation.per_class, evaluation.confusion, strict=True)
        for predicted, count in zip(evaluation.per_class, row, strict=True)
        if count and actual is not predicted
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.images))


def rank_losses(
    answers: SplitPredictions,
    classes: Sequence[str],
    count: int,
    name: Callable[[Path], Path] = lambda path: path,
) -> tuple[ImageLoss, ...]:
    """List the images whose truth was thought least likely, worst first.

    Args:
        answers: What was said about all of them.
        classes: Names of the labels.
        count: How many to list.
        name: Gives the path of an image as its owner knows it.
    """
    posed, right = answers.decision.as_binary_problems(answers.probabilities, answers.targets)
    # The answers to the questions about an image are all right with the product.
    of_truth = posed[np.arange(len(right)), right].reshape(len(answers.paths), -1).prod(axis=1)
    return find_top_losses(
        [name(path) for path in answers.paths],
        of_truth,
        _format(answers.targets, classes),
        _format(answers.assigned, classes),
        count,
    )


def find_top_losses(
    paths: Sequence[Path],
    probabilities: Probabilities,
    actual: Sequence[str],
    predicted: Sequence[str],
    count: int,
) -> tuple[ImageLoss, ...]:
    """List the images whose truth was thought least likely, worst first.

    Args:
        paths: The files, n of them.
        probabilities: Of the truth about each, ``(n,)``.
        actual: What that is.
        predicted: What was said instead.
        count: How many to list.
    """
    return tuple(
        ImageLoss(
            path=paths[index],
            actual=actual[index],
            predicted=predicted[index],
            probability=float(probabilities[index]),
            loss=float(-np.log(max(probabilities[index], np.finfo(np.float32).tiny))),
        )
        for index in np.argsort(probabilities, kind="stable")[:count]
    )


def _format(labels: Targets, classes: Sequence[str]) -> list[str]:
    """The names of the labels of every image, as a manifest writes them."""
    return ["|".join(np.array(classes)[row]) for row in labels]
