"""Labels that are likely wrong, and images unlike all others."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nstk.heads.head import fit_head
from nstk.heads.links import SOFTMAX, Link, Matrix, Targets
from nstk.progress import Reporter, no_progress

_NEIGHBORS = 5
_BLOCK = 1024

FENCE = 1.5
"""How many spreads beyond a quartile a value is an outlier (Tukey 1977)."""


def judge_labels(
    vectors: npt.NDArray[np.float32],
    targets: Targets,
    groups: Sequence[int],
    seed: int,
    *,
    link: Link = SOFTMAX,
    on_progress: Reporter = no_progress,
) -> Matrix:
    """Give the probabilities of every class from a head that has not seen the image.

    What looks alike is left out together, so that a copy with the same wrong label is no witness
    for it.

    Args:
        vectors: Features, ``(n, D)``.
        targets: Which images have which labels, ``(n, C)``.
        groups: For each image the number of its group of copies.
        seed: Of the folds.
        link: What makes probabilities of logits.
        on_progress: Told about the stage ``"head"``.

    Returns:
        ``(n, C)``; NaN where no head can do without the image.
    """
    head = fit_head(
        vectors, targets, seed, link=link, groups=np.array(groups), on_progress=on_progress
    )
    probabilities: Matrix = link.probabilities(head.held_out)
    return probabilities


def find_suspects(probabilities: Matrix, labels: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Find labels that are likely wrong (confident learning; Northcutt, Jiang and Chuang 2021).

    An image is counted to the likeliest of those classes whose probability is at least what the
    images of that class have on average; it is suspect if that is not its label, and likelier
    than that. Unlike a fixed bar this holds for classes that are hard to tell apart and for heads
    that are too sure; and a class of few images, which have little probability themselves, does
    not claim those of others.

    Args:
        probabilities: ``(n, C)`` from heads that have not seen the image; rows of NaN are left
            out.
        labels: ``(n,)``.

    Returns:
        Position and likely class of each suspect, the least likely label first.
    """
    judged: npt.NDArray[np.bool_] = np.isfinite(probabilities.sum(axis=1))
    own = probabilities[np.arange(len(labels)), labels]
    usual = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels[judged]):
        usual[label] = own[judged & (labels == label)].mean()
    counted = np.where(judged[:, np.newaxis] & (probabilities >= usual), probabilities, -1.0)
    likely = counted.argmax(axis=1)
    suspect = np.flatnonzero(counted.max(axis=1) > np.maximum(own, 0))
    suspect = suspect[np.argsort(own[suspect], kind="stable")]
    return [(int(place), int(likely[place])) for place in suspect]


def find_doubts(probabilities: Matrix, targets: Targets) -> list[tuple[int, int]]:
    """Find labels that are likely wrong or missing, where images may have several.

    Every label is judged on its own, as `find_suspects` judges classes: has an image got it, or
    not?

    Args:
        probabilities: ``(n, C)`` from heads that have not seen the image; rows of NaN are left
            out.
        targets: Which images have which labels, ``(n, C)``.

    Returns:
        Position of the image and of the label, the least likely one first.
    """
    found = []
    for label, (yes, truth) in enumerate(zip(probabilities.T, targets.T, strict=True)):
        answers = np.stack([1 - yes, yes], axis=1)
        for place, other in find_suspects(answers, truth.astype(np.int64)):
            found.append((float(answers[place, 1 - other]), place, label))
    return [(place, label) for _, place, label in sorted(found)]


def outlier_scores(vectors: npt.NDArray[np.float32], groups: Sequence[int]) -> Matrix:
    """Say how far every image is from its nearest others, against what is usual.

    The distance is the mean Euclidean one to five neighbors in standardized features; copies of
    an image are no neighbors of it. It is told in spreads above the upper quartile, a spread
    being that between the quartiles: beyond 1.5 a value is an outlier (Tukey 1977).

    Args:
        vectors: ``(n, D)``.
        groups: For each image the number of its group of copies.

    Returns:
        ``(n,)``; zeros where there are too few images.
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
        apart = squares[rows, np.newaxis] + squares - 2 * standard[rows] @ standard.T
        apart[group[rows, np.newaxis] == group] = np.inf
        nearest = np.partition(apart, _NEIGHBORS - 1, axis=1)[:, :_NEIGHBORS]
        distances[rows] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
    lower, upper = np.quantile(distances, (0.25, 0.75))
    spreads: Matrix = (distances - upper) / max(upper - lower, 1e-9)
    return spreads


def find_outliers(ood_score: Matrix) -> list[int]:
    """Positions of the images unlike all others, the strangest first."""
    far = np.flatnonzero(ood_score > FENCE)
    return [int(place) for place in far[np.argsort(-ood_score[far], kind="stable")]]
