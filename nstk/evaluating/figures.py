"""What a confusion matrix does not say: how sure, how wrong, and what is taken for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.finetuning.evaluation import Evaluation

Probabilities = npt.NDArray[np.floating]

_BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """The pictures whose label came with about the same probability.

    Attributes:
        low: The bin holds probabilities above this …
        high: … up to this.
        images: How many pictures.
        confidence: Mean probability of their labels.
        accuracy: Share of them that were recognised.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ConfusedPair:
    """One class taken for another.

    Attributes:
        actual: The true class.
        predicted: What it was taken for.
        images: How many pictures.
        share: Of the pictures of the true class.
    """

    actual: str
    predicted: str
    images: int
    share: float


@dataclass(frozen=True)
class PictureLoss:
    """How wrong the classifier is about one picture.

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


def sort_by_confidence(
    probabilities: Probabilities, labels: npt.NDArray[np.integer]
) -> tuple[ReliabilityBin, ...]:
    """Sort predictions into 15 equally wide bins of the likeliest class's probability.

    Args:
        probabilities: ``(n, C)``.
        labels: True classes, ``(n,)``.

    Returns:
        The bins that are not empty, least sure first.
    """
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    places = np.clip(np.ceil(confidences * _BINS) - 1, 0, _BINS - 1)
    return tuple(
        ReliabilityBin(
            low=float(place) / _BINS,
            high=float(place + 1) / _BINS,
            images=int(np.sum(places == place)),
            confidence=float(confidences[places == place].mean(dtype=np.float64)),
            accuracy=float(correct[places == place].mean()),
        )
        for place in np.unique(places)
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Give the expected calibration error Σ_b n_b/n·|accuracy_b − confidence_b| (Guo 2017).

    Args:
        bins: What `sort_by_confidence` gave, at least one.
    """
    total = sum(each.images for each in bins)
    return sum(each.images * abs(each.accuracy - each.confidence) for each in bins) / total


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


def find_top_losses(
    paths: Sequence[Path],
    probabilities: Probabilities,
    actual: Sequence[str],
    predicted: Sequence[str],
    count: int,
) -> tuple[PictureLoss, ...]:
    """List the pictures whose truth was thought least likely, worst first.

    Args:
        paths: The files, n of them.
        probabilities: Of the truth about each, ``(n,)``.
        actual: What that is.
        predicted: What was said instead.
        count: How many to list.
    """
    return tuple(
        PictureLoss(
            path=paths[index],
            actual=actual[index],
            predicted=predicted[index],
            probability=float(probabilities[index]),
            loss=float(-np.log(max(probabilities[index], np.finfo(np.float32).tiny))),
        )
        for index in np.argsort(probabilities, kind="stable")[:count]
    )
