"""Logistic regression on fixed features, solved instead of trained.

For standardized features z and the problems k of a link (see `links`), each with an L2 penalty
λ_k, the head minimizes

    Σ_i Σ_k w_ik·(−log p_ik) + ½·Σ_k λ_k·‖W_k‖²,

where p_ik is the probability of the true class for the logits Wᵀz_i + b, and W_k are the columns of
problem k: all of them for softmax, one each for the sigmoid. The objective is convex with a single
minimum (b is not penalized). There is no learning rate and there are no epochs: Newton's method in
float64 runs until the gradient vanishes.

This is `nstk.optimizers.Newton` in NumPy. A head has a few thousand parameters and takes
milliseconds; tracing and compiling a graph for it would take many times as long.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nstk.heads.links import SOFTMAX, Link
from nstk.heads.ridge import Decomposition
from nstk.types import Labels, Matrix, Targets

_SUFFICIENT_DECREASE = 1e-4
_TINY, _ROUNDING = 1e-100, 1e-14
_MAX_STEPS, _MAX_HALVINGS, _MAX_PRODUCTS = 100, 30, 200


def solve(
    decomposition: Decomposition,
    targets: Targets,
    l2: npt.ArrayLike,
    weights: Matrix | None = None,
    *,
    link: Link = SOFTMAX,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fit a head with given L2 penalties.

    Args:
        decomposition: The features.
        targets: The labels of the images, ``(n, C)``.
        l2: λ, ``(q,)`` or one for all.
        weights: w, ``(n, q)``; None weights all images equally.
        link: The link from logits to probabilities.

    Returns:
        Kernel ``(D, C)`` and bias ``(C,)`` for raw features, float32.
    """
    weights = np.ones((len(targets), 1)) if weights is None else weights
    solution = _solve(decomposition, targets, weights, l2, link, precision=1e-14)
    kernel = (decomposition.basis @ solution[:-1]) / decomposition.std[:, np.newaxis]
    bias = solution[-1] - decomposition.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def fit_logits(
    decomposition: Decomposition,
    targets: Targets,
    weights: Matrix,
    l2: npt.ArrayLike,
    link: Link = SOFTMAX,
) -> Matrix:
    """Fit a head on the images with a positive weight, and compute the logits of all, ``(n, C)``.

    Args:
        decomposition: The features.
        targets: The labels of the images, ``(n, C)``.
        weights: w, ``(n, q)``.
        l2: λ, ``(q,)`` or one for all.
        link: The link from logits to probabilities.
    """
    solution = _solve(decomposition, targets, weights, l2, link, precision=1e-5)
    logits: Matrix = decomposition.coordinates @ solution[:-1] + solution[-1]
    return logits


def sample_weights(targets: Targets, link: Link, balance: bool) -> Matrix:
    """Weights ``(n, q)``: ones, or for balance `balanced_weights` of each problem."""
    labels = link.problem_labels(targets)
    return np.apply_along_axis(balanced_weights, 0, labels) if balance else np.ones(labels.shape)


def balanced_weights(labels: Labels) -> npt.NDArray[np.float64]:
    """Weights ``(n,)`` with mean 1 and equal sums over the classes that occur."""
    present, indices, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: npt.NDArray[np.float64] = len(labels) / (len(present) * counts[indices])
    return weights


def _solve(
    decomposition: Decomposition,
    targets: Targets,
    weights: Matrix,
    l2: npt.ArrayLike,
    link: Link,
    precision: float,
) -> Matrix:
    """Solve for given penalties.

    In the basis of the decomposition the Hessian is nearly diagonal, so conjugate gradients
    preconditioned by its diagonal need few Hessian-vector products.

    Args:
        decomposition: The features.
        targets: The labels of the images, ``(n, C)``.
        weights: w, ``(n, q)``; 0 excludes an image.
        l2: λ, ``(q,)`` or one for all.
        link: The link from logits to probabilities.
        precision: The loss per image is minimized to within about half of this.

    Returns:
        Weights in the basis of the decomposition and, in the last row, biases, ``(r + 1, C)``.
    """
    images, rank = decomposition.coordinates.shape
    penalties = np.tile(np.asarray(l2, np.float64), (rank + 1, 1))
    penalties[rank] = 0.0
    objective = _Objective(decomposition.coordinates, targets, weights, penalties, link)
    tolerance = precision * images
    x = np.zeros((rank + 1, targets.shape[1]))
    current = objective.evaluate(x)
    for _ in range(_MAX_STEPS):
        diagonal = objective.hessian_diagonal(current)
        if _inner(current.gradient, current.gradient / diagonal) <= tolerance:
            break
        direction = _newton_direction(objective, current, diagonal, tolerance)
        x, current = _line_search(objective, x, current, direction)
    return x


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """The objective at one x.

    Attributes:
        loss: Its value.
        gradient: Its gradient, with the shape of x.
        probabilities: p, ``(n, C)``.
    """

    loss: float
    gradient: Matrix
    probabilities: Matrix


@dataclass(frozen=True, eq=False)
class _Objective:
    """The regularized cross-entropy of x, which holds weights and, in the last row, biases.

    Attributes:
        coordinates: Z in the basis of the decomposition, ``(n, r)``.
        targets: The labels of the images, ``(n, C)``.
        weights: w, ``(n, q)``.
        penalties: λ of every row of x, ``(r + 1, q)``; 0 for the biases.
        link: The link from logits to probabilities.
    """

    coordinates: Matrix
    targets: Targets
    weights: Matrix
    penalties: Matrix
    link: Link

    def evaluate(self, x: Matrix) -> _Evaluation:
        """Loss, gradient and probabilities."""
        logits = self._logits(x)
        probabilities = self.link.probabilities(logits)
        losses = self.weights * self.link.losses(self.targets, logits)
        penalty = self.penalties * x
        gradient = _sum_over_images(self.coordinates, self.weights * (probabilities - self.targets))
        return _Evaluation(losses.sum() + _inner(penalty, x) / 2, gradient + penalty, probabilities)

    def hvp(self, at: _Evaluation, direction: Matrix) -> Matrix:
        """Hessian-vector product H·v, the derivative of the gradient along v."""
        errors = self.link.jvp(at.probabilities, self._logits(direction))
        products = _sum_over_images(self.coordinates, self.weights * errors)
        return products + self.penalties * direction

    def hessian_diagonal(self, at: _Evaluation) -> Matrix:
        """The diagonal of H, with the shape of x; both links have the derivative p·(1 − p)."""
        derivatives = self.weights * at.probabilities * (1 - at.probabilities)
        return np.maximum(_sum_over_images(self._squares, derivatives) + self.penalties, _TINY)

    @cached_property
    def _squares(self) -> Matrix:
        return self.coordinates**2

    def _logits(self, x: Matrix) -> Matrix:
        logits: Matrix = self.coordinates @ x[:-1] + x[-1]
        return logits


def _newton_direction(
    objective: _Objective, current: _Evaluation, diagonal: Matrix, tolerance: float
) -> Matrix:
    """Solve H·p = −g by conjugate gradients, to the accuracy that the next step can use.

    The relative tolerance falls with the gradient, so convergence is superlinear (Nocedal and
    Wright 2006, theorem 7.2).
    """
    residual = current.gradient
    scaled = residual / diagonal
    error = _inner(residual, scaled)
    sufficient = max(min(0.1, error / len(objective.coordinates)) * error, tolerance / 10)
    p, following = np.zeros_like(residual), -scaled
    for _ in range(_MAX_PRODUCTS):
        product = objective.hvp(current, following)
        length = error / _inner(following, product)
        p, residual = p + length * following, residual + length * product
        scaled = residual / diagonal
        remaining = _inner(residual, scaled)
        if remaining <= sufficient:
            break
        following, error = remaining / error * following - scaled, remaining
    return p


def _line_search(
    objective: _Objective, x: Matrix, current: _Evaluation, direction: Matrix
) -> tuple[Matrix, _Evaluation]:
    """Backtrack along a direction until the Armijo condition holds."""
    decrease = _SUFFICIENT_DECREASE * _inner(direction, current.gradient)
    for halvings in range(_MAX_HALVINGS):
        length = 0.5**halvings
        trial = objective.evaluate(x + length * direction)
        if trial.loss <= current.loss + length * decrease + _ROUNDING * abs(current.loss):
            break
    return x + length * direction, trial


def _sum_over_images(rows: Matrix, errors: Matrix) -> Matrix:
    """Gradient from the errors of the logits: Σ_i over rows for weights, and for biases below."""
    return np.vstack([rows.T @ errors, errors.sum(axis=0)])


def _inner(one: Matrix, other: Matrix) -> float:
    return float(np.vdot(one, other))
