"""How good a classifier is, and how sure that number is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from nstk.heads.links import Targets

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassScore:
    """How one class fared.

    Attributes:
        name: The class.
        support: How many images of it there are.
        recall: Share of them that were recognized; None if there are none.
        recall_interval: Wilson interval of the recall, 95 %; None if there are none.
        precision: Share of the images given this label that deserve it; None if none was.
        precision_interval: Wilson interval of the precision, 95 %; None if none was.
        f1: Harmonic mean of recall and precision; None if the label is neither there nor given.
        f1_interval: F1 = 2·J/(1 + J) rises with the share J of the images that both deserve and
            have the label among those that do either; these are the bounds of J's Wilson interval
            in F1, 95 %.
        average_precision: Mean precision over the images of the class, each among those that are
            at least as probable; None if there are none.
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
    """How a classifier fared on images that it was not fitted on.

    Attributes:
        images: How many images.
        accuracy: Share of them that were recognized; where images have several labels, that
            were given exactly these.
        accuracy_interval: Wilson interval of the accuracy, 95 %.
        mean_average_precision: Mean of the classes' average precision, over those that are there.
        per_class: One `ClassScore` for every class, in the classifier's order.
        confusion: Counts; row = true class, column = predicted class. Where images have several
            labels, off the diagonal those that lack the row's label and wrongly have the column's.
    """

    images: int
    accuracy: float
    accuracy_interval: Interval
    mean_average_precision: float
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
    targets: Targets,
    assigned: Targets,
    probabilities: npt.NDArray[np.floating],
    classes: Sequence[str],
) -> Evaluation:
    """Compare the labels that were given with the truth; one label an image, or any number.

    Args:
        targets: True labels, ``(n, C)`` with n ≥ 1.
        assigned: The labels given, ``(n, C)``.
        probabilities: Of every label, ``(n, C)``.
        classes: Names of the labels.
    """
    correct = int((targets == assigned).all(axis=1).sum())
    missed, wrong = (targets & ~assigned).astype(int), (assigned & ~targets).astype(int)
    confusion = missed.T @ wrong + np.diag((targets & assigned).sum(axis=0))
    columns = zip(classes, targets.T, assigned.T, probabilities.T, strict=True)
    scores = tuple(_score(*column) for column in columns)
    precisions = [each.average_precision for each in scores if each.average_precision is not None]
    return Evaluation(
        images=len(targets),
        accuracy=correct / len(targets),
        accuracy_interval=wilson_interval(correct, len(targets)),
        mean_average_precision=float(np.mean(precisions)) if precisions else 0.0,
        per_class=scores,
        confusion=tuple(tuple(map(int, row)) for row in confusion),
    )


def average_precision(
    truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]
) -> float | None:
    """Give Σ_k (R_k − R_{k−1})·P_k over the different scores, from the highest down.

    P_k and R_k are precision and recall of the images that score at least as high as k; nothing
    is interpolated.

    Args:
        truth: Which images have the label, ``(n,)``.
        scores: ``(n,)``.

    Returns:
        In [0, 1]; None if no image has the label.
    """
    if not truth.any():
        return None
    falling = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[falling]) != 0, True)
    hits, given = np.cumsum(truth[falling])[last], 1 + np.flatnonzero(last)
    gained = np.diff(hits, prepend=0) / hits[-1]
    return float(gained @ (hits / given))


def _score(
    name: str,
    truth: npt.NDArray[np.bool_],
    assigned: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.floating],
) -> ClassScore:
    recognized = int((truth & assigned).sum())
    support, given = int(truth.sum()), int(assigned.sum())
    either = support + given - recognized
    overlap = wilson_interval(recognized, either) if either else None
    return ClassScore(
        name=name,
        support=support,
        recall=recognized / support if support else None,
        recall_interval=wilson_interval(recognized, support) if support else None,
        precision=recognized / given if given else None,
        precision_interval=wilson_interval(recognized, given) if given else None,
        f1=2 * recognized / (support + given) if either else None,
        f1_interval=overlap and (_to_f1(overlap[0]), _to_f1(overlap[1])),
        average_precision=average_precision(truth, probabilities),
    )


def _to_f1(overlap: float) -> float:
    return 2 * overlap / (1 + overlap)
