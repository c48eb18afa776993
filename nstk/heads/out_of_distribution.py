"""Out-of-distribution detection: the distance of an image from the training images.

A feature vector is normalized to length one, standardized, and compared with the training images by
the Mahalanobis distance, d² = Σ_k p_k²/v_k + (‖z‖² − Σ_k p_k²)/v̄: p are the coordinates of z along
the 64 directions in which training images differ most, v their variances and v̄ that of all other
directions. The covariance is shrunk towards a multiple of the identity (Chen, Wiesel, Eldar and
Hero 2010, oracle approximating shrinkage). Fitting needs no labels, and no training image is
stored: a detector has 64 numbers for each dimension of the vectors.

The threshold comes from cross-validation on the training images: 99 % of them, or all but one if
there are fewer than 100, lie within it. The OOD score of an image is its distance divided by the
threshold.

On hymenoptera and trashnet with MobileNet-0.75, this detected other photographs better than k
nearest neighbors, one mean per class, other ranks, and vectors of any length. Without normalized
lengths, noise and plain colors would pass as in-distribution.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.head import assign_folds
from nstk.heads.ridge import decompose
from nstk.types import Array, FeatureVectors, Json, Labels, Matrix

ACCEPTED = 0.99

_RANK = 64
_FOLDS = 5
_IMAGES = 1000
_TINY = 1e-7
_ARRAYS = ("mean", "std", "basis", "variances")


@dataclass(frozen=True, eq=False)
class OODDetector:
    """Detector of images that are unlike the training images.

    Attributes:
        mean: Mean of the normalized vectors, float32 ``(D,)``.
        std: Their standard deviation, ``(D,)``.
        basis: The principal directions, ``(D, r)``.
        variances: v, ``(r,)``.
        rest: v̄.
        threshold: Distance with an OOD score of 1.
        accepted: Fraction of held-out training images within the threshold.
    """

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]
    basis: npt.NDArray[np.float32]
    variances: npt.NDArray[np.float32]
    rest: float
    threshold: float
    accepted: float

    def ood_scores(self, vectors: FeatureVectors) -> npt.NDArray[np.float32]:
        """OOD scores ``(n,)`` of vectors ``(n, D)``: distance over threshold, above 1 for OOD."""
        standardized = (_normalize(vectors) - self.mean) / self.std
        along = standardized @ self.basis.astype(np.float64)
        beside = np.maximum((standardized**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        distances = np.sqrt((along**2 / self.variances).sum(axis=1) + beside / self.rest)
        # Vectors are float32; further digits are rounding errors that change with the batch.
        ood_score: npt.NDArray[np.float32] = (distances / self.threshold).astype(np.float32)
        return ood_score

    def to_config(self) -> dict[str, Json]:
        """The detector as JSON values; arrays are base64 of little-endian float32."""
        config: dict[str, Json] = {
            name: base64.b64encode(getattr(self, name).astype("<f4").tobytes()).decode("ascii")
            for name in _ARRAYS
        }
        return config | {
            "rest": self.rest,
            "threshold": self.threshold,
            "accepted": self.accepted,
        }

    @staticmethod
    def from_config(config: Mapping[str, Json], width: int) -> "OODDetector":
        """Restore a detector from `to_config`.

        Args:
            config: The JSON values.
            width: D.

        Raises:
            ValueError: If the values are invalid, or for vectors of another dimension.
        """
        try:
            arrays: dict[str, Array] = {
                name: np.frombuffer(base64.b64decode(config[name], validate=True), "<f4")
                for name in _ARRAYS
            }
            arrays["basis"] = arrays["basis"].reshape(width, len(arrays["variances"]))
            rest, threshold, accepted = (
                float(config[name]) for name in ("rest", "threshold", "accepted")
            )
        except (KeyError, TypeError, OverflowError, binascii.Error) as error:
            raise ValueError(str(error)) from error
        if not len(arrays["mean"]) == len(arrays["std"]) == width:
            raise ValueError(f"vectors have {width} numbers, not {len(arrays['mean'])}")
        return OODDetector(**arrays, rest=rest, threshold=threshold, accepted=accepted)


def fit_ood_detector(
    vectors: FeatureVectors, labels: Labels, groups: Labels, seed: int
) -> OODDetector | None:
    """Fit a detector on training images, and choose its threshold by cross-validation.

    Args:
        vectors: Feature vectors of the training images, ``(n, D)``; of more than 1000, as many
            are drawn at random.
        labels: Their classes, ``(n,)``, for stratified folds.
        groups: Groups of near-duplicates, ``(n,)``.
        seed: Random seed.

    Returns:
        The detector; None if no image can be held out.
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
    # Of n + 1 exchangeable images, the last is beyond the k-th of the others with probability
    # 1 − k / (n + 1).
    rank = min(int(np.ceil(ACCEPTED * (len(distances) + 1))), len(distances))
    threshold = max(float(np.sort(distances)[rank - 1]), _TINY)
    return _fit(vectors, threshold, rank / (len(distances) + 1))


def _fit(vectors: FeatureVectors, threshold: float = 1.0, accepted: float = 0.0) -> OODDetector:
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
        variances=np.maximum(variances[chosen], _TINY).astype(np.float32),
        rest=max(float(left / max(width - len(chosen), 1)), _TINY),
        threshold=threshold,
        accepted=accepted,
    )


def _normalize(vectors: FeatureVectors) -> Matrix:
    """Vectors of length one; a zero vector stays zero."""
    exact = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    unit: Matrix = exact / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
