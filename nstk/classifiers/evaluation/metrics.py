"""Metrics beyond the confusion matrix: confused pairs, worst predictions, abstention."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.heads.metrics import Evaluation, Interval, wilson_interval
from nstk.heads.predictions import SplitPredictions
from nstk.types import Probabilities, Targets

_THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class ConfusedPair:
    """A class predicted as another.

    Attributes:
        actual: The true class.
        predicted: The predicted class.
        images: Number of images.
        share: Fraction of the images of the true class.
    """

    actual: str
    predicted: str
    images: int
    share: float


@dataclass(frozen=True)
class ImageLoss:
    """The loss of one image.

    Attributes:
        path: The file.
        actual: The true class; several labels are joined by |.
        predicted: The predicted class; several labels are joined by |.
        probability: Probability of the true class; in multi-label data that of exactly the true
            labels.
        loss: −log of the probability, in nats.
    """

    path: Path
    actual: str
    predicted: str
    probability: float
    loss: float


@dataclass(frozen=True)
class Coverage:
    """Coverage and accuracy at one abstention threshold.

    Attributes:
        abstain_below: The threshold. Images out of distribution are never covered.
        images: Number of covered images, which get a prediction.
        share: Fraction of all images that is covered.
        accuracy: Fraction of the covered images with exactly the right labels; None without any.
        accuracy_interval: 95 % Wilson interval of the accuracy.
    """

    abstain_below: float
    images: int
    share: float
    accuracy: float | None
    accuracy_interval: Interval | None


def measure_coverage(predictions: SplitPredictions) -> tuple[Coverage, ...]:
    """Measure coverage and accuracy at several abstention thresholds.

    Args:
        predictions: Predictions for at least one image.
    """
    confidence = predictions.decision.confidence(predictions.probabilities)
    coverage = []
    for threshold in _THRESHOLDS:
        covered = (confidence >= threshold) & ~predictions.is_ood
        count, correct = int(covered.sum()), int(predictions.correct[covered].sum())
        coverage.append(
            Coverage(
                abstain_below=threshold,
                images=count,
                share=count / len(covered),
                accuracy=correct / count if count else None,
                accuracy_interval=wilson_interval(correct, count) if count else None,
            )
        )
    return tuple(coverage)


def find_confused_pairs(evaluation: Evaluation) -> tuple[ConfusedPair, ...]:
    """List pairs of a true and a wrongly predicted class, most frequent first.

    Args:
        evaluation: The evaluation with the confusion matrix.
    """
    pairs = [
        ConfusedPair(actual.name, predicted.name, count, count / actual.support)
        for actual, row in zip(evaluation.per_class, evaluation.confusion, strict=True)
        for predicted, count in zip(evaluation.per_class, row, strict=True)
        if count and actual is not predicted
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.images))


def rank_losses(
    predictions: SplitPredictions,
    classes: Sequence[str],
    count: int,
    display_path: Callable[[Path], Path] = lambda path: path,
) -> tuple[ImageLoss, ...]:
    """List the images with the largest losses, worst first.

    Args:
        predictions: Predictions for the images.
        classes: Names of the labels.
        count: Number of images to list.
        display_path: Converts the path of an image to the one that users know.
    """
    probabilities, labels = predictions.decision.as_binary_problems(
        predictions.probabilities, predictions.targets
    )
    # The probability that all problems of an image are solved is the product.
    of_truth = probabilities[np.arange(len(labels)), labels]
    of_truth = of_truth.reshape(len(predictions.paths), -1).prod(axis=1)
    return find_top_losses(
        [display_path(path) for path in predictions.paths],
        of_truth,
        _format_labels(predictions.targets, classes),
        _format_labels(predictions.predicted, classes),
        count,
    )


def find_top_losses(
    paths: Sequence[Path],
    probabilities: Probabilities,
    actual: Sequence[str],
    predicted: Sequence[str],
    count: int,
) -> tuple[ImageLoss, ...]:
    """List the images with the least probable true labels, worst first.

    Args:
        paths: The n files.
        probabilities: Probability of the true labels of each, ``(n,)``.
        actual: The true labels.
        predicted: The predicted labels.
        count: Number of images to list.
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


def _format_labels(labels: Targets, classes: Sequence[str]) -> list[str]:
    """The labels of every image in the format of manifests."""
    return ["|".join(np.array(classes)[row]) for row in labels]
