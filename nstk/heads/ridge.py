"""Ridge regression on fixed features: every strength from one decomposition.

Let Z (n × D) be the scaled features, Y (n × C) the labels as 0 and 1 minus their means, and
Z = U·S·Vᵀ. For strength λ the ridge weights are W = (ZᵀZ + λI)⁻¹ZᵀY = V·S/(S² + λ)·UᵀY, so the
fitted values are Ŷ = U·S²/(S² + λ)·UᵀY: U, S and UᵀY are made once, and every further λ costs
one product of matrices. U and S come from the smaller of ZᵀZ (D × D) and ZZᵀ (n × n).

Leaving image i out is exact without a second fit. With the leverage
h_i = 1/n + Σ_k u_ik²·s_k²/(s_k² + λ), where 1/n is the share of the free intercept, the residual
of i under the fit on all the others is (y_i − ŷ_i)/(1 − h_i) (Allen's PRESS; the identity of
Sherman and Morrison). big_vision's few-shot evaluator is the model for solving instead of
training; it takes one strength as given, here the images themselves choose.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.links import SOFTMAX, Link, Matrix, Targets


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Scaled features in the basis where their scatter is diagonal.

    Attributes:
        mean: Mean of each feature, ``(D,)``.
        deviation: What each feature is divided by, ``(D,)``; 1 where a feature is constant.
        coordinates: Z·V = U·S, ``(n, r)`` with r ≤ min(n, D).
        basis: V, ``(D, r)``.
        scatter: S², ``(r,)``, the diagonal of coordinatesᵀ·coordinates.
    """

    mean: Matrix
    std: Matrix
    coordinates: Matrix
    basis: Matrix
    scatter: Matrix


def decompose(features: npt.NDArray[np.floating], targets: Targets | None = None) -> Decomposition:
    """Scale features and rotate them so that their scatter is diagonal.

    The penalty ½·λ·‖W‖² holds every feature back alike, so its unit says how much it is trusted.
    With labels it is divided by the root of s, its deviation between images of the same labels
    (dividing by the root of a deviation is Pareto scaling; van den Berg et al. 2006): what varies
    among equals is noise, but features that vary more are still worth more. Of s, σ (the deviation
    among all) and their roots, on insects and on waste, with both choices of features, the root of
    s has the lowest log-loss on images left out or is near it; σ, the usual, is up to a fifth
    above it. Left-out labels touch these units, and nothing else of the head.

    Args:
        features: ``(n, D)``, any float dtype; the work is done in float64.
        targets: Which images have which labels, ``(n, C)``; None divides by σ.
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
    decomposition: Decomposition, targets: Matrix, strengths: Matrix
) -> Iterator[Matrix]:
    """Predict every image by the ridge fit on all the other images.

    Args:
        decomposition: The features.
        targets: Y, ``(n, C)``.
        strengths: λ, ``(L,)``, positive.

    Yields:
        For each strength the predictions of the left-out rows of Y, ``(n, C)``.
    """
    centered = targets - targets.mean(axis=0)
    projected = decomposition.coordinates.T @ centered
    squares = decomposition.coordinates**2
    for strength in strengths:
        shrunk = 1.0 / (decomposition.scatter + strength)
        residuals = centered - decomposition.coordinates @ (shrunk[:, np.newaxis] * projected)
        leverage = 1.0 / len(targets) + squares @ shrunk
        yield targets - residuals / (1.0 - leverage)[:, np.newaxis]


def choose_strengths(
    decomposition: Decomposition, targets: Targets, link: Link = SOFTMAX
) -> Matrix:
    """Give the ridge strength λ with the smallest mean squared leave-one-out error.

    Args:
        decomposition: The features.
        targets: Y, ``(n, C)``.
        link: Which columns share a strength.

    Returns:
        One for every question of the link, ``(q,)``.
    """
    # A standardized feature has a scatter of n, so λ is measured in images.
    strengths = len(targets) * 2.0 ** np.arange(-16.0, 17.0)
    known = targets.astype(np.float64)
    errors = [
        link.pool(((predictions - known) ** 2).mean(axis=0))
        for predictions in leave_one_out(decomposition, known, strengths)
    ]
    chosen: Matrix = strengths[np.argmin(errors, axis=0)]
    return chosen


def _choose_units(values: Matrix, targets: Targets | None) -> Matrix:
    """What each feature is divided by, ``(D,)``; on average the deviation among all."""
    std: Matrix = values.std(axis=0)
    # What is constant up to rounding says nothing; dividing by its rounding would make it loud.
    varies = std > 1e-6 * np.abs(values).max(axis=0)
    unit = np.where(varies, std, 1.0)
    if targets is not None and varies.any():
        root = np.sqrt(_deviate_among_equals(values, unit, targets))
        common = np.exp(np.log(unit[varies] / root[varies]).mean())
        unit = np.where(varies, common * root, 1.0)
    return unit


def _deviate_among_equals(values: Matrix, std: Matrix, targets: Targets) -> Matrix:
    """Standard deviation of what labels do not explain, ``(D,)``.

    C labels explain C images by themselves; these count with the deviation among all.
    """
    images, labels = targets.shape
    known = np.column_stack([targets, np.ones(images)]).astype(np.float64)
    unexplained = values - known @ np.linalg.lstsq(known, values, rcond=None)[0]
    squares = (unexplained**2).sum(axis=0) + labels * std**2
    among: Matrix = np.sqrt(squares / images)
    return among


def _decompose_symmetric(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues above rounding and their vectors, of a matrix that is positive semi-definite."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-10 * max(float(values[-1]), 1.0)
    return values[kept], vectors[:, kept]
