"""Labels that are likely wrong, and outliers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nstk.heads.head import fit_head
from nstk.heads.links import SOFTMAX, Link
from nstk.progress import Reporter, no_progress
from nstk.types import FeatureVectors, Matrix, Targets

_NEIGHBORS = 5
_BLOCK = 1024

FENCE = 1.5
"""Interquartile ranges beyond a quartile from which a value is an outlier (Tukey 1977)."""


def predict_out_of_fold(
    vectors: FeatureVectors,
    targets: Targets,
    groups: Sequence[int],
    seed: int,
    *,
    link: Link = SOFTMAX,
    on_progress: Reporter = no_progress,
) -> Matrix:
    """Out-of-fold probabilities of every class.

    Near-duplicates are in the same fold, so that a duplicate with the same wrong label does not
    confirm it.

    Args:
        vectors: Features, ``(n, D)``.
        targets: Which images have which labels, ``(n, C)``.
        groups: Group of near-duplicates of each image.
        seed: Of the folds.
        link: From logits to probabilities.
        on_progress: Called for the stage ``"head"``.

    Returns:
        ``(n, C)``; NaN where no head can be fitted without the image.
    """
    head = fit_head(
        vectors, targets, seed, link=link, groups=np.array(groups), on_progress=on_progress
    )
    probabilities: Matrix = link.probabilities(head.oof_logits)
    return probabilities


def find_suspects(probabilities: Matrix, labels: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Find labels that are likely wrong (confident learning; Northcutt, Jiang and Chuang 2021).

    An image counts toward the likeliest of those classes whose probability is at least the
    average that images of that class have. It is suspect if that class is not its label, and
    likelier than its label. Unlike a fixed threshold this works for classes that are hard to tell
    apart and for overconfident heads; and a class of few images, which get low probabilities
    themselves, does not claim those of others.

    Args:
        probabilities: Out-of-fold, ``(n, C)``; rows of NaN are left out.
        labels: ``(n,)``.

    Returns:
        Index and likely class of each suspect, the least likely label first.
    """
    known: npt.NDArray[np.bool_] = np.isfinite(probabilities.sum(axis=1))
    own = probabilities[np.arange(len(labels)), labels]
    average = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels[known]):
        average[label] = own[known & (labels == label)].mean()
    counted = np.where(known[:, np.newaxis] & (probabilities >= average), probabilities, -1.0)
    likely = counted.argmax(axis=1)
    suspect = np.flatnonzero(counted.max(axis=1) > np.maximum(own, 0))
    suspect = suspect[np.argsort(own[suspect], kind="stable")]
    return [(int(index), int(likely[index])) for index in suspect]


def find_label_errors(probabilities: Matrix, targets: Targets) -> list[tuple[int, int]]:
    """Find labels that are likely wrong or missing, where images may have several.

    Every label is a binary problem of its own for `find_suspects`.

    Args:
        probabilities: Out-of-fold, ``(n, C)``; rows of NaN are left out.
        targets: Which images have which labels, ``(n, C)``.

    Returns:
        Index of the image and of the label, the least likely first.
    """
    found = []
    for label, (yes, truth) in enumerate(zip(probabilities.T, targets.T, strict=True)):
        binary = np.stack([1 - yes, yes], axis=1)
        for index, other in find_suspects(binary, truth.astype(np.int64)):
            found.append((float(binary[index, 1 - other]), index, label))
    return [(index, label) for _, index, label in sorted(found)]


def outlier_scores(vectors: FeatureVectors, groups: Sequence[int]) -> Matrix:
    """How far every image is from its nearest neighbors, compared with what is usual.

    The distance is the mean Euclidean distance to the five nearest images in standardized
    features; near-duplicates of an image are not its neighbors. The score is the distance above
    the upper quartile in interquartile ranges: beyond 1.5 a value is an outlier (Tukey 1977).

    Args:
        vectors: ``(n, D)``.
        groups: Group of near-duplicates of each image.

    Returns:
        ``(n,)``; zeros if there are too few images.
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
