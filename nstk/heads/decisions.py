"""Decisions: which labels an image is given for its probabilities.

Where every image has one label it is given the likeliest. Where it may have any number, each
label has a threshold of its own, chosen on probabilities from heads that had not seen the image:
F1, which weighs what is missed as what is wrongly given, is seldom largest at one half.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nstk.heads.links import SIGMOID, SOFTMAX, Link, Targets

Probabilities = npt.NDArray[np.floating]

_MIDDLE = 0.5


class Decision(Protocol):
    """One way from probabilities ``(…, C)`` to labels."""

    @property
    def link(self) -> Link:
        """Where its probabilities come from."""

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """From which probability on each label is given; None where the likeliest is."""

    def assign(self, probabilities: Probabilities) -> Targets:
        """Say which labels are given, ``(…, C)``."""

    def confidence(self, probabilities: Probabilities) -> Probabilities:
        """The probability of the least sure of an image's answers, ``(…,)``."""

    def divide(self, temperature: float) -> "Decision":
        """Give the same labels for probabilities whose logits are divided by a temperature."""

    def as_binary_problems(
        self, probabilities: Probabilities, targets: Targets
    ) -> tuple[Probabilities, npt.NDArray[np.integer]]:
        """The link's questions one by one: probabilities of the answers, and the right one.

        Returns:
            ``(n·q, answers)`` and ``(n·q,)``, the questions of an image in neighboring rows.
        """

    def agree(
        self, one: Probabilities, other: Probabilities, tolerance: float
    ) -> npt.NDArray[np.bool_]:
        """Whether ``other`` ``(n, m, C)`` gives the labels of ``one`` ``(n, C)``: ``(n, m)``.

        What differs by no more than ``tolerance`` is a tie, and either label is right.
        """


@dataclass(frozen=True)
class Likeliest:
    """Give the likeliest label."""

    link: Link = field(default=SOFTMAX, init=False)
    thresholds: None = field(default=None, init=False)

    def assign(self, probabilities: Probabilities) -> Targets:
        """See `Decision.assign`."""
        classes = np.arange(probabilities.shape[-1])
        given: Targets = probabilities.argmax(axis=-1)[..., np.newaxis] == classes
        return given

    def confidence(self, probabilities: Probabilities) -> Probabilities:
        """See `Decision.sureness`."""
        sure: Probabilities = probabilities.max(axis=-1)
        return sure

    def divide(self, temperature: float) -> "Likeliest":
        """See `Decision.divide`."""
        return self

    def as_binary_problems(
        self, probabilities: Probabilities, targets: Targets
    ) -> tuple[Probabilities, npt.NDArray[np.integer]]:
        """See `Decision.as_binary_problems`: which class?"""
        return probabilities, targets.argmax(axis=1)

    def agree(
        self, one: Probabilities, other: Probabilities, tolerance: float
    ) -> npt.NDArray[np.bool_]:
        """See `Decision.agree`."""
        chosen = np.take_along_axis(one, other.argmax(axis=-1), axis=-1)
        same: npt.NDArray[np.bool_] = chosen >= one.max(axis=-1, keepdims=True) - tolerance
        return same


@dataclass(frozen=True)
class Thresholds:
    """Give every label whose probability reaches its threshold.

    Attributes:
        thresholds: In [0, 1], in the order of the labels.
    """

    thresholds: tuple[float, ...]
    link: Link = field(default=SIGMOID, init=False)

    def assign(self, probabilities: Probabilities) -> Targets:
        """See `Decision.assign`."""
        given: Targets = probabilities >= np.array(self.thresholds)
        return given

    def confidence(self, probabilities: Probabilities) -> Probabilities:
        """See `Decision.sureness`."""
        sure: Probabilities = np.maximum(probabilities, 1 - probabilities).min(axis=-1)
        return sure

    def divide(self, temperature: float) -> "Thresholds":
        """See `Decision.divide`."""
        if temperature == 1:
            return self
        logits = self.link.logits(np.array(self.thresholds)) / temperature
        return Thresholds(tuple(map(float, self.link.probabilities(logits))))

    def as_binary_problems(
        self, probabilities: Probabilities, targets: Targets
    ) -> tuple[Probabilities, npt.NDArray[np.integer]]:
        """See `Decision.as_binary_problems`: this label, no or yes?"""
        yes = probabilities.ravel()
        return np.stack([1 - yes, yes], axis=1), targets.ravel().astype(int)

    def agree(
        self, one: Probabilities, other: Probabilities, tolerance: float
    ) -> npt.NDArray[np.bool_]:
        """See `Decision.agree`."""
        tied = np.abs(one - np.array(self.thresholds)) <= tolerance
        same = tied[:, np.newaxis] | (self.assign(one)[:, np.newaxis] == self.assign(other))
        every: npt.NDArray[np.bool_] = same.all(axis=-1)
        return every


LIKELIEST = Likeliest()


def choose_decision(link: Link, held_out: Probabilities, targets: Targets) -> Decision:
    """Choose how labels are given, by answers of heads that had not seen the image.

    Args:
        link: Where the probabilities come from.
        held_out: Probabilities, ``(n, C)``.
        targets: ``(n, C)``.
    """
    if link == SOFTMAX:
        return LIKELIEST
    return Thresholds(
        tuple(
            choose_threshold(held_out[:, label], targets[:, label])
            for label in range(targets.shape[1])
        )
    )


def restore_decision(thresholds: Sequence[Any] | None) -> Decision:
    """Make a decision of what `Decision.thresholds` was."""
    return LIKELIEST if thresholds is None else Thresholds(tuple(map(float, thresholds)))


def choose_threshold(probabilities: Probabilities, truth: npt.NDArray[np.bool_]) -> float:
    """Give the threshold with the largest F1; one half where no other is better.

    Args:
        probabilities: Of one label, ``(n,)``.
        truth: Whether the images have it.

    Returns:
        One half, or the middle between two neighboring probabilities.
    """
    if not truth.any():
        return _MIDDLE
    falling = np.argsort(-probabilities, kind="stable")
    levels = np.append(np.asarray(probabilities, np.float64)[falling], -1.0)
    given = np.arange(1, len(truth) + 1)
    scores = 2 * np.cumsum(truth[falling]) / (given + truth.sum())
    scores[levels[:-1] == levels[1:]] = 0  # No threshold stands between equal probabilities.
    at_half = int((probabilities >= _MIDDLE).sum())
    usual = scores[at_half - 1] if at_half else 0.0
    best = int(scores.argmax())
    if scores[best] <= usual:
        return _MIDDLE
    return float(levels[best] + max(levels[best + 1], 0.0)) / 2
