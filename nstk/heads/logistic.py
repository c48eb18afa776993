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

Hessian-vector products are computed in float32, as they only set the direction; so are gradients
in cross-validation, whose precision is far above their rounding. The gradient of the final
solution is float64, so its optimum is exact (iterative refinement).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nstk.heads.links import SOFTMAX, Link
from nstk.heads.ridge import Decomposition
from nstk.types import Labels, Matrix, Targets

_EXACT, _CROSS_VALIDATION = 1e-13, 5e-5
"""The loss per image is minimized to within about half of this."""

_SUFFICIENT_DECREASE = 1e-4
_TINY = 1e-100
_FACTORS = 2.0 ** np.arange(-1, 10)
_MIN_DIAGONAL = 1e-3
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
    coordinates = decomposition.coordinates[used].astype(np.float32)
    objective = _Objective(coordinates, targets[used], weights[used], l2, link)
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
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Objective:
    """The regularized cross-entropy of x, which holds weights and, in the last row, biases.

    The loss and the gradient are computed in the precision of the coordinates.
    """

    coordinates: npt.NDArray[np.floating]
    targets: Targets
    weights: Matrix
    l2: npt.ArrayLike
    link: Link

    def evaluate(self, x: Matrix) -> _Evaluation:
        values = x.astype(self.coordinates.dtype)
        probabilities = np.empty(self.targets.shape, np.float32)
        gradient, loss = self.penalties * x, _inner(self.penalties * x, x) / 2
        for rows in self._blocks:
            known, weights = self.targets[rows], self.weights[rows]
            logits = self.coordinates[rows] @ values[:-1] + values[-1]
            loss += float((weights * self.link.losses(known, logits)).sum(dtype=np.float64))
            exact = self.link.probabilities(logits)
            self._add_sums(gradient, self.coordinates[rows], weights, exact - known)
            probabilities[rows] = exact
        return _Evaluation(loss, gradient, probabilities)

    def hvp(self, at: _Evaluation, direction: Matrix) -> Matrix:
        """Hessian-vector product H·v, the derivative of the gradient along v."""
        product, change = self.penalties * direction, direction.astype(np.float32)
        for rows in self._blocks:
            coordinates = self._single[rows]
            errors = self.link.jvp(at.probabilities[rows], coordinates @ change[:-1] + change[-1])
            self._add_sums(product, coordinates, self.weights[rows], errors)
        return product

    def preconditioner(self, at: _Evaluation) -> "_Preconditioner":
        """The preconditioner M at x; both links have the derivative p·(1 − p)."""
        shape = len(self._single.T) + 1, self.targets.shape[1]
        diagonal, sums = np.zeros(shape), np.zeros(shape)
        for rows in self._blocks:
            coordinates, probabilities = self._single[rows], at.probabilities[rows]
            undecided = probabilities * (1 - probabilities)
            self._add_sums(diagonal, coordinates**2, self.weights[rows], undecided)
            self._add_sums(sums, coordinates, self.weights[rows], undecided)
        mean = sums / np.sqrt(np.maximum(sums[-1], _TINY))
        diagonal += self.penalties
        inverse = 1 / np.maximum(diagonal - mean**2, _MIN_DIAGONAL * diagonal + _TINY)
        along = inverse * mean
        return _Preconditioner(inverse, along / np.sqrt(1 + (mean * along).sum(axis=0)))

    def ridge_start(self) -> Matrix:
        """Ridge regression on the labels, by the factor that makes the best logits of it.

        The scatter of the coordinates is nearly diagonal, as they are most images of a basis.
        """
        coordinates, targets = self._single, self.targets.astype(np.float32)
        mean, shares = coordinates.mean(axis=0), targets.mean(axis=0)
        scatter = (coordinates**2).sum(axis=0)[:, np.newaxis]
        ridge = coordinates.T @ (targets - shares) / (scatter + self.penalties[:-1])
        logits = (coordinates - mean) @ ridge

        def loss(factor: float) -> float:
            losses = self.weights * self.link.losses(self.targets, factor * logits)
            penalty = self.penalties[:-1] * ridge * ridge
            return float(losses.sum() + factor**2 * penalty.sum() / 2)

        factor = min(_FACTORS, key=loss)
        start: Matrix = factor * np.vstack([ridge, -mean @ ridge]).astype(np.float64)
        return start

    @cached_property
    def penalties(self) -> Matrix:
        """λ of every row of x, ``(r + 1, q)``; 0 for the biases."""
        penalties = np.tile(np.asarray(self.l2, np.float64), (len(self.coordinates.T) + 1, 1))
        penalties[-1] = 0.0
        return penalties

    @cached_property
    def _single(self) -> npt.NDArray[np.float32]:
        return self.coordinates.astype(np.float32, copy=False)

    @property
    def _blocks(self) -> Iterator[slice]:
        images, classes = self.targets.shape
        size = max(1, _BLOCK // classes)
        return (slice(first, first + size) for first in range(0, images, size))

    @staticmethod
    def _add_sums(
        sums: Matrix,
        coordinates: npt.NDArray[np.floating],
        weights: Matrix,
        errors: npt.NDArray[np.floating],
    ) -> None:
        """Add the sums over images: of rows times errors for weights, of errors for biases."""
        errors = weights.astype(coordinates.dtype) * errors
        sums[:-1] += coordinates.T @ errors
        sums[-1] += errors.sum(axis=0, dtype=np.float64)


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
    tolerance = precision * len(objective.targets)
    x = objective.ridge_start() if start is None else start.copy()
    current = objective.evaluate(x)
    preconditioner = objective.preconditioner(current)
    for _ in range(_MAX_STEPS):
        if _inner(current.gradient, preconditioner.solve(current.gradient)) <= tolerance:
            break
        direction = _newton_direction(objective, current, preconditioner, tolerance)
        x, current = _line_search(objective, x, current, direction)
        if _inner(current.gradient, preconditioner.solve(current.gradient)) > tolerance:
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
    sufficient = max(min(0.1, error / len(objective.targets)) * error, tolerance / 3)
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
    """Backtrack along a direction, by parabolas, until the Armijo condition holds."""
    gradient = _inner(direction, current.gradient)
    rounding = 50 * float(np.finfo(objective.coordinates.dtype).eps) * abs(current.loss)
    length = 1.0
    for _ in range(_MAX_TRIALS):
        trial = objective.evaluate(x + length * direction)
        if trial.loss <= current.loss + _SUFFICIENT_DECREASE * length * gradient + rounding:
            break
        parabola = trial.loss - current.loss - length * gradient
        length *= np.clip(-length * gradient / (2 * parabola), 0.1, 0.5)
    return x + length * direction, trial


def _inner(one: Matrix, other: Matrix) -> float:
    return float(np.vdot(one, other))
