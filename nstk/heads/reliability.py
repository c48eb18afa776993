"""Whether probabilities mean what they say: of images given 80 %, are 80 in 100 recognized?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.metrics import Interval

Probabilities = npt.NDArray[np.floating]

_BINS = 15
_RESAMPLES = 1000


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose label came with about the same probability.

    Attributes:
        low: The bin holds probabilities above this …
        high: … up to this.
        images: How many images.
        confidence: Mean probability of their labels.
        accuracy: Share of them that were recognized.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """How far probabilities are from the truth.

    Attributes:
        ece: Expected calibration error, in [0, 1].
        ece_interval: 95 % of what it would have been on other such images, by resampling
            these. Noise only ever adds to this error, and resampling adds noise, so the interval
            lies too high rather than too low.
        bins: Probability against accuracy, least sure first.
    """

    ece: float
    ece_interval: Interval
    bins: tuple[ReliabilityBin, ...]


def measure_reliability(
    probabilities: Probabilities,
    labels: npt.NDArray[np.integer],
    seed: int = 0,
    *,
    images: int | None = None,
) -> Reliability:
    """Compare probabilities with what turned out to be true.

    Args:
        probabilities: ``(n, C)`` with n ≥ 1.
        labels: True classes, ``(n,)``.
        seed: Of the resampling.
        images: How many images the rows are about, as many for each, the rows of one next to
            each other: they are drawn together, as they are not independent. None for a row each.
    """
    bins = sort_by_confidence(probabilities, labels)
    error = expected_calibration_error(bins)
    places = place_in_bins(probabilities)
    gaps = (probabilities.argmax(axis=1) == labels) - probabilities.max(axis=1)
    generator = np.random.default_rng(seed)
    count = len(gaps) if images is None else images
    rows = np.arange(len(gaps)).reshape(count, -1)
    drawn = (rows[generator.integers(count, size=count)].ravel() for _ in range(_RESAMPLES))
    errors = [np.abs(np.bincount(places[row], gaps[row])).sum() / len(gaps) for row in drawn]
    low, high = np.quantile(errors, (0.025, 0.975))
    return Reliability(error, (min(float(low), error), max(float(high), error)), bins)


def sort_by_confidence(
    probabilities: Probabilities, labels: npt.NDArray[np.integer]
) -> tuple[ReliabilityBin, ...]:
    """Sort predictions into 15 equally wide bins of the likeliest class's probability.

    Args:
        probabilities: ``(n, C)``.
        labels: True classes, ``(n,)``.

    Returns:
        The bins that are not empty, least sure first.
    """
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    places = place_in_bins(probabilities)
    return tuple(
        ReliabilityBin(
            low=float(place) / _BINS,
            high=float(place + 1) / _BINS,
            images=int(np.sum(places == place)),
            confidence=float(confidences[places == place].mean(dtype=np.float64)),
            accuracy=float(correct[places == place].mean()),
        )
        for place in np.unique(places)
    )


def place_in_bins(probabilities: Probabilities) -> npt.NDArray[np.int64]:
    """For each row of ``(n, C)`` the bin, from 0, that its largest probability lies in."""
    confidences = probabilities.max(axis=1)
    places: npt.NDArray[np.int64] = np.ceil(confidences * _BINS).astype(np.int64) - 1
    return np.clip(places, 0, _BINS - 1)


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Give the expected calibration error Σ_b n_b/n·|accuracy_b − confidence_b| (Guo 2017).

    Args:
        bins: What `sort_by_confidence` gave, at least one.
    """
    total = sum(each.images for each in bins)
    return sum(each.images * abs(each.accuracy - each.confidence) for each in bins) / total
