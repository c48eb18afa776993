"""What is found in images that were read: duplicates, poor quality, outliers."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nstk.auditing.findings import MEASURES, ImageIssue
from nstk.auditing.reading import AuditedImage
from nstk.images.hashes import group_duplicates
from nstk.types import FeatureVectors, Matrix

FENCE = 1.5
"""Interquartile ranges beyond a quartile from which a value is an outlier (Tukey 1977)."""

_CORRELATION = 0.8
_FLAT = 4.0
_CLOSE_COLOR = 24.0
_TINY_SHARE = 0.25
_NEIGHBORS = 5
_BLOCK = 1024


def group_identical(images: Sequence[AuditedImage]) -> list[int]:
    """The group of each image; those with the same bytes form a group."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(image.digest, len(numbers)) for image in images]


def group_similar(images: Sequence[AuditedImage], distance: int) -> list[int]:
    """The group of each image; those that look the same form a group.

    Their hashes differ in at most ``distance`` bits and their thumbnails are correlated. So blank
    images of different colors, or two products on white paper, are not alike.
    """
    if not images:
        return []
    thumbnails = _Thumbnails(np.stack([image.thumbnail for image in images]))
    return group_duplicates([image.hash for image in images], distance, thumbnails.find_similar)


def list_groups(groups: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The indices of every group of at least two images, in the order of their first members."""
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    yield from (tuple(indices) for indices in members.values() if len(indices) > 1)


def differ(indices: Sequence[int], value: Callable[[int], Hashable]) -> bool:
    """Whether a value is not the same for all members of a group."""
    return len({value(index) for index in indices}) > 1


class _Thumbnails:
    """Compares one thumbnail with many others; takes uint8 ``(n, height, width, 3)``."""

    def __init__(self, levels: npt.NDArray[np.uint8]) -> None:
        self._levels = levels.reshape(len(levels), -1)
        self._means = np.array([each.mean(axis=(0, 1)) for each in levels])
        pairs = zip(levels, self._means, strict=True)
        self._stds = np.array([(each - mean).std() for each, mean in pairs])

    def find_similar(self, index: int, others: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Which of the others ``(m,)`` show the same as one, ``(m,)``."""
        colors = np.abs(self._means[others] - self._means[index]).max(axis=1)
        std, stds = self._stds[index], self._stds[others]
        least = _CORRELATION * self._levels.shape[1] * std * stds
        # In nearly blank images correlation compares noise: there the color decides.
        flat = np.maximum(std, stds) < _FLAT
        similar: npt.NDArray[np.bool_]
        similar = np.where(flat, colors < _CLOSE_COLOR, self._products(index, others) > least)
        return similar

    def _products(self, index: int, others: npt.NDArray[np.intp]) -> npt.NDArray[np.floating]:
        """Dot products of one centered thumbnail with each of the others, ``(m,)``."""
        mean = np.tile(self._means[index], self._levels.shape[1] // 3)
        one = (self._levels[index] - mean).astype(np.float32)
        blocks = np.array_split(others, -(-len(others) // _BLOCK))
        return np.concatenate([self._levels[block].astype(np.float32) @ one for block in blocks])


class _Kind(NamedTuple):
    """One kind of poor quality: beyond the limit, upwards or downwards by the sign.

    One in a thousand good photographs is beyond one of these limits; of photographs blurred by
    σ = 2 pixels at 256, three quarters are.
    """

    limit: float
    sign: int
    adjective: str
    median: str
    advice: str


_SEES_MORE = "use {} ones if there are any, as a network sees more in them"

_KINDS = {
    "tiny": _Kind(32, -1, "tiny", "{:.0f} px", _SEES_MORE.format("larger")),
    "blurred": _Kind(0.62, 1, "without sharp edges", "blur {:.2f}", _SEES_MORE.format("sharper")),
    "dark": _Kind(
        0.1,
        -1,
        "nearly black",
        "brightness {:.2f}",
        "brighten all of them alike first, as networks see little in them (16-bit files that use "
        "a small part of their range look like that)",
    ),
    "low_contrast": _Kind(
        0.05,
        -1,
        "nearly empty",
        "contrast {:.2f}",
        "stretch the contrast of all of them first, as networks see little in them",
    ),
}


def find_quality_issues(
    images: Sequence[AuditedImage],
) -> tuple[Mapping[str, tuple[ImageIssue, ...]], list[str]]:
    """Find the images beyond the limits of quality.

    If three quarters of the images are beyond a limit, that is the kind of data they are. A
    notice says so, and only images that stand out even among these are listed: beyond Tukey's
    fence, or for sizes below a quarter of the median. Returns the issues by kind, the worst
    first, and the notices.
    """
    issues, notices = {}, []
    for name, kind in _KINDS.items():
        measured = [getattr(image.quality, MEASURES[name]) for image in images]
        values = np.array(measured, np.float64)
        badness, limit = kind.sign * values, kind.sign * kind.limit
        lower, median, upper = np.quantile(badness, (0.25, 0.5, 0.75))
        count = int((badness > limit).sum())
        usual = 4 * count >= 3 * len(values)
        if usual:
            notices.append(_describe(kind, values, count))
        if name == "tiny":
            share = _TINY_SHARE * median
            limit = share if usual else min(limit, share)
        elif usual:
            limit = upper + FENCE * (upper - lower)
        worst = np.argsort(-badness, kind="stable")
        issues[name] = tuple(
            ImageIssue(images[index].path, float(values[index]))
            for index in worst
            if badness[index] > limit
        )
    return issues, notices


def _describe(kind: _Kind, values: npt.NDArray[np.float64], count: int) -> str:
    median = kind.median.format(float(np.median(values)))
    which = "All images are" if count == len(values) else f"{count} of {len(values)} images are"
    return (
        f"{which} {kind.adjective} ({median} at the median). As that is the kind of data they "
        f"are, only images far beyond the others are listed; {kind.advice}."
    )


def outlier_scores(vectors: FeatureVectors, groups: Sequence[int]) -> Matrix:
    """How far every image is from its nearest neighbors, compared with what is usual.

    The distance is the mean Euclidean distance to the five nearest images in standardized
    features; near-duplicates of an image are not its neighbors. The score is the distance above
    the upper quartile in interquartile ranges: beyond 1.5 a value is an outlier (Tukey 1977).
    With too few images all scores are 0.
    """
    count = len(vectors)
    if len(set(groups)) <= 2 * _NEIGHBORS:
        return np.zeros(count)
    group = np.array(groups)
    std = vectors.std(axis=0)
    standard = (vectors - vectors.mean(axis=0)) / np.where(std > 0, std, 1)
    squares = (standard**2).sum(axis=1)
    distances = np.empty(count)
    for start in range(0, count, _BLOCK):
        rows = slice(start, start + _BLOCK)
        squared = squares[rows, np.newaxis] + squares - 2 * standard[rows] @ standard.T
        squared[group[rows, np.newaxis] == group] = np.inf
        nearest = np.partition(squared, _NEIGHBORS - 1, axis=1)[:, :_NEIGHBORS]
        distances[rows] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
    lower, upper = np.quantile(distances, (0.25, 0.75))
    scores: Matrix = (distances - upper) / max(upper - lower, 1e-9)
    return scores


def find_outliers(scores: Matrix) -> list[int]:
    """Indices of the outliers, the highest score first."""
    far = np.flatnonzero(scores > FENCE)
    return [int(index) for index in far[np.argsort(-scores[far], kind="stable")]]
