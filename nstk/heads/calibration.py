"""Temperature scaling: one number that calibrates probabilities on out-of-fold logits.

Logits z are divided by a temperature T > 0 before they become probabilities (Guo et al. 2017). The
labels stay the same; all probabilities move towards or away from certainty together. With β = 1/T,
the out-of-fold logits of the training images choose the minimum of

    Σ_i Σ_k w_ik·(−log p_ik(β·z_i)) + ½·(β − 1)²

where p_ik is the probability of the true class of image i in problem k of a link (see `links`).
This is convex in β. The last term is a prior: a few images that are all classified correctly would
otherwise lead to certainty. It vanishes at β = 1, so the temperature never increases the
out-of-fold log-loss.

A solved head is often calibrated already, and a temperature fitted to noise makes it worse on other
images. So T stays 1 unless a likelihood-ratio test rejects it at 5 % (twice the logarithm of the
ratio above 3.84; Wilks 1938).
"""

from dataclasses import dataclass

import numpy as np

from nstk.heads.decisions import ARGMAX, Decision
from nstk.heads.links import Link
from nstk.heads.reliability import Reliability, measure_reliability
from nstk.types import Matrix, Targets

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.05, 20.0
_BISECTIONS = 60
_CRITICAL_VALUE = 3.84


@dataclass(frozen=True)
class Calibration:
    """A temperature and its effect on out-of-fold predictions.

    Attributes:
        temperature: T; above 1 the probabilities were overconfident, below 1 underconfident.
        images: Number of images that it was fitted on.
        before: Their reliability at temperature 1; None without images.
        after: Their reliability at this temperature.
    """

    temperature: float = 1.0
    images: int = 0
    before: Reliability | None = None
    after: Reliability | None = None


def calibrate(
    oof_logits: Matrix, targets: Targets, weights: Matrix | None = None, decision: Decision = ARGMAX
) -> Calibration:
    """Choose the temperature.

    Args:
        oof_logits: z, ``(n, C)``; rows that are not finite are ignored.
        targets: The labels of the images, ``(n, C)``.
        weights: w, ``(n, q)``; None weights all images equally.
        decision: The decision; its link turns logits into probabilities.
    """
    known = np.isfinite(oof_logits).all(axis=1)
    if not known.any():
        return Calibration()
    link, logits, targets = decision.link, oof_logits[known], targets[known]
    weights = np.ones((len(targets), 1)) if weights is None else weights[known]
    temperature = fit_temperature(logits, targets, weights, link)

    def measure(logits: Matrix) -> Reliability:
        problems = decision.as_binary_problems(link.probabilities(logits), targets)
        return measure_reliability(*problems, images=len(targets))

    return Calibration(temperature, len(targets), measure(logits), measure(logits / temperature))


def fit_temperature(logits: Matrix, targets: Targets, weights: Matrix, link: Link) -> float:
    """Fit the T, from 0.05 to 20, that minimizes the objective; 1 if the gain is not significant.

    Args:
        logits: z, ``(n, C)``, finite.
        targets: The labels of the images, ``(n, C)``.
        weights: w, ``(n, q)``.
        link: The link from logits to probabilities.
    """

    def gradient(beta: float) -> float:
        errors = link.probabilities(beta * logits) - targets
        return float((weights * errors * logits).sum()) + beta - 1.0

    def loss(logits: Matrix) -> float:
        return float((weights * link.losses(targets, logits)).sum())

    low, high = 1 / _MAX_TEMPERATURE, 1 / _MIN_TEMPERATURE
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if gradient(middle) > 0 else (middle, high)
    temperature = 2 / (low + high)
    gain = loss(logits) - loss(logits / temperature)
    return temperature if 2 * gain > _CRITICAL_VALUE else 1.0
