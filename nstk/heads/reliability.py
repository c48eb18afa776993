"""Reliability: of the images predicted with a probability of 80 %, are 80 in 100 correct?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.metrics import Interval
from nstk.types import Json, Labels, Probabilities

_BINS = 15
_RESAMPLES = 1000


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions with about the same probability.

    Attributes:
        low: Lower bound of the probability, exclusive.
        high: Upper bound, inclusive.
        images: Number of predictions.
        confidence: Mean probability of the predicted class.
        accuracy: Fraction that is correct.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How well probabilities are calibrated.

    Attributes:
        ece: Expected calibration error, in [0, 1].
        ece_interval: 95 % bootstrap interval of the error. Noise can only increase this error,
            and resampling adds noise, so the interval is too high rather than too low.
        bins: Confidence and accuracy by bin, least confident first.
    """

    ece: float
    ece_interval: Interval
    bins: tuple[ReliabilityBin, ...]

    def to_dict(self) -> dict[str, Json]:
        """Convert to JSON values."""
        return asdict(self)


def measure_reliability(
    probabilities: Probabilities,
    labels: Labels,
    seed: int = 0,
    *,
    images: int | None = None,
) -> Reliability:
    """Compare probabilities with true classes.

    Args:
        probabilities: ``(n, C)`` with n ≥ 1.
        labels: True classes, ``(n,)``.
        seed: Random seed of the bootstrap.
        images: Number of images if each has several rows, next to each other and equally many.
            The rows of an image are not independent, so they are resampled together. None if
            each row is an image.
    """
    bins = bin_by_confidence(probabilities, labels)
    error = expected_calibration_error(bins)
    indices = bin_indices(probabilities)
    gaps = (probabilities.argmax(axis=1) == labels) - probabilities.max(axis=1)
    generator = np.random.default_rng(seed)
    count = len(gaps) if images is None else images
    rows = np.arange(len(gaps)).reshape(count, -1)
    drawn = (rows[generator.integers(count, size=count)].ravel() for _ in range(_RESAMPLES))
    errors = [np.abs(np.bincount(indices[row], gaps[row])).sum() / len(gaps) for row in drawn]
    low, high = np.quantile(errors, (0.025, 0.975))
    return Reliability(error, (min(float(low), error), max(float(high), error)), bins)


def bin_by_confidence(probabilities: Probabilities, labels: Labels) -> tuple[ReliabilityBin, ...]:
    """Group predictions into 15 equally wide bins by the probability of the predicted class.

    Args:
        probabilities: ``(n, C)``.
        labels: True classes, ``(n,)``.

    Returns:
        The bins that are not empty, least confident first.
    """
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    indices = bin_indices(probabilities)
    return tuple(
        ReliabilityBin(
            low=float(index) / _BINS,
            high=float(index + 1) / _BINS,
            images=int(np.sum(indices == index)),
            confidence=float(confidences[indices == index].mean(dtype=np.float64)),
            accuracy=float(correct[indices == index].mean()),
        )
        for index in np.unique(indices)
    )


def bin_indices(probabilities: Probabilities) -> npt.NDArray[np.int64]:
    """Bin of each row of ``(n, C)`` by its largest probability, from 0."""
    confidences = probabilities.max(axis=1)
    indices: npt.NDArray[np.int64] = np.ceil(confidences * _BINS).astype(np.int64) - 1
    return np.clip(indices, 0, _BINS - 1)


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error Σ_b n_b/n·|accuracy_b − confidence_b| (Guo 2017).

    Args:
        bins: Bins from `bin_by_confidence`, at least one.
    """
    total = sum(each.images for each in bins)
    return sum(each.images * abs(each.accuracy - each.confidence) for each in bins) / total
