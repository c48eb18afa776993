"""How good a classifier is, and how sure that number is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassScore:
    """How one class fared.

    Attributes:
        name: The class.
        support: How many pictures of it there are.
        recall: Share of them that were recognised; None if there are none.
        recall_interval: Wilson interval of the recall, 95 %; None if there are none.
        precision: Share of the pictures given this label that deserve it; None if none was.
        precision_interval: Wilson interval of the precision, 95 %; None if none was.
    """

    name: str
    support: int
    recall: float | None
    recall_interval: Interval | None
    precision: float | None
    precision_interval: Interval | None


@dataclass(frozen=True)
class Evaluation:
    """How a classifier fared on pictures that it was not fitted on.

    Attributes:
        images: How many pictures.
        accuracy: Share of them that were recognised.
        accuracy_interval: Wilson interval of the accuracy, 95 %.
        per_class: One `ClassScore` for every class, in the classifier's order.
        confusion: Counts; row = true class, column = predicted class.
    """

    images: int
    accuracy: float
    accuracy_interval: Interval
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Give the score interval of a proportion (Wilson 1927).

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
    labels: npt.NDArray[np.integer], predicted: npt.NDArray[np.integer], classes: Sequence[str]
) -> Evaluation:
    """Compare predictions with the truth.

    Args:
        labels: True classes, ``(n,)`` with n ≥ 1, as positions in ``classes``.
        predicted: Predicted classes, ``(n,)``, likewise.
        classes: Class names.
    """
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (labels, predicted), 1)
    correct = int(np.trace(confusion))
    return Evaluation(
        images=len(labels),
        accuracy=correct / len(labels),
        accuracy_interval=wilson_interval(correct, len(labels)),
        per_class=tuple(_score(confusion, index, name) for index, name in enumerate(classes)),
        confusion=tuple(tuple(map(int, row)) for row in confusion),
    )


def _score(confusion: npt.NDArray[np.integer], index: int, name: str) -> ClassScore:
    recognised = int(confusion[index, index])
    support, given = int(confusion[index].sum()), int(confusion[:, index].sum())
    return ClassScore(
        name=name,
        support=support,
        recall=recognised / support if support else None,
        recall_interval=wilson_interval(recognised, support) if support else None,
        precision=recognised / given if given else None,
        precision_interval=wilson_interval(recognised, given) if given else None,
    )
