"""Which images to ask for: typical ones first, and then those that the head is least sure of.

Typical images show what classes there are (Hacohen, Dekel and Weinshall 2022): the features fall
into clusters by k-means, and of each cluster, the largest first, the image with the nearest
neighbors is asked for. Then the margin between the two likeliest labels decides (Scheffer, Decomain
and Wrobel 2001): of the images with the smallest margins, that one which stands for most others.
The smallest margin alone picks odd images, and many that are alike.
"""

import numpy as np
import numpy.typing as npt

from nstk.types import FeatureVectors, Labels, Matrix

_NEIGHBORS = 20
_MAX_ROUNDS = 50
_CANDIDATES, _MOST_CANDIDATES = 0.15, 200


def rank_typical(points: FeatureVectors, clusters: int, seed: int) -> list[int]:
    """The densest point of each cluster, that of the largest cluster first."""
    members = cluster(points, clusters, seed)
    counts = np.bincount(members, minlength=clusters)
    found = []
    for each in np.argsort(-counts, kind="stable"):
        own = np.flatnonzero(members == each)
        if len(own):
            distances = np.sort(squared_distances(points[own], points[own]), axis=1)
            found.append(int(own[np.sqrt(distances[:, : _NEIGHBORS + 1]).mean(axis=1).argmin()]))
    return found


def cluster(points: FeatureVectors, clusters: int, seed: int) -> Labels:
    """The cluster of each point, by k-means from the centers of k-means++."""
    generator = np.random.default_rng(seed)
    chosen = [int(generator.integers(len(points)))]
    nearest = squared_distances(points, points[chosen])[:, 0]
    while len(chosen) < clusters and nearest.sum() > 0:
        chosen.append(int(generator.choice(len(points), p=nearest / nearest.sum())))
        nearest = np.minimum(nearest, squared_distances(points, points[chosen[-1:]])[:, 0])
    centers = points[chosen]
    members = np.full(len(points), -1)
    for _ in range(_MAX_ROUNDS):
        before, members = members, squared_distances(points, centers).argmin(axis=1)
        if (members == before).all():
            break
        for each in np.unique(members):
            centers[each] = points[members == each].mean(axis=0)
    return members


def squared_distances(points: FeatureVectors, others: FeatureVectors) -> FeatureVectors:
    """Squared Euclidean distances, ``(n, m)``."""
    squares = (points**2).sum(axis=1)[:, np.newaxis] + (others**2).sum(axis=1)
    distances: FeatureVectors = np.maximum(squares - 2 * points @ others.T, 0)
    return distances


def margins(scores: Matrix, *, multi_label: bool) -> npt.NDArray[np.float64]:
    """How clear the labels of each image are, ``(n,)``: small where two answers are as likely.

    Scores ``(n, C)`` estimate the labels as 0 and 1. With one label, the margin is the difference
    of the two largest scores; with any number, the smallest distance from ½.
    """
    if multi_label:
        distances: npt.NDArray[np.float64] = np.abs(scores - 0.5).min(axis=1)
        return distances
    ordered = np.sort(scores, axis=1)
    margin: npt.NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
    return margin


def find_useful(
    margins: npt.NDArray[np.float64],
    free: npt.NDArray[np.integer],
    points: FeatureVectors,
    distances: npt.NDArray[np.floating],
) -> int:
    """Of the free images with the smallest margins, that which comes nearest to most others.

    ``distances`` ``(n,)`` are squared distances to the nearest labeled image; the chosen one
    reduces their sum most.
    """
    count = min(_MOST_CANDIDATES, max(1, int(_CANDIDATES * len(margins))))
    candidates = free[np.argsort(margins[free], kind="stable")[:count]]
    gains = distances[:, np.newaxis] - squared_distances(points, points[candidates])
    return int(candidates[np.maximum(gains, 0).sum(axis=0).argmax()])
