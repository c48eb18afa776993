"""Logistic regression on fixed features, solved instead of trained.

For standardised features z and the questions k of a link (see `links`), each with its strength λ_k,
the head minimises

    Σ_i Σ_k w_ik·(−log p_ik) + ½·Σ_k λ_k·‖W_k‖²,

where p_ik is the probability of the right answer for the logits Wᵀz_i + b, and W_k are the columns
that question k is about: all of them for softmax, one each for the sigmoid. It is convex and has
one minimum (b is not penalised). There is no learning rate and there are no epochs: L-BFGS in
float64 runs until the gradient is nothing.
"""

from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.finetuning.folds import Labels
from nstk.finetuning.links import SOFTMAX, Link, Matrix, Targets
from nstk.finetuning.ridge import Decomposition
from nstk.minimizers import LBFGS, Evaluation

_CURVATURE = 0.1
_GRAIN = 64
_MINIMIZER = LBFGS(first_step=1.0)


def solve(
    decomposition: Decomposition,
    targets: Targets,
    strengths: npt.ArrayLike,
    weights: Matrix | None = None,
    *,
    link: Link = SOFTMAX,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fit the head of given strengths on all pictures.

    Args:
        decomposition: The features.
        targets: Which pictures have which labels, ``(n, C)``.
        strengths: λ, ``(q,)`` or one for all.
        weights: w, ``(n, q)``; None weighs every picture the same.
        link: What makes probabilities of logits.

    Returns:
        Kernel ``(D, C)`` and bias ``(C,)`` for raw features, float32.
    """
    weights = np.ones((len(targets), 1)) if weights is None else weights
    solution = _solve(decomposition, targets, weights, strengths, link, precision=1e-14)
    kernel = (decomposition.basis @ solution[:-1]) / decomposition.deviation[:, np.newaxis]
    bias = solution[-1] - decomposition.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def answer_all(
    decomposition: Decomposition,
    targets: Targets,
    weights: Matrix,
    strengths: npt.ArrayLike,
    link: Link = SOFTMAX,
) -> Matrix:
    """Logits ``(n, C)`` of all pictures by the head of those whose weight is not 0.

    Args:
        decomposition: The features.
        targets: Which pictures have which labels, ``(n, C)``.
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


def log_losses(logits: Matrix, targets: Targets, link: Link = SOFTMAX) -> Matrix:
    """−log p of the right answer to every question, in nats, ``(n, q)``.

    Args:
        logits: ``(n, C)``.
        targets: ``(n, C)``.
        link: What makes probabilities of logits.
    """
    losses: Matrix = link.losses(targets.astype(np.float64), logits).numpy()
    return losses


def _solve(
    decomposition: Decomposition,
    targets: Targets,
    weights: Matrix,
    strengths: npt.ArrayLike,
    link: Link,
    precision: float,
) -> Matrix:
    """Solve for given strengths.

    In the basis of the decomposition the Hessian is about diag(c·S² + λ), so in coordinates
    divided by its root every direction bends alike and L-BFGS needs tens of steps, not hundreds.

    Args:
        decomposition: The features.
        targets: Which pictures have which labels, ``(n, C)``.
        weights: w, ``(n, q)``; 0 leaves a picture out.
        strengths: λ, ``(q,)`` or one for all.
        link: What makes probabilities of logits.
        precision: Stop when the loss is within about half of this per picture of its minimum.

    Returns:
        The weights in the basis of the decomposition and below them the biases, ``(r + 1, C)``.
    """
    pictures, rank = decomposition.coordinates.shape
    # Rows and columns of zeros change nothing, and few shapes are few graphs to compile.
    more_pictures, more_rank = -pictures % _GRAIN, -rank % _GRAIN
    coordinates = np.pad(decomposition.coordinates, ((0, more_pictures), (0, more_rank)))
    held_back = np.atleast_1d(np.asarray(strengths, np.float64))
    bend = _CURVATURE * np.append(np.pad(decomposition.scatter, (0, more_rank)), pictures)
    bend = np.repeat(bend[:, np.newaxis], len(held_back), axis=1)
    bend[:-1] += held_back
    unit = 1.0 / np.sqrt(bend)
    found = _compile(link)(
        tf.zeros((rank + more_rank + 1, targets.shape[1]), tf.float64),
        tf.constant(unit),
        tf.constant(coordinates),
        tf.constant(np.pad(targets.astype(np.float64), ((0, more_pictures), (0, 0)))),
        tf.constant(np.pad(weights, ((0, more_pictures), (0, 0)))),
        tf.constant(held_back),
        tf.constant(precision * pictures, tf.float64),
    )
    solution: Matrix = unit * found.numpy()
    return np.delete(solution, slice(rank, rank + more_rank), axis=0)


@cache
def _compile(link: Link) -> Any:
    return tf.function(partial(_minimise, link), autograph=False)


def _minimise(
    link: Link,
    x: Any,
    unit: Any,
    coordinates: Any,
    targets: Any,
    weights: Any,
    strengths: Any,
    enough: Any,
) -> Any:
    """Minimise the regularised cross-entropy from ``x`` until ‖gradient‖² is small enough."""

    def evaluate(x: Any) -> Evaluation:
        kernel, bias = (x * unit)[:-1], (x * unit)[-1]
        logits = coordinates @ kernel + bias
        losses = tf.reduce_sum(weights * link.losses(targets, logits))
        errors = weights * (link.probabilities(logits) - targets)
        slope = tf.matmul(coordinates, errors, transpose_a=True) + strengths * kernel
        gradient = tf.concat([slope, tf.reduce_sum(errors, axis=0)[tf.newaxis]], axis=0)
        loss = losses + tf.reduce_sum(strengths * kernel**2) / 2
        return Evaluation(loss, unit * gradient, {})

    def is_unfinished(x: Any, state: Any, remaining: Any) -> Any:
        return remaining > enough

    def advance(x: Any, state: Any, remaining: Any) -> Any:
        x, state, evaluation = _MINIMIZER.step(evaluate, x, state)
        return x, state, tf.reduce_sum(evaluation.gradient**2)

    start = (x, _MINIMIZER.init(x), tf.constant(float("inf"), x.dtype))
    x, state, _ = tf.while_loop(is_unfinished, advance, start, maximum_iterations=500)
    return _MINIMIZER.result(x, state)
