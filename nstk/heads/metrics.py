"""Metrics of classifiers, with confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from nstk.types import Probabilities, Targets

Interval = tuple[float, float]

_UNBALANCED = 1.5


@dataclass(frozen=True)
class ClassScore:
    """Metrics of one class.

    Attributes:
        name: The class.
        support: Number of images of the class.
        recall: Fraction of them that is predicted; None without images.
        recall_interval: 95 % Wilson interval of the recall; None without images.
        precision: Fraction of the predictions of the class that is correct; None without any.
        precision_interval: 95 % Wilson interval of the precision; None without any.
        f1: Harmonic mean of recall and precision; None without images and predictions.
        f1_interval: 95 % interval of F1 = 2·J/(1 + J), which increases with the Jaccard index J of
            images and predictions; the bounds of J's Wilson interval, converted to F1.
        average_precision: Area under the precision-recall curve; None without images.
    """

    name: str
    support: int
    recall: float | None
    recall_interval: Interval | None
    precision: float | None
    precision_interval: Interval | None
    f1: float | None
    f1_interval: Interval | None
    average_precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a classifier on images that it was not fitted on.

    Attributes:
        images: Number of images.
        accuracy: Fraction of them with exactly the right labels.
        accuracy_interval: 95 % Wilson interval of the accuracy.
        majority_share: Accuracy of always predicting the most frequent label or labels.
        mean_average_precision: Mean of the average precision, over the classes with images.
        per_class: A `ClassScore` for every class, in the classifier's order.
        confusion: Counts; row = true class, column = predicted class. For multi-label data an
            entry off the diagonal counts the images for which the label of the row is missed and
            that of the column is wrongly predicted.
    """

    images: int
    accuracy: float
    accuracy_interval: Interval
    majority_share: float
    mean_average_precision: float
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def is_unbalanced(self) -> bool:
        """Whether `majority_share` is at least half as large again as with equal classes."""
        present = sum(score.support > 0 for score in self.per_class)
        return self.majority_share * max(present, 1) >= _UNBALANCED


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Compute the score interval of a proportion (Wilson 1927).

    With p = successes / trials and z the normal quantile it is
    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n): it never leaves [0, 1] and stays honest
    for few trials and for proportions near 0 and 1, where p ± z·√(p(1−p)/n) does not.

    Args:
        successes: From 0 to ``trials``.
        trials: n, at least 1.
        confidence: The share of such intervals that hold the true proportion, in (0, 1).

    Returns:
        The lower and the upper bound, in [0, 1].
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    proportion = successes / trials
    middle = proportion + z**2 / (2 * trials)
    spread = z * sqrt(proportion * (1 - proportion) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    # At 0 and 1 the bound is exact; rounding must not push it to the wrong side.
    low = 0.0 if successes == 0 else (middle - spread) / scale
    high = 1.0 if successes == trials else (middle + spread) / scale
    return low, high


def evaluate(
    targets: Targets,
    predicted: Targets,
    probabilities: Probabilities,
    classes: Sequence[str],
) -> Evaluation:
    """Compare predicted with true labels, for one label per image or any number.

    Args:
        targets: True labels, ``(n, C)`` with n ≥ 1.
        predicted: The labels given, ``(n, C)``.
        probabilities: Probabilities of the labels, ``(n, C)``.
        classes: Names of the labels.
    """
    correct = int((targets == predicted).all(axis=1).sum())
    missed, wrong = (targets & ~predicted).astype(int), (predicted & ~targets).astype(int)
    confusion = missed.T @ wrong + np.diag((targets & predicted).sum(axis=0))
    columns = zip(classes, targets.T, predicted.T, probabilities.T, strict=True)
    scores = tuple(_score(*column) for column in columns)
    precisions = [each.average_precision for each in scores if each.average_precision is not None]
    return Evaluation(
        images=len(targets),
        accuracy=correct / len(targets),
        accuracy_interval=wilson_interval(correct, len(targets)),
        majority_share=int(np.unique(targets, axis=0, return_counts=True)[1].max()) / len(targets),
        mean_average_precision=float(np.mean(precisions)) if precisions else 0.0,
        per_class=scores,
        confusion=tuple(tuple(map(int, row)) for row in confusion),
    )


def average_precision(
    truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]
) -> float | None:
    """Compute Σ_k (R_k − R_{k−1})·P_k over the distinct scores, from the highest down.

    P_k and R_k are precision and recall of the images that score at least k; without interpolation.
    """
    if not truth.any():
        return None
    descending = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[descending]) != 0, True)
    hits, counts = np.cumsum(truth[descending])[last], 1 + np.flatnonzero(last)
    gained = np.diff(hits, prepend=0) / hits[-1]
    return float(gained @ (hits / counts))


def _score(
    name: str,
    truth: npt.NDArray[np.bool_],
    predicted: npt.NDArray[np.bool_],
    probabilities: Probabilities,
) -> ClassScore:
    true_positives = int((truth & predicted).sum())
    support, count = int(truth.sum()), int(predicted.sum())
    union = support + count - true_positives
    overlap = wilson_interval(true_positives, union) if union else None
    return ClassScore(
        name=name,
        support=support,
        recall=true_positives / support if support else None,
        recall_interval=wilson_interval(true_positives, support) if support else None,
        precision=true_positives / count if count else None,
        precision_interval=wilson_interval(true_positives, count) if count else None,
        f1=2 * true_positives / (support + count) if union else None,
        f1_interval=overlap and (_to_f1(overlap[0]), _to_f1(overlap[1])),
        average_precision=average_precision(truth, probabilities),
    )


def _to_f1(overlap: float) -> float:
    return 2 * overlap / (1 + overlap)
