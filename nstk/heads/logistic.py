"""Logistic regression on fixed features, solved instead of trained.

For standardized features z and the problems k of a link (see `links`), each with an L2 penalty
λ_k, the head minimizes

    Σ_i Σ_k w_ik·(−log p_ik) + ½·Σ_k λ_k·‖W_k‖²,

where p_ik is the probability of the true class for the logits Wᵀz_i + b, and W_k are the columns of
problem k: all of them for softmax, one each for the sigmoid. The objective is convex with a single
minimum (b is not penalized). There is no learning rate and there are no epochs: Newton's method
runs until the gradient vanishes.

Each Newton step solves H·p = −g by conjugate gradients. The Hessian of one class is
λI + Σ_i d_i·z_i·z_iᵀ with d = w·p·(1 − p), the weights of the images that are still undecided. The
preconditioner keeps of it the mean of these images exactly, and of their scatter about the mean
the diagonal, which is nearly all of it in the basis of a `Decomposition`:

    M = diag(D) + u·uᵀ,   u = Σ_i d_i·z_i / √Σ_i d_i,   D = λ + Σ_i d_i·z_i² − u²,

and M⁻¹ follows from Sherman and Morrison. One product costs as much as one gradient, linear in
images, features and classes, and the number of products depends on none of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nstk.heads.links import SOFTMAX, Link
from nstk.heads.ridge import Decomposition
from nstk.types import Labels, Matrix, Targets

_EXACT, _CROSS_VALIDATION = 1e-14, 3e-5
"""The objective is minimized to within about half of this share.

A share, because few images with many features are separated with a loss of nearly 0, which leaves
the logits of other images open.
"""

_SUFFICIENT_DECREASE = 1e-4
_TINY, _ROUNDING = 1e-100, 1e-14
_MIN_DIAGONAL = 1e-3
_SINGLE = 1e-8
"""Share of a squared error to which products in single precision can reduce it."""

_MAX_STEPS, _MAX_TRIALS, _MAX_PRODUCTS = 100, 30, 200
_BLOCK = 2**18
"""Logits that are computed together, so that they stay in the processor's cache."""


def solve(
    decomposition: Decomposition,
    targets: Targets,
    l2: npt.ArrayLike,
    weights: Matrix | None = None,
    *,
    link: Link = SOFTMAX,
    start: Matrix | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fit a head with given L2 penalties λ, ``(q,)`` or one for all.

    Weights w are ``(n, q)``. Returns kernel ``(D, C)`` and bias ``(C,)`` for raw features.
    """
    weights = np.ones((len(targets), 1)) if weights is None else weights
    objective = _Objective(decomposition.coordinates, targets, weights, l2, link)
    solution = _minimize(objective, start, _EXACT)
    kernel = (decomposition.basis @ solution[:-1]) / decomposition.std[:, np.newaxis]
    bias = solution[-1] - decomposition.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def fit(
    decomposition: Decomposition,
    targets: Targets,
    weights: Matrix,
    l2: npt.ArrayLike,
    link: Link = SOFTMAX,
    start: Matrix | None = None,
) -> Matrix:
    """Fit a head on the images with a positive weight, to the precision of cross-validation.

    Returns weights in the basis of the decomposition and, in the last row, biases, ``(r + 1, C)``.
    """
    used = weights.any(axis=1)
    objective = _Objective(decomposition.coordinates[used], targets[used], weights[used], l2, link)
    return _minimize(objective, start, _CROSS_VALIDATION)


def sample_weights(targets: Targets, link: Link, balance: bool) -> Matrix:
    """Weights ``(n, q)``: ones, or for balance `balanced_weights` of each problem."""
    labels = link.problem_labels(targets)
    return np.apply_along_axis(balanced_weights, 0, labels) if balance else np.ones(labels.shape)


def balanced_weights(labels: Labels) -> npt.NDArray[np.float64]:
    """Weights ``(n,)`` with mean 1 and equal sums over the classes that occur."""
    present, indices, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: npt.NDArray[np.float64] = len(labels) / (len(present) * counts[indices])
    return weights


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """Loss, gradient (with the shape of x) and probabilities ``(n, C)`` at one x."""

    loss: float
    gradient: Matrix
    probabilities: Matrix


@dataclass(frozen=True, eq=False)
class _Objective:
    """The regularized cross-entropy of x, which holds weights and, in the last row, biases."""

    coordinates: Matrix
    targets: Targets
    weights: Matrix
    l2: npt.ArrayLike
    link: Link

    def evaluate(self, x: Matrix) -> _Evaluation:
        probabilities = np.empty(self.targets.shape)
        gradient, loss = self.penalties * x, _inner(self.penalties * x, x) / 2
        for rows in self._blocks:
            known, weights = self.targets[rows], self.weights[rows]
            logits = self.coordinates[rows] @ x[:-1] + x[-1]
            loss += float((weights * self.link.losses(known, logits)).sum())
            probabilities[rows] = self.link.probabilities(logits)
            errors = weights * (probabilities[rows] - known)
            self._add_sums(gradient, self.coordinates[rows], errors)
        return _Evaluation(loss, gradient, probabilities)

    def hvp(self, at: _Evaluation, direction: Matrix) -> Matrix:
        """Hessian-vector product H·v, the derivative of the gradient along v.

        The two products with the coordinates are in single precision, which takes half the time;
        what p·(1 − p) nearly cancels between them is in double.
        """
        product, along = np.zeros_like(direction), _Single(direction[:-1])
        for rows in self._blocks:
            coordinates = self._single[rows]
            change = along.scale * (coordinates @ along.values) + direction[-1]
            errors = self.weights[rows] * self.link.jvp(at.probabilities[rows], change)
            rounded = _Single(errors)
            product[:-1] += rounded.scale * (coordinates.T @ rounded.values)
            product[-1] += errors.sum(axis=0)
        if self.link == SOFTMAX:  # A common change of all classes changes no probability.
            product -= product.mean(axis=1, keepdims=True)
        return product + self.penalties * direction

    def preconditioner(self, at: _Evaluation) -> "_Preconditioner":
        """The preconditioner M at x; both links have the derivative p·(1 − p)."""
        shape = len(self.coordinates.T) + 1, self.targets.shape[1]
        diagonal, sums = np.zeros(shape), np.zeros(shape)
        for rows in self._blocks:
            coordinates, probabilities = self.coordinates[rows], at.probabilities[rows]
            undecided = self.weights[rows] * probabilities * (1 - probabilities)
            self._add_sums(diagonal, coordinates**2, undecided)
            self._add_sums(sums, coordinates, undecided)
        mean = sums / np.sqrt(np.maximum(sums[-1], _TINY))
        diagonal += self.penalties
        inverse = 1 / np.maximum(diagonal - mean**2, _MIN_DIAGONAL * diagonal + _TINY)
        along = inverse * mean
        return _Preconditioner(inverse, along / np.sqrt(1 + (mean * along).sum(axis=0)))

    @cached_property
    def _single(self) -> npt.NDArray[np.float32]:
        return self.coordinates.astype(np.float32)

    @cached_property
    def penalties(self) -> Matrix:
        """λ of every row of x, ``(r + 1, q)``; 0 for the biases."""
        penalties = np.tile(np.asarray(self.l2, np.float64), (len(self.coordinates.T) + 1, 1))
        penalties[-1] = 0.0
        return penalties

    @property
    def _blocks(self) -> Iterator[slice]:
        images, classes = self.targets.shape
        size = max(1, _BLOCK // classes)
        return (slice(first, first + size) for first in range(0, images, size))

    @staticmethod
    def _add_sums(sums: Matrix, coordinates: Matrix, errors: Matrix) -> None:
        """Add the sums over images: of rows times errors for weights, of errors for biases."""
        sums[:-1] += coordinates.T @ errors
        sums[-1] += errors.sum(axis=0)


class _Single:
    """An array in single precision, scaled so that small numbers do not vanish."""

    def __init__(self, array: Matrix) -> None:
        self.scale = float(np.abs(array).max(initial=_TINY))
        self.values = (array / self.scale).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Preconditioner:
    """M⁻¹ = diag(inverse) − along·alongᵀ for every class."""

    inverse: Matrix
    along: Matrix

    def solve(self, gradient: Matrix) -> Matrix:
        solution: Matrix = self.inverse * gradient
        solution -= self.along * (self.along * gradient).sum(axis=0)
        return solution


def _minimize(objective: _Objective, start: Matrix | None, precision: float) -> Matrix:
    shape = len(objective.penalties), objective.targets.shape[1]
    x = np.zeros(shape) if start is None else start.copy()
    current = objective.evaluate(x)
    preconditioner = objective.preconditioner(current)
    for _ in range(_MAX_STEPS):
        tolerance = precision * current.loss
        if _inner(current.gradient, preconditioner.solve(current.gradient)) <= tolerance:
            break
        direction = _newton_direction(objective, current, preconditioner, tolerance)
        x, current = _line_search(objective, x, current, direction)
        preconditioner = objective.preconditioner(current)
    if objective.link == SOFTMAX:  # The same bias for all classes changes nothing.
        x[-1] -= x[-1].mean()
    return x


def _newton_direction(
    objective: _Objective, current: _Evaluation, preconditioner: _Preconditioner, tolerance: float
) -> Matrix:
    """Solve H·p = −g by conjugate gradients, to the accuracy that the next step can use.

    The relative tolerance falls with the gradient, so convergence is superlinear (Nocedal and
    Wright 2006, theorem 7.2).
    """
    residual = current.gradient
    scaled = preconditioner.solve(residual)
    error = _inner(residual, scaled)
    share = min(0.1, max(error / len(objective.targets), _SINGLE))
    sufficient = max(share * error, tolerance / 3)
    p, following = np.zeros_like(residual), -scaled
    for _ in range(_MAX_PRODUCTS):
        product = objective.hvp(current, following)
        curvature = _inner(following, product)
        if curvature <= 0:  # by rounding
            break
        length = error / curvature
        p, residual = p + length * following, residual + length * product
        scaled = preconditioner.solve(residual)
        remaining = _inner(residual, scaled)
        if remaining <= sufficient:
            break
        following, error = remaining / error * following - scaled, remaining
    return p if p.any() else following


def _line_search(
    objective: _Objective, x: Matrix, current: _Evaluation, direction: Matrix
) -> tuple[Matrix, _Evaluation]:
    """Backtrack along a direction until the Armijo condition holds."""
    gradient = _inner(direction, current.gradient)
    rounding = _ROUNDING * abs(current.loss)
    length = 1.0
    for _ in range(_MAX_TRIALS):
        trial = objective.evaluate(x + length * direction)
        if trial.loss <= current.loss + _SUFFICIENT_DECREASE * length * gradient + rounding:
            break
        length /= 2
    return x + length * direction, trial


def _inner(one: Matrix, other: Matrix) -> float:
    return float(np.vdot(one, other))
