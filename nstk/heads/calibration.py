"""Temperature: one number that makes probabilities as sure as left-out images say they may be.

Logits z are divided by a temperature T > 0 before they become probabilities (Guo et al. 2017). No
label changes; all probabilities get more or less sure together. With β = 1/T the training images,
each answered by a head that has not seen it, choose the minimum of

    Σ_i Σ_k w_ik·(−log p_ik(β·z_i)) + ½·(β − 1)²

over the right answers p_ik to the questions k of a link (see `links`), which is convex in β. The
last term stands for a doubt: few images that all were told apart would otherwise ask for
certainty. It is nothing at β = 1, so the log-loss of those images is never larger with the
temperature than without.

A solved head is often as sure as it should be, and a temperature learned from noise makes it worse
on other images. So T stays 1 unless the likelihoods of both differ by more than chance would make
them in one case of twenty (twice the logarithm of their ratio above 3.84; Wilks 1938).
"""

from dataclasses import dataclass

import numpy as np

from nstk.heads.decisions import LIKELIEST, Decision
from nstk.heads.links import Link, Matrix, Targets
from nstk.heads.reliability import Reliability, measure_reliability

_COLDEST, _HOTTEST = 0.05, 20.0
_HALVINGS = 60
_CHANCE = 3.84


@dataclass(frozen=True)
class Calibration:
    """A temperature and what it does to images, each answered by a head that has not seen it.

    Attributes:
        temperature: T; above 1 the probabilities were too sure, below 1 not sure enough.
        images: How many images it was learned from.
        before: Their reliability at temperature 1; None where there were none.
        after: Their reliability at this temperature.
    """

    temperature: float = 1.0
    images: int = 0
    before: Reliability | None = None
    after: Reliability | None = None


def calibrate(
    logits: Matrix, targets: Targets, weights: Matrix | None = None, decision: Decision = LIKELIEST
) -> Calibration:
    """Choose the temperature.

    Args:
        logits: z of each image from a head that has not seen it, ``(n, C)``; rows that are not
            finite do not count.
        targets: Which images have which labels, ``(n, C)``.
        weights: w, ``(n, q)``; 1 where none are given.
        decision: What gives labels; its link makes probabilities of logits.
    """
    known = np.isfinite(logits).all(axis=1)
    if not known.any():
        return Calibration()
    link, logits, targets = decision.link, logits[known], targets[known]
    weights = np.ones((len(targets), 1)) if weights is None else weights[known]
    temperature = fit_temperature(logits, targets, weights, link)

    def measure(logits: Matrix) -> Reliability:
        posed = decision.as_binary_problems(link.probabilities(logits), targets)
        return measure_reliability(*posed, images=len(targets))

    return Calibration(temperature, len(targets), measure(logits), measure(logits / temperature))


def fit_temperature(logits: Matrix, targets: Targets, weights: Matrix, link: Link) -> float:
    """Give the T, from 0.05 to 20, that minimizes the objective; 1 where it hardly matters.

    Args:
        logits: z, ``(n, C)``, finite.
        targets: Which images have which labels, ``(n, C)``.
        weights: w, ``(n, q)``.
        link: What makes probabilities of logits.
    """

    def gradient(beta: float) -> float:
        errors = link.probabilities(beta * logits) - targets
        return float((weights * errors * logits).sum()) + beta - 1.0

    def loss(logits: Matrix) -> float:
        return float((weights * link.losses(targets, logits)).sum())

    low, high = 1 / _HOTTEST, 1 / _COLDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if gradient(middle) > 0 else (middle, high)
    temperature = 2 / (low + high)
    gained = loss(logits) - loss(logits / temperature)
    return temperature if 2 * gained > _CHANCE else 1.0
