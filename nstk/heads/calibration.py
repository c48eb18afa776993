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

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.decisions import ARGMAX, Decision
from nstk.heads.links import Link
from nstk.heads.logistic import sample_weights
from nstk.heads.metrics import Interval
from nstk.types import Json, Labels, Matrix, Probabilities, Targets

_BINS = 15
_RESAMPLES = 1000
_RESAMPLED_AT_ONCE = 100_000


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions with about the same probability, and their share of all weight."""

    low: float
    high: float
    images: int
    weight: float
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How well probabilities are calibrated.

    ``ece`` is the expected calibration error, with its 95 % bootstrap interval. Noise can only
    increase this error, and resampling adds noise, so the interval is too high rather than too low.
    """

    ece: float
    ece_interval: Interval
    bins: tuple[ReliabilityBin, ...]

    def to_dict(self) -> dict[str, Json]:
        """Convert to JSON values."""
        return asdict(self)


def measure_reliability(
    probabilities: Probabilities, labels: Labels, seed: int = 0, *, weights: Matrix | None = None
) -> Reliability:
    """Compare probabilities with true classes.

    Weights are ``(images, q)``. The q rows of an image, which are neighbors, are not independent,
    so the bootstrap resamples images.
    """
    weights = np.ones((len(labels), 1)) if weights is None else weights
    bins = bin_by_confidence(probabilities, labels, weights.ravel())
    error = expected_calibration_error(bins)
    indices = bin_indices(probabilities).reshape(weights.shape)
    gaps = (probabilities.argmax(axis=1) == labels) - probabilities.max(axis=1)
    gaps = gaps.reshape(weights.shape) * weights
    generator, count, errors = np.random.default_rng(seed), len(weights), list[float]()
    while len(errors) < _RESAMPLES:
        some = min(_RESAMPLES - len(errors), max(1, _RESAMPLED_AT_ONCE // weights.size))
        drawn = generator.integers(count, size=(some, count))
        places = indices[drawn] + _BINS * np.arange(some)[:, np.newaxis, np.newaxis]
        sums = np.bincount(places.ravel(), gaps[drawn].ravel(), minlength=some * _BINS)
        totals = weights[drawn].reshape(some, -1).sum(axis=1)
        errors += list(np.abs(sums.reshape(some, _BINS)).sum(axis=1) / totals)
    low, high = np.quantile(errors, (0.025, 0.975))
    return Reliability(error, (min(float(low), error), max(float(high), error)), bins)


def bin_by_confidence(
    probabilities: Probabilities, labels: Labels, weights: npt.NDArray[np.float64] | None = None
) -> tuple[ReliabilityBin, ...]:
    """Group predictions into 15 equally wide bins by the probability of the predicted class."""
    weights = np.ones(len(labels)) if weights is None else weights
    confidences = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    indices = bin_indices(probabilities)
    return tuple(
        ReliabilityBin(
            low=float(index) / _BINS,
            high=float(index + 1) / _BINS,
            images=int(chosen.sum()),
            weight=float(weights[chosen].sum() / weights.sum()),
            confidence=float(np.average(confidences[chosen], weights=weights[chosen])),
            accuracy=float(np.average(correct[chosen], weights=weights[chosen])),
        )
        for index, chosen in ((index, indices == index) for index in np.unique(indices))
    )


def bin_indices(probabilities: Probabilities) -> npt.NDArray[np.int64]:
    """Bin of each row of ``(n, C)`` by its largest probability, from 0."""
    confidences = probabilities.max(axis=1)
    indices: npt.NDArray[np.int64] = np.ceil(confidences * _BINS).astype(np.int64) - 1
    return np.clip(indices, 0, _BINS - 1)


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error Σ_b w_b·|accuracy_b − confidence_b| (Guo 2017)."""
    return sum(each.weight * abs(each.accuracy - each.confidence) for each in bins)


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
    weights = sample_weights(targets, link, False) if weights is None else weights[known]
    temperature = fit_temperature(logits, targets, weights, link)

    def measure(logits: Matrix) -> Reliability:
        problems = decision.as_binary_problems(link.probabilities(logits), targets)
        return measure_reliability(*problems, weights=weights)

    return Calibration(temperature, len(targets), measure(logits), measure(logits / temperature))


def fit_temperature(logits: Matrix, targets: Targets, weights: Matrix, link: Link) -> float:
    """The T from 0.05 to 20 that minimizes the objective; 1 if the gain is not significant."""

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
