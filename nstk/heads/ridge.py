"""Ridge regression on fixed features: every L2 penalty from one decomposition.

Let Z (n × D) be the scaled features, Y (n × C) the labels as 0 and 1 minus their means, and
Z = U·S·Vᵀ. For a penalty λ the ridge weights are W = (ZᵀZ + λI)⁻¹ZᵀY = V·S/(S² + λ)·UᵀY, so the
fitted values are Ŷ = U·S²/(S² + λ)·UᵀY: U, S and UᵀY are computed once, and every further λ costs
one matrix product. U and S come from the smaller of ZᵀZ (D × D) and ZZᵀ (n × n).

Leave-one-out predictions are exact without refitting. With the leverage
h_i = 1/n + Σ_k u_ik²·s_k²/(s_k² + λ), where 1/n comes from the unpenalized intercept, the residual
of i under the fit on all other images is (y_i − ŷ_i)/(1 − h_i) (Allen's PRESS; the identity of
Sherman and Morrison). big_vision's few-shot evaluator also solves instead of training, but with a
fixed penalty; here the images choose it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.links import SOFTMAX, Link
from nstk.types import Matrix, Targets

_IMAGES = 2000
"""Images whose errors are enough to choose a penalty."""

_STRIDE = 4
"""Penalties are compared in steps of this many octaves, and then of one around the best."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Scaled features in the basis where their scatter is diagonal."""

    mean: Matrix
    std: Matrix
    coordinates: Matrix
    basis: Matrix
    scatter: Matrix


def decompose(features: npt.NDArray[np.floating], targets: Targets | None = None) -> Decomposition:
    """Scale features and rotate them so that their scatter is diagonal.

    The penalty ½·λ·‖W‖² is the same for every feature, so the scale of a feature is its weight.
    With labels, features are divided by √s, where s is the standard deviation within classes
    (division by the root of a standard deviation is Pareto scaling; van den Berg et al. 2006):
    variation within a class is noise, yet features that vary more are still worth more. Among s,
    σ (the standard deviation over all images) and their roots, √s has the lowest out-of-fold
    log-loss, or nearly so, on insects and on waste with both choices of features; σ, the usual
    choice, is up to a fifth above it. Labels of held-out images affect these scales and nothing
    else of the head.

    Args:
        features: ``(n, D)``, any float dtype; computed in float64.
        targets: The labels of the images, ``(n, C)``; None divides by σ.
    """
    values = np.asarray(features, np.float64)
    mean, unit = values.mean(axis=0), _choose_units(values, targets)
    standardized = (values - mean) / unit
    images, width = standardized.shape
    if images < width:
        scatter, vectors = _decompose_symmetric(standardized @ standardized.T)
        coordinates = vectors * np.sqrt(scatter)
        basis = standardized.T @ (vectors / np.sqrt(scatter))
    else:
        scatter, basis = _decompose_symmetric(standardized.T @ standardized)
        coordinates = standardized @ basis
    return Decomposition(mean, unit, coordinates, basis, scatter)


def leave_one_out(
    decomposition: Decomposition, targets: Matrix, l2_values: Matrix, rows: slice = slice(None)
) -> Iterator[Matrix]:
    """Predict every image by the ridge fit on all the other images.

    Args:
        decomposition: The features.
        targets: Y, ``(n, C)``.
        l2_values: λ, ``(L,)``, positive.
        rows: The images to predict.

    Yields:
        For each penalty the leave-one-out predictions of Y, ``(n, C)``.
    """
    centered = targets - targets.mean(axis=0)
    projected = decomposition.coordinates.T @ centered
    coordinates, targets, centered = decomposition.coordinates[rows], targets[rows], centered[rows]
    squares, images = coordinates**2, len(decomposition.coordinates)
    for l2 in l2_values:
        shrunk = 1.0 / (decomposition.scatter + l2)
        residuals = centered - coordinates @ (shrunk[:, np.newaxis] * projected)
        leverage = 1.0 / images + squares @ shrunk
        yield targets - residuals / (1.0 - leverage)[:, np.newaxis]


def choose_l2(decomposition: Decomposition, targets: Targets, link: Link = SOFTMAX) -> Matrix:
    """Choose the ridge penalty λ with the smallest mean squared leave-one-out error.

    Args:
        decomposition: The features.
        targets: Y, ``(n, C)``.
        link: The link, which defines the problems.

    Returns:
        λ of every problem of the link, ``(q,)``.
    """
    known = targets.astype(np.float64)
    rows = slice(None, None, max(1, len(targets) // _IMAGES))

    def errors(l2_values: Matrix) -> Matrix:
        predictions = leave_one_out(decomposition, known, l2_values, rows)
        squares = ((each - known[rows]) ** 2 for each in predictions)
        return np.array([link.pool(each.mean(axis=0)) for each in squares])

    # A standardized feature has a scatter of n, so λ is measured in images.
    l2_values = len(targets) * 2.0 ** np.arange(-16.0, 17.0)
    coarse = errors(l2_values[::_STRIDE]).argmin(axis=0) * _STRIDE
    near = np.add.outer(coarse, np.arange(1 - _STRIDE, _STRIDE))
    candidates = l2_values[np.unique(near.clip(0, len(l2_values) - 1))]
    chosen: Matrix = candidates[errors(candidates).argmin(axis=0)]
    return chosen


def _choose_units(values: Matrix, targets: Targets | None) -> Matrix:
    """Divisor of each feature, ``(D,)``; on geometric average the standard deviation."""
    std: Matrix = values.std(axis=0)
    # Features that are constant up to rounding carry no information, and must not be amplified.
    varies = std > 1e-6 * np.abs(values).max(axis=0)
    unit = np.where(varies, std, 1.0)
    if targets is not None and varies.any():
        root = np.sqrt(_within_class_std(values, unit, targets))
        common = np.exp(np.log(unit[varies] / root[varies]).mean())
        unit = np.where(varies, common * root, 1.0)
    return unit


def _within_class_std(values: Matrix, std: Matrix, targets: Targets) -> Matrix:
    """Standard deviation of the part that labels do not explain, ``(D,)``.

    C labels can fit C images exactly; these count with the overall standard deviation.
    """
    images, labels = targets.shape
    known = targets.astype(np.float64)
    if (targets.sum(axis=1) == 1).all():
        means = known.T @ values / np.maximum(known.sum(axis=0), 1)[:, np.newaxis]
        unexplained = values - means[targets.argmax(axis=1)]
    else:
        known = np.column_stack([known, np.ones(images)])
        unexplained = values - known @ np.linalg.lstsq(known, values, rcond=None)[0]
    squares = (unexplained**2).sum(axis=0) + labels * std**2
    within: Matrix = np.sqrt(squares / images)
    return within


def _decompose_symmetric(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues above rounding error, with eigenvectors, of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-10 * max(float(values[-1]), 1.0)
    return values[kept], vectors[:, kept]
