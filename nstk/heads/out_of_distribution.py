"""How unlike everything in training an image is: a distance between feature vectors.

A vector is brought to length one, standardized, and measured against the training images by the
distance of Mahalanobis, d² = Σ_k p_k²/v_k + (‖z‖² − Σ_k p_k²)/v̄: p are the coordinates of z along
the 64 directions in which training images differ most, v their variances and v̄ that of all other
directions. The covariance is shrunk towards a multiple of the identity (Chen, Wiesel, Eldar and
Hero 2010, oracle approximating shrinkage). No label is needed and no training image is kept:
what is kept has 64 numbers for each number of a vector.

How far is too far, training images say: each is measured by what was learned from others, and 99
in 100 of them, or all but one where there are fewer, lie within the threshold. An image's
strangeness is its distance in units of that threshold.

Compared on hymenoptera and trashnet seen through MobileNet-0.75 with k nearest neighbors, one mean
per class, other ranks, and vectors of any length, this told other photographs apart best; and where
vectors keep their lengths, noise and plain colors pass for familiar.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.heads.folds import Labels, assign_folds
from nstk.heads.links import Matrix
from nstk.heads.ridge import decompose

ACCEPTED = 0.99

_RANK = 64
_FOLDS = 5
_IMAGES = 1000
_LEAST = 1e-7
_ARRAYS = ("mean", "deviation", "basis", "variances")

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OODDetector:
    """What training images look like to the network.

    Attributes:
        mean: Of vectors of length one, float32 ``(D,)``.
        deviation: Of the same, ``(D,)``.
        basis: The directions, ``(D, r)``.
        variances: v, ``(r,)``.
        rest: v̄.
        threshold: The distance at which strangeness is 1.
        accepted: Share of training images, left out, that lie within it.
    """

    mean: Vectors
    std: Vectors
    basis: Vectors
    variances: Vectors
    rest: float
    threshold: float
    accepted: float

    def ood_scores(self, vectors: Vectors) -> Vectors:
        """Distances over the threshold ``(n,)`` of vectors ``(n, D)``; above 1 is strange."""
        standard = (_normalize(vectors) - self.mean) / self.std
        along = standard @ self.basis.astype(np.float64)
        beside = np.maximum((standard**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        distances = np.sqrt((along**2 / self.variances).sum(axis=1) + beside / self.rest)
        # Vectors are float32; what lies beyond is rounding, which changes with the batch.
        ood_score: Vectors = (distances / self.threshold).astype(np.float32)
        return ood_score

    def to_card(self) -> dict[str, Any]:
        """The same in what JSON can hold; arrays as base64 of little-endian float32."""
        card: dict[str, Any] = {
            name: base64.b64encode(getattr(self, name).astype("<f4").tobytes()).decode("ascii")
            for name in _ARRAYS
        }
        return card | {
            "rest": self.rest,
            "threshold": self.threshold,
            "accepted": self.accepted,
        }

    @staticmethod
    def from_card(card: Mapping[str, Any], width: int) -> "OODDetector":
        """Read what `to_card` wrote.

        Args:
            card: The numbers.
            width: D.

        Raises:
            ValueError: If it is no such card, or of vectors of another width.
        """
        try:
            arrays: dict[str, Any] = {
                name: np.frombuffer(base64.b64decode(card[name], validate=True), "<f4")
                for name in _ARRAYS
            }
            arrays["basis"] = arrays["basis"].reshape(width, len(arrays["variances"]))
            rest, threshold, accepted = (
                float(card[name]) for name in ("rest", "threshold", "accepted")
            )
        except (KeyError, TypeError, OverflowError, binascii.Error) as error:
            raise ValueError(str(error)) from error
        if not len(arrays["mean"]) == len(arrays["deviation"]) == width:
            raise ValueError(f"vectors have {width} numbers, not {len(arrays['mean'])}")
        return OODDetector(**arrays, rest=rest, threshold=threshold, accepted=accepted)


def fit_ood_detector(
    vectors: Vectors, labels: Labels, groups: Labels, seed: int
) -> OODDetector | None:
    """Learn what training images look like, and how far from that they may lie.

    Args:
        vectors: Of the training images, ``(n, D)``; of more than 1000 images that many are
            drawn.
        labels: Their classes, ``(n,)``, which share them evenly over the folds.
        groups: Images that look alike share a number, ``(n,)``.
        seed: Of the folds and of the draw.

    Returns:
        None where no image can be left out.
    """
    if len(vectors) > _IMAGES:
        drawn = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:_IMAGES])
        vectors, labels, groups = vectors[drawn], labels[drawn], groups[drawn]
    folds = assign_folds(labels, _FOLDS, seed, groups)
    distances = np.concatenate(
        [np.empty(0)]
        + [
            _fit(vectors[folds != fold]).ood_scores(vectors[folds == fold])
            for fold in range(int(folds.max()) + 1)
        ]
    )
    if not len(distances):
        return None
    # Of n + 1 images that could come in any order, the last is beyond the k-th of the others
    # in one case of (n + 1) / (n + 1 − k).
    rank = min(int(np.ceil(ACCEPTED * (len(distances) + 1))), len(distances))
    threshold = max(float(np.sort(distances)[rank - 1]), _LEAST)
    return _fit(vectors, threshold, rank / (len(distances) + 1))


def _fit(vectors: Vectors, threshold: float = 1.0, accepted: float = 0.0) -> OODDetector:
    decomposition = decompose(_normalize(vectors))
    count, width = len(vectors), len(decomposition.mean)
    spread = decomposition.scatter / count
    usual, square = spread.sum() / width, (spread**2).sum() / width**2
    excess = (count + 1) * (square - usual**2 / width)
    shrinkage = min(1.0, (square + usual**2) / excess) if excess > 0 else 1.0
    variances = (1 - shrinkage) * spread + shrinkage * usual
    chosen = np.argsort(-variances, kind="stable")[: min(_RANK, width - 1)]
    left = width * usual - variances[chosen].sum()
    return OODDetector(
        mean=decomposition.mean.astype(np.float32),
        std=decomposition.std.astype(np.float32),
        basis=np.ascontiguousarray(decomposition.basis[:, chosen], np.float32),
        variances=np.maximum(variances[chosen], _LEAST).astype(np.float32),
        rest=max(float(left / max(width - len(chosen), 1)), _LEAST),
        threshold=threshold,
        accepted=accepted,
    )


def _normalize(vectors: Vectors) -> Matrix:
    """Vectors of length one; one of nothing but zeros stays as it is."""
    exact = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    unit: Matrix = exact / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
