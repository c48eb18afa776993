"""Logistic regression on fixed features, solved instead of trained.

For standardized features z and the questions k of a link (see `links`), each with its strength λ_k,
the head minimizes

    Σ_i Σ_k w_ik·(−log p_ik) + ½·Σ_k λ_k·‖W_k‖²,

where p_ik is the probability of the right answer for the logits Wᵀz_i + b, and W_k are the columns
that question k is about: all of them for softmax, one each for the sigmoid. It is convex and has
one minimum (b is not penalized). There is no learning rate and there are no epochs: Newton's
method in float64 runs until the gradient is nothing.

It is `nstk.optimizers.Newton` in NumPy. The head is some thousand numbers, found in
milliseconds; to trace and compile a graph for them takes many times as long.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nstk.heads.folds import Labels
from nstk.heads.links import SOFTMAX, Link, Matrix, Targets
from nstk.heads.ridge import Decomposition

_SUFFICIENT_DECREASE = 1e-4
_LEAST, _ROUNDING = 1e-100, 1e-14
_MOST_STEPS, _MOST_HALVINGS, _MOST_PRODUCTS = 100, 30, 200


def solve(
    decomposition: Decomposition,
    targets: Targets,
    strengths: npt.ArrayLike,
    weights: Matrix | None = None,
    *,
    link: Link = SOFTMAX,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fit the head of given strengths on all images.

    Args:
        decomposition: The features.
        targets: Which images have which labels, ``(n, C)``.
        strengths: λ, ``(q,)`` or one for all.
        weights: w, ``(n, q)``; None weighs every image the same.
        link: What makes probabilities of logits.

    Returns:
        Kernel ``(D, C)`` and bias ``(C,)`` for raw features, float32.
    """
    weights = np.ones((len(targets), 1)) if weights is None else weights
    solution = _solve(decomposition, targets, weights, strengths, link, precision=1e-14)
    kernel = (decomposition.basis @ solution[:-1]) / decomposition.std[:, np.newaxis]
    bias = solution[-1] - decomposition.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def answer_all(
    decomposition: Decomposition,
    targets: Targets,
    weights: Matrix,
    strengths: npt.ArrayLike,
    link: Link = SOFTMAX,
) -> Matrix:
    """Logits ``(n, C)`` of all images by the head of those whose weight is not 0.

    Args:
        decomposition: The features.
        targets: Which images have which labels, ``(n, C)``.
        weights: w, ``(n, q)``.
        strengths: λ, ``(q,)`` or one for all.
        link: What makes probabilities of logits.
    """
    solution = _solve(decomposition, targets, weights, strengths, link, precision=1e-5)
    logits: Matrix = decomposition.coordinates @ solution[:-1] + solution[-1]
    return logits


def weigh(targets: Targets, link: Link, balance: bool) -> Matrix:
    """Weights ``(n, q)``: ones or, for balance, those of `balance_classes` for each question."""
    cases = link.cases(targets)
    return np.apply_along_axis(balance_classes, 0, cases) if balance else np.ones(cases.shape)


def balance_classes(labels: Labels) -> npt.NDArray[np.float64]:
    """Weights ``(n,)`` of mean 1 that give every class that is there the same sum."""
    present, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: npt.NDArray[np.float64] = len(labels) / (len(present) * counts[places])
    return weights


def _solve(
    decomposition: Decomposition,
    targets: Targets,
    weights: Matrix,
    strengths: npt.ArrayLike,
    link: Link,
    precision: float,
) -> Matrix:
    """Solve for given strengths.

    In the basis of the decomposition the Hessian is nearly diagonal, so conjugate gradients that
    divide by its diagonal need few products with it.

    Args:
        decomposition: The features.
        targets: Which images have which labels, ``(n, C)``.
        weights: w, ``(n, q)``; 0 leaves an image out.
        strengths: λ, ``(q,)`` or one for all.
        link: What makes probabilities of logits.
        precision: Stop when the loss is within about half of this per image of its minimum.

    Returns:
        The weights in the basis of the decomposition and below them the biases, ``(r + 1, C)``.
    """
    images, rank = decomposition.coordinates.shape
    held_back = np.tile(np.asarray(strengths, np.float64), (rank + 1, 1))
    held_back[rank] = 0.0
    cost = _Cost(decomposition.coordinates, targets, weights, held_back, link)
    enough = precision * images
    x = np.zeros((rank + 1, targets.shape[1]))
    here = cost.look(x)
    for _ in range(_MOST_STEPS):
        diagonal = cost.find_diagonal(here)
        if _inner(here.gradient, here.gradient / diagonal) <= enough:
            break
        direction = _find_direction(cost, here, diagonal, enough)
        x, here = _descend(cost, x, here, direction)
    return x


@dataclass(frozen=True, eq=False)
class _Place:
    """What the cost is like for some x.

    Attributes:
        loss: Its value.
        gradient: Its gradient, of the shape of x.
        probabilities: p, ``(n, C)``.
    """

    loss: float
    gradient: Matrix
    probabilities: Matrix


@dataclass(frozen=True, eq=False)
class _Cost:
    """The regularized cross-entropy of x, the weights and in the last row the biases.

    Attributes:
        coordinates: Z in the basis of the decomposition, ``(n, r)``.
        targets: Which images have which labels, ``(n, C)``.
        weights: w, ``(n, q)``.
        held_back: λ of every row of x, ``(r + 1, q)``; 0 for the biases.
        link: What makes probabilities of logits.
    """

    coordinates: Matrix
    targets: Targets
    weights: Matrix
    held_back: Matrix
    link: Link

    def look(self, x: Matrix) -> _Place:
        """Loss, gradient and probabilities."""
        logits = self._answer(x)
        probabilities = self.link.probabilities(logits)
        losses = self.weights * self.link.losses(self.targets, logits)
        penalty = self.held_back * x
        gradient = _gather(self.coordinates, self.weights * (probabilities - self.targets))
        return _Place(losses.sum() + _inner(penalty, x) / 2, gradient + penalty, probabilities)

    def multiply_hessian(self, place: _Place, direction: Matrix) -> Matrix:
        """H·v, the derivative of the gradient along v."""
        errors = self.link.differentiate(place.probabilities, self._answer(direction))
        return _gather(self.coordinates, self.weights * errors) + self.held_back * direction

    def find_diagonal(self, place: _Place) -> Matrix:
        """The diagonal of H, of the shape of x; both links have the gradient p·(1 − p)."""
        gradients = self.weights * place.probabilities * (1 - place.probabilities)
        return np.maximum(_gather(self._squares, gradients) + self.held_back, _LEAST)

    @cached_property
    def _squares(self) -> Matrix:
        return self.coordinates**2

    def _answer(self, x: Matrix) -> Matrix:
        logits: Matrix = self.coordinates @ x[:-1] + x[-1]
        return logits


def _find_direction(cost: _Cost, here: _Place, diagonal: Matrix, enough: float) -> Matrix:
    """Solve H·p = −g by conjugate gradients, no better than the next step can use.

    The share of the residual that may remain falls with the gradient itself, so the last steps
    converge faster than by any fixed factor (Nocedal and Wright 2006, theorem 7.2).
    """
    residual = here.gradient
    scaled = residual / diagonal
    error = _inner(residual, scaled)
    sufficient = max(min(0.1, error / len(cost.coordinates)) * error, enough / 10)
    p, following = np.zeros_like(residual), -scaled
    for _ in range(_MOST_PRODUCTS):
        product = cost.multiply_hessian(here, following)
        length = error / _inner(following, product)
        p, residual = p + length * following, residual + length * product
        scaled = residual / diagonal
        remaining = _inner(residual, scaled)
        if remaining <= sufficient:
            break
        following, error = remaining / error * following - scaled, remaining
    return p


def _descend(cost: _Cost, x: Matrix, here: _Place, direction: Matrix) -> tuple[Matrix, _Place]:
    """Go along a direction, by half as often as it takes to come down as the gradient promises."""
    promised = _SUFFICIENT_DECREASE * _inner(direction, here.gradient)
    for halvings in range(_MOST_HALVINGS):
        length = 0.5**halvings
        there = cost.look(x + length * direction)
        if there.loss <= here.loss + length * promised + _ROUNDING * abs(here.loss):
            break
    return x + length * direction, there


def _gather(rows: Matrix, errors: Matrix) -> Matrix:
    """Σ_i of each row's share in the weights, and below it in the biases."""
    return np.vstack([rows.T @ errors, errors.sum(axis=0)])


def _inner(one: Matrix, other: Matrix) -> float:
    return float(np.vdot(one, other))
