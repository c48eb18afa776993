"""The head: multinomial logistic regression on fixed features, solved instead of trained.

For standardised features z, labels y and strength λ the head minimises

    Σ_i w_i·(−log softmax(Wᵀz_i + b)_{y_i}) + ½·λ·‖W‖²,

which is convex and has one minimum (b is not penalised). There is no learning rate and there are
no epochs: L-BFGS in float64 runs until the gradient is nothing.

How strong λ should be, the training pictures say themselves. Exact leave-one-out errors of ridge
regression find its best strength at once (see `ridge`). A cross-entropy bends far less than a
square, so the best logistic strength is lower: by 10^-1.5 to 10^-2 on photographs of two and of
six classes and on digits of ten. So strengths from there on are compared by stratified
cross-validation, downhill to the lowest log-loss.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.finetuning.folds import Labels, assign_folds
from nstk.finetuning.ridge import Decomposition, Matrix, choose_strength, decompose
from nstk.minimizers import LBFGS, Evaluation
from nstk.progress import Progress, Reporter, ignore

FOLDS = 5

_RELATIVE_STRENGTHS = 10.0 ** np.arange(-0.5, -3.0, -0.5)
_FIRST_TRIED = 2
_CURVATURE = 0.1
_GRAIN = 64
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

    @property
    def digest(self) -> str:
        """SHA-256 of kernel and bias."""
        return hashlib.sha256(self.kernel.tobytes() + self.bias.tobytes()).hexdigest()

    def answer(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Logits ``(n, C)`` of feature vectors ``(n, D)``."""
        logits: npt.NDArray[np.float32] = vectors @ self.kernel + self.bias
        return logits


def fit_head(
    features: npt.NDArray[np.floating],
    labels: Labels,
    classes: int,
    seed: int = 0,
    *,
    groups: Labels | None = None,
    balance: bool = False,
    on_progress: Reporter = ignore,
) -> Head:
    """Fit a head, with the strength that the pictures themselves favour.

    Args:
        features: ``(n, D)``, finite.
        labels: ``(n,)``, each from 0 to ``classes`` − 1.
        classes: C.
        seed: Of the folds.
        groups: Which pictures must be left out together, ``(n,)``; see `assign_folds`.
        balance: Whether every class weighs the same, however many pictures it has.
        on_progress: Told after each strength tried and at the end, stage ``"head"``.
    """
    decomposition = decompose(features)
    targets = np.eye(classes)[labels]
    strengths = choose_strength(decomposition, targets) * _RELATIVE_STRENGTHS
    weights = balance_classes(labels) if balance else np.ones(len(labels))
    folds = assign_folds(labels, FOLDS, seed, groups)
    trial = _Trial(decomposition, targets, weights, folds)
    total = len(strengths) + 1
    on_progress(Progress(stage="head", step=0, total=total))
    tried: dict[int, tuple[float, Matrix]] = {}
    place = _FIRST_TRIED
    while True:
        nearest = [each for each in (place, place - 1, place + 1) if 0 <= each < len(strengths)]
        for each in nearest:
            if each not in tried:
                tried[each] = trial.leave_out(float(strengths[each]))
                on_progress(Progress(stage="head", step=len(tried), total=total))
        best = min(nearest, key=lambda each: tried[each][0])
        if best == place:
            break
        place = best
    strength, held_out = float(strengths[place]), tried[place][1]
    kernel, bias = solve(decomposition, targets, strength, weights)
    on_progress(Progress(stage="head", step=total, total=total))
    return Head(kernel, bias, strength, held_out)


def solve(
    decomposition: Decomposition,
    targets: Matrix,
    strength: float,
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fit the head of one strength on all pictures.

    Args:
        decomposition: The features.
        targets: One-hot labels, ``(n, C)``.
        strength: λ.
        weights: w, ``(n,)``; None weighs every picture the same.

    Returns:
        Kernel ``(D, C)`` and bias ``(C,)`` for raw features, float32.
    """
    weights = np.ones(len(targets)) if weights is None else weights
    solution = _solve(decomposition, targets, weights, strength, precision=1e-14)
    kernel = (decomposition.basis @ solution[:-1]) / decomposition.deviation[:, np.newaxis]
    bias = solution[-1] - decomposition.mean @ kernel
    return kernel.astype(np.float32), bias.astype(np.float32)


def answer_all(
    decomposition: Decomposition,
    targets: Matrix,
    weights: npt.NDArray[np.float64],
    strength: float,
) -> Matrix:
    """Logits ``(n, C)`` of all pictures by the head of those whose weight is not 0.

    Args:
        decomposition: The features.
        targets: One-hot labels, ``(n, C)``.
        weights: w, ``(n,)``.
        strength: λ.
    """
    solution = _solve(decomposition, targets, weights, strength, precision=1e-5)
    logits: Matrix = decomposition.coordinates @ solution[:-1] + solution[-1]
    return logits


def balance_classes(labels: Labels) -> npt.NDArray[np.float64]:
    """Weights ``(n,)`` of mean 1 that give every class that is there the same sum."""
    present, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: npt.NDArray[np.float64] = len(labels) / (len(present) * counts[places])
    return weights


@dataclass(frozen=True, eq=False)
class _Trial:
    """A question to the training pictures: how good would a head of some strength be?"""

    decomposition: Decomposition
    targets: Matrix
    weights: npt.NDArray[np.float64]
    folds: Labels

    def leave_out(self, strength: float) -> tuple[float, Matrix]:
        """Log-loss and logits of every picture from heads that have not seen its fold."""
        held_out = np.full(self.targets.shape, np.nan)
        for fold in range(int(self.folds.max()) + 1):
            out = self.folds == fold
            weights = np.where(out, 0.0, self.weights)
            logits = answer_all(self.decomposition, self.targets, weights, strength)
            held_out[out] = logits[out]
        seen = self.folds >= 0
        labels = self.targets[seen].argmax(axis=1)
        return log_loss(held_out[seen], labels, self.weights[seen]), held_out


def log_loss(
    logits: Matrix, labels: Labels, weights: npt.NDArray[np.float64] | None = None
) -> float:
    """Sum of −w·log softmax(logits) at the labels, in nats; w is 1 where none is given."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    losses = log_sums - shifted[np.arange(len(labels)), labels]
    return float(np.sum(losses if weights is None else weights * losses))


def _solve(
    decomposition: Decomposition,
    targets: Matrix,
    weights: npt.NDArray[np.float64],
    strength: float,
    precision: float,
) -> Matrix:
    """Solve for one strength.

    In the basis of the decomposition the Hessian is about diag(c·S² + λ), so in coordinates
    divided by its root every direction bends alike and L-BFGS needs tens of steps, not hundreds.

    Args:
        decomposition: The features.
        targets: One-hot labels, ``(n, C)``.
        weights: w, ``(n,)``; 0 leaves a picture out.
        strength: λ.
        precision: Stop when the loss is within about half of this per picture of its minimum.

    Returns:
        The weights in the basis of the decomposition and below them the biases, ``(r + 1, C)``.
    """
    pictures, rank = decomposition.coordinates.shape
    # Rows and columns of zeros change nothing, and few shapes are few graphs to compile.
    more_pictures, more_rank = -pictures % _GRAIN, -rank % _GRAIN
    coordinates = np.pad(decomposition.coordinates, ((0, more_pictures), (0, more_rank)))
    bend = _CURVATURE * np.append(np.pad(decomposition.scatter, (0, more_rank)), pictures)
    bend[:-1] += strength
    unit = 1.0 / np.sqrt(bend)[:, np.newaxis]
    found = _descend(
        tf.zeros((rank + more_rank + 1, targets.shape[1]), tf.float64),
        tf.constant(unit),
        tf.constant(coordinates),
        tf.constant(np.pad(targets, ((0, more_pictures), (0, 0)))),
        tf.constant(np.pad(weights, (0, more_pictures))),
        tf.constant(strength, tf.float64),
        tf.constant(precision * pictures, tf.float64),
    )
    solution: Matrix = unit * found.numpy()
    return np.delete(solution, slice(rank, rank + more_rank), axis=0)


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
