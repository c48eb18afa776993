"""The head: multinomial logistic regression on fixed features, solved instead of trained.

For standardised features z, labels y and strength λ the head minimises

    Σ_i w_i·(−log softmax(Wᵀz_i + b)_{y_i}) + ½·λ·‖W‖²,

which is convex and has one minimum (b is not penalised). There is no learning rate and there are
no epochs: L-BFGS in float64 runs until the gradient is nothing.

How strong λ should be, the training pictures say themselves. Exact leave-one-out errors of ridge
regression find its best strength at once (see `ridge`). A cross-entropy bends far less than a
square, so the best logistic strength is lower: by 10^-1.5 to 10^-2 on photographs of two and of
six classes and on digits of ten. So a few strengths round there are compared by stratified
cross-validation, and the one with the lowest log-loss is taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.finetuning.ridge import Decomposition, Matrix, choose_strength, decompose
from nstk.minimizers import LBFGS, Evaluation
from nstk.progress import Progress, Reporter, ignore

FOLDS = 5

_RELATIVE_STRENGTHS = 10.0 ** np.arange(-0.5, -3.0, -0.5)
_CURVATURE = 0.1
_MINIMIZER = LBFGS(first_step=1.0)


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head on raw features, with the standardisation folded in.

    Attributes:
        kernel: float32 ``(D, C)``.
        bias: float32 ``(C,)``.
        strength: λ.
        held_out: Logits of every training picture from a head that has not seen it, float64
            ``(n, C)``; NaN for the only picture of a class, which no head can do without.
    """

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    strength: float
    held_out: Matrix


def fit_head(
    features: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    classes: int,
    seed: int = 0,
    *,
    on_progress: Reporter = ignore,
) -> Head:
    """Fit a head, with the strength that the pictures themselves favour.

    Args:
        features: ``(n, D)``, finite.
        labels: ``(n,)``, each from 0 to ``classes`` − 1.
        classes: C.
        seed: Of the folds.
        on_progress: Told after each fold and at the end, stage ``"head"``.
    """
    decomposition = decompose(features)
    targets = np.eye(classes)[labels]
    ridge = choose_strength(decomposition, targets)
    strengths = ridge * _RELATIVE_STRENGTHS
    held_out = np.full((len(strengths), *targets.shape), np.nan)
    folds = assign_folds(labels, FOLDS, seed)
    total = int(folds.max()) + 2
    for fold in range(total - 1):
        on_progress(Progress(stage="head", step=fold, total=total))
        out = folds == fold
        path = _solve_path(decomposition, targets, np.where(out, 0.0, 1.0), strengths)
        for logits, solution in zip(held_out, path, strict=True):
            logits[out] = decomposition.coordinates[out] @ solution[:-1] + solution[-1]
    on_progress(Progress(stage="head", step=total - 1, total=total))
    losses = [log_loss(logits[folds >= 0], labels[folds >= 0]) for logits in held_out]
    best = int(np.argmin(losses))
    kernel, bias = solve(decomposition, targets, strengths[best])
    on_progress(Progress(stage="head", step=total, total=total))
    return Head(kernel, bias, float(strengths[best]), held_out[best])


def solve(
    decomposition: Decomposition, targets: Matrix, strength: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fit the head of one strength on all pictures.

    Args:
        decomposition: The features.
        targets: One-hot labels, ``(n, C)``.
        strength: λ.

    Returns:
        Kernel ``(D, C)`` and bias ``(C,)`` for raw features, float32.
    """
    weights = np.ones(len(targets))
    [solution] = _solve_path(decomposition, targets, weights, [strength], precision=1e-14)
    kernel = (decomposition.basis @ solution[:-1]) / decomposition.deviation[:, np.newaxis]
    bias = solution[-1] - decomposition.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def assign_folds(labels: npt.NDArray[np.integer], folds: int, seed: int) -> npt.NDArray[np.integer]:
    """Deal the pictures of every class over the folds like cards.

    Returns:
        For every picture its fold, ``(n,)``; −1 for the only picture of a class, which must
        never be missing from what a head is fitted on.
    """
    generator = np.random.default_rng(seed)
    assigned = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            assigned[members] = np.arange(len(members)) % folds
    return assigned


def log_loss(logits: Matrix, labels: npt.NDArray[np.integer]) -> float:
    """Sum of −log softmax(logits) at the labels, in nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float(np.sum(log_sums - shifted[np.arange(len(labels)), labels]))


def _solve_path(
    decomposition: Decomposition,
    targets: Matrix,
    weights: npt.NDArray[np.float64],
    strengths: npt.ArrayLike,
    precision: float = 1e-5,
) -> Iterator[Matrix]:
    """Solve for one strength after the other, each from the solution of the one before.

    In the basis of the decomposition the Hessian is about diag(c·S² + λ), so in coordinates
    divided by its root every direction bends alike and L-BFGS needs tens of steps, not hundreds.

    Args:
        decomposition: The features.
        targets: One-hot labels, ``(n, C)``.
        weights: w, ``(n,)``; 0 leaves a picture out.
        strengths: λ, strongest first.
        precision: Stop when the loss is within about half of this per picture of its minimum.

    Yields:
        For each strength the weights in the basis of the decomposition and below them the
        biases, ``(r + 1, C)``.
    """
    count = len(targets)
    solution = np.zeros((len(decomposition.scatter) + 1, targets.shape[1]))
    for strength in np.asarray(strengths, np.float64):
        bend = _CURVATURE * np.append(decomposition.scatter, count) + np.append(
            np.full(len(decomposition.scatter), strength), 0.0
        )
        unit = 1.0 / np.sqrt(bend)[:, np.newaxis]
        found = _descend(
            tf.constant(solution / unit),
            tf.constant(unit),
            tf.constant(decomposition.coordinates),
            tf.constant(targets),
            tf.constant(weights),
            tf.constant(strength),
            tf.constant(precision * count, tf.float64),
        )
        solution = unit * found.numpy()
        yield solution


def _minimise(
    x: Any, unit: Any, coordinates: Any, targets: Any, weights: Any, strength: Any, enough: Any
) -> Any:
    """Minimise the regularised cross-entropy from ``x`` until ‖gradient‖² is small enough."""

    def evaluate(x: Any) -> Evaluation:
        kernel, bias = (x * unit)[:-1], (x * unit)[-1]
        logits = coordinates @ kernel + bias
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        errors = weights[:, tf.newaxis] * (tf.nn.softmax(logits) - targets)
        slope = tf.matmul(coordinates, errors, transpose_a=True) + strength * kernel
        gradient = tf.concat([slope, tf.reduce_sum(errors, axis=0)[tf.newaxis]], axis=0)
        loss = tf.tensordot(weights, losses, 1) + strength * tf.nn.l2_loss(kernel)
        return Evaluation(loss, unit * gradient, {})

    def is_unfinished(x: Any, state: Any, remaining: Any) -> Any:
        return remaining > enough

    def advance(x: Any, state: Any, remaining: Any) -> Any:
        x, state, evaluation = _MINIMIZER.step(evaluate, x, state)
        return x, state, tf.reduce_sum(evaluation.gradient**2)

    start = (x, _MINIMIZER.init(x), tf.constant(float("inf"), x.dtype))
    x, state, _ = tf.while_loop(is_unfinished, advance, start, maximum_iterations=500)
    return _MINIMIZER.result(x, state)


_descend = tf.function(_minimise, autograph=False)
