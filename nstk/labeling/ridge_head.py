"""A head that is solved again after every answer, with its leave-one-out predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nstk.heads.links import SIGMOID, SOFTMAX, Link
from nstk.heads.ridge import choose_l2, decompose, leave_one_out
from nstk.types import FeatureVectors, Matrix, Targets

Answer = frozenset[str]
"""The labels of one image."""

DIMENSIONS = 256
"""Principal components that the head sees: solved in milliseconds, with the same labels."""

_TEMPERATURES = 2.0 ** np.arange(-6, 2)


def reduce(vectors: FeatureVectors) -> FeatureVectors:
    """The principal components of standardized features, ``(n, D)`` to ``(n, d)``."""
    coordinates = decompose(vectors).coordinates
    order = np.argsort(-(coordinates**2).sum(axis=0))[:DIMENSIONS]
    return np.ascontiguousarray(coordinates[:, order], np.float32)


@dataclass(frozen=True, eq=False)
class RidgeHead:
    """A ridge regression of labels as 0 and 1 on features.

    Attributes:
        labels: Names of the columns, sorted.
        targets: The answers, ``(m, C)``.
        scores: Estimated labels of all images, ``(n, C)``.
        loo_scores: Those of the labeled images, each by the head without it, ``(m, C)``.
        link: From scores to probabilities, after a temperature that fits ``loo_scores``.
    """

    labels: tuple[str, ...]
    targets: Targets
    scores: Matrix
    loo_scores: Matrix
    link: Link

    def probabilities(self, scores: Matrix) -> Matrix:
        """Calibrated probabilities of the labels, with the shape of the scores."""
        probabilities: Matrix = self.link.probabilities((scores - 0.5) / self._temperature)
        return probabilities

    def predict(self, scores: Matrix) -> Targets:
        """The labels of scores: the likeliest one, or all that are more likely than not."""
        if self.link == SIGMOID:
            return scores > 0.5
        predicted: Targets = scores.argmax(axis=1)[:, np.newaxis] == np.arange(len(self.labels))
        return predicted

    @cached_property
    def _temperature(self) -> float:
        losses = [
            self.link.losses(self.targets, (self.loo_scores - 0.5) / each).sum()
            for each in _TEMPERATURES
        ]
        return float(_TEMPERATURES[int(np.argmin(losses))])


def fit_ridge(
    points: FeatureVectors, labeled: Sequence[int], answers: Sequence[Answer], *, multi_label: bool
) -> RidgeHead | None:
    """Fit the head on the labeled images; None while there is nothing to tell apart."""
    labels = tuple(sorted(frozenset().union(*answers)))
    found = [[name in each for name in labels] for each in answers]
    targets = np.array(found, bool).reshape(len(answers), len(labels))
    if (targets == targets[:1]).all():
        return None
    link = SIGMOID if multi_label else SOFTMAX
    data = decompose(points[labeled], targets)
    l2 = np.broadcast_to(choose_l2(data, targets, link), len(labels))
    known = targets.astype(np.float64)
    loo = [next(leave_one_out(data, known, value[np.newaxis])) for value in np.unique(l2)]
    row_of_label = np.unique(l2, return_inverse=True)[1]
    loo_scores = np.stack([loo[row][:, label] for label, row in enumerate(row_of_label)], axis=1)
    projected = data.coordinates.T @ (known - known.mean(axis=0))
    kernel = data.basis @ (projected / np.add.outer(data.scatter, l2)) / data.std[:, np.newaxis]
    scores = (points - data.mean) @ kernel + known.mean(axis=0)
    return RidgeHead(labels, targets, scores, loo_scores, link)
