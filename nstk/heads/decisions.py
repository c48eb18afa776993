"""Decisions: which labels an image gets for its probabilities.

Where every image has one label, it gets the most likely class. In multi-label data each label has
a threshold of its own, chosen on out-of-fold probabilities: F1, which weighs missed labels like
wrong ones, rarely peaks at one half.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nstk.heads.links import SIGMOID, SOFTMAX, Link
from nstk.types import Json, Probabilities, Targets

_HALF = 0.5


class Decision(Protocol):
    """A rule from probabilities ``(…, C)`` to labels."""

    @property
    def link(self) -> Link:
        """The link that the probabilities come from."""

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """Threshold of each label; None where the most likely class is the label."""

    def predict(self, probabilities: Probabilities) -> Targets:
        """The predicted labels, ``(…, C)``."""

    def confidence(self, probabilities: Probabilities) -> Probabilities:
        """Probability of the least certain of an image's predictions, ``(…,)``."""

    def with_temperature(self, temperature: float) -> "Decision":
        """The decision with equal labels for probabilities of logits divided by a temperature."""

    def as_binary_problems(
        self, probabilities: Probabilities, targets: Targets
    ) -> tuple[Probabilities, npt.NDArray[np.integer]]:
        """The link's q problems per image one by one: class probabilities and true classes.

        Returns:
            ``(n·q, classes)`` and ``(n·q,)``; the problems of an image are neighboring rows.
        """

    def same_labels(
        self, expected: Probabilities, actual: Probabilities, tolerance: float
    ) -> npt.NDArray[np.bool_]:
        """Whether ``actual`` ``(n, m, C)`` gives the labels of ``expected`` ``(n, C)``: ``(n, m)``.

        A difference of at most ``tolerance`` is a tie, in which either label is right.
        """


@dataclass(frozen=True)
class Argmax:
    """Predict the most likely class."""

    link: Link = field(default=SOFTMAX, init=False)
    thresholds: None = field(default=None, init=False)

    def predict(self, probabilities: Probabilities) -> Targets:
        classes = np.arange(probabilities.shape[-1])
        predicted: Targets = probabilities.argmax(axis=-1)[..., np.newaxis] == classes
        return predicted

    def confidence(self, probabilities: Probabilities) -> Probabilities:
        confidence: Probabilities = probabilities.max(axis=-1)
        return confidence

    def with_temperature(self, temperature: float) -> "Argmax":
        return self

    def as_binary_problems(
        self, probabilities: Probabilities, targets: Targets
    ) -> tuple[Probabilities, npt.NDArray[np.integer]]:
        """See `Decision.as_binary_problems`: one problem with C classes."""
        return probabilities, targets.argmax(axis=1)

    def same_labels(
        self, expected: Probabilities, actual: Probabilities, tolerance: float
    ) -> npt.NDArray[np.bool_]:
        chosen = np.take_along_axis(expected, actual.argmax(axis=-1), axis=-1)
        same: npt.NDArray[np.bool_] = chosen >= expected.max(axis=-1, keepdims=True) - tolerance
        return same


@dataclass(frozen=True)
class Thresholds:
    """Predict every label whose probability reaches its threshold."""

    thresholds: tuple[float, ...]
    link: Link = field(default=SIGMOID, init=False)

    def predict(self, probabilities: Probabilities) -> Targets:
        predicted: Targets = probabilities >= np.array(self.thresholds)
        return predicted

    def confidence(self, probabilities: Probabilities) -> Probabilities:
        confidence: Probabilities = np.maximum(probabilities, 1 - probabilities).min(axis=-1)
        return confidence

    def with_temperature(self, temperature: float) -> "Thresholds":
        if temperature == 1:
            return self
        logits = self.link.logits(np.array(self.thresholds)) / temperature
        return Thresholds(tuple(map(float, self.link.probabilities(logits))))

    def as_binary_problems(
        self, probabilities: Probabilities, targets: Targets
    ) -> tuple[Probabilities, npt.NDArray[np.integer]]:
        """See `Decision.as_binary_problems`: one problem for each label, no or yes."""
        yes = probabilities.ravel()
        return np.stack([1 - yes, yes], axis=1), targets.ravel().astype(int)

    def same_labels(
        self, expected: Probabilities, actual: Probabilities, tolerance: float
    ) -> npt.NDArray[np.bool_]:
        tied = np.abs(expected - np.array(self.thresholds)) <= tolerance
        same = tied[:, np.newaxis] | (self.predict(expected)[:, np.newaxis] == self.predict(actual))
        every: npt.NDArray[np.bool_] = same.all(axis=-1)
        return every


ARGMAX = Argmax()


def choose_decision(link: Link, oof_probabilities: Probabilities, targets: Targets) -> Decision:
    """Choose how labels are predicted, on out-of-fold probabilities."""
    if link == SOFTMAX:
        return ARGMAX
    return Thresholds(
        tuple(
            choose_threshold(oof_probabilities[:, label], targets[:, label])
            for label in range(targets.shape[1])
        )
    )


def decision_from_thresholds(thresholds: Sequence[Json] | None) -> Decision:
    """Restore a decision from its `Decision.thresholds`."""
    return ARGMAX if thresholds is None else Thresholds(tuple(map(float, thresholds)))


def choose_threshold(probabilities: Probabilities, truth: npt.NDArray[np.bool_]) -> float:
    """Choose the threshold with the largest F1; one half where no other is better."""
    if not truth.any():
        return _HALF
    descending = np.argsort(-probabilities, kind="stable")
    levels = np.append(np.asarray(probabilities, np.float64)[descending], -1.0)
    given = np.arange(1, len(truth) + 1)
    scores = 2 * np.cumsum(truth[descending]) / (given + truth.sum())
    scores[levels[:-1] == levels[1:]] = 0  # No threshold separates equal probabilities.
    at_half = int((probabilities >= _HALF).sum())
    default = scores[at_half - 1] if at_half else 0.0
    best = int(scores.argmax())
    if scores[best] <= default:
        return _HALF
    return float(levels[best] + max(levels[best + 1], 0.0)) / 2
