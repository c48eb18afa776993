"""Links: how logits become probabilities, and what a wrong probability costs.

A link splits classification into q problems. Where every image has one label, softmax has a single
problem with C classes. In multi-label data the sigmoid has C binary problems, one for each label.
Everything that is solved, weighted or chosen for each problem has q entries, so one code serves
both.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.types import Array, KerasLayer, Matrix, Targets, Tensor

_LEAST = float(np.finfo(np.float32).tiny)


class Link(Hashable, Protocol):
    """A function from logits ``(n, C)`` to probabilities, with C labels and q problems."""

    def probabilities(self, logits: Array) -> Array:
        """Probabilities of the labels, with the shape and dtype of the logits."""

    def logits(self, probabilities: Matrix) -> Matrix:
        """Logits ``(n, C)`` of probabilities, which are kept away from 0 and 1."""

    def jvp(self, probabilities: Array, changes: Array) -> Array:
        """Change of the probabilities along changes u of the logits, J·u; all ``(n, C)``."""

    def losses(self, targets: Array, logits: Matrix) -> Matrix:
        """−log p of the true class of every problem, in nats, ``(n, q)``."""

    def cross_entropy(self, targets: Tensor, logits: Tensor) -> Tensor:
        """The losses as a tensor, for training."""

    def pool(self, errors: Matrix) -> Matrix:
        """Errors of problems ``(q,)`` from errors of labels ``(C,)``."""

    def problem_labels(self, targets: Targets) -> npt.NDArray[np.integer]:
        """The true class of every problem as a number, ``(n, q)``."""

    def contrast(self, weights: Tensor) -> Tensor:
        """Values ``(…, C)`` relative to what a label competes with."""

    def layer(self) -> KerasLayer:
        """A Keras layer from logits to probabilities."""


@dataclass(frozen=True)
class Softmax:
    """One label per image: the probabilities of the classes sum to 1."""

    def probabilities(self, logits: Array) -> Array:
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities: Array = shares / shares.sum(axis=-1, keepdims=True)
        return probabilities

    def logits(self, probabilities: Matrix) -> Matrix:
        logits: Matrix = np.log(np.maximum(probabilities, _LEAST))
        return logits

    def jvp(self, probabilities: Array, changes: Array) -> Array:
        """See `Link.jvp`: p·(u − ⟨p, u⟩)."""
        means = (probabilities * changes).sum(axis=1, keepdims=True)
        differences: Array = probabilities * (changes - means)
        return differences

    def losses(self, targets: Array, logits: Matrix) -> Matrix:
        """See `Link.losses`: one problem."""
        below = logits - logits.max(axis=1, keepdims=True)
        nats = np.log(np.exp(below).sum(axis=1)) - (targets * below).sum(axis=1)
        losses: Matrix = nats[:, np.newaxis]
        return losses

    def cross_entropy(self, targets: Tensor, logits: Tensor) -> Tensor:
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits)[:, tf.newaxis]

    def pool(self, errors: Matrix) -> Matrix:
        """See `Link.pool`: the mean."""
        return np.atleast_1d(errors.mean())

    def problem_labels(self, targets: Targets) -> npt.NDArray[np.integer]:
        """See `Link.problem_labels`: the class."""
        classes: npt.NDArray[np.integer] = targets.argmax(axis=1)
        return classes[:, np.newaxis]

    def contrast(self, weights: Tensor) -> Tensor:
        """See `Link.contrast`: relative to the mean class, as a constant changes nothing."""
        return weights - keras.ops.mean(weights, axis=-1, keepdims=True)

    def layer(self) -> KerasLayer:
        return keras.layers.Softmax(dtype="float32", name="probabilities")


@dataclass(frozen=True)
class Sigmoid:
    """Any number of labels per image: each has a probability of its own."""

    def probabilities(self, logits: Array) -> Array:
        probabilities: Array = np.exp(np.minimum(logits, 0)) / (1 + _decay(logits))
        return probabilities

    def logits(self, probabilities: Matrix) -> Matrix:
        logits: Matrix = np.log(np.maximum(probabilities, _LEAST))
        logits -= np.log(np.maximum(1 - probabilities, _LEAST))
        return logits

    def jvp(self, probabilities: Array, changes: Array) -> Array:
        """See `Link.jvp`: p·(1 − p)·u."""
        differences: Array = probabilities * (1 - probabilities) * changes
        return differences

    def losses(self, targets: Array, logits: Matrix) -> Matrix:
        """See `Link.losses`: a problem for every label."""
        losses: Matrix = np.maximum(logits, 0) - targets * logits + np.log1p(_decay(logits))
        return losses

    def cross_entropy(self, targets: Tensor, logits: Tensor) -> Tensor:
        return tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)

    def pool(self, errors: Matrix) -> Matrix:
        """See `Link.pool`: unchanged."""
        return errors

    def problem_labels(self, targets: Targets) -> npt.NDArray[np.integer]:
        """See `Link.problem_labels`: 1 where the image has the label."""
        return targets.astype(int)

    def contrast(self, weights: Tensor) -> Tensor:
        """See `Link.contrast`: a logit of 0 is the tie between yes and no, so unchanged."""
        return weights

    def layer(self) -> KerasLayer:
        return keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")


def _decay(logits: Array) -> Array:
    """e^−|z|, which never overflows."""
    decay: Array = np.exp(-np.abs(logits))
    return decay


SOFTMAX = Softmax()
"""The link for one label per image: probabilities sum to 1."""

SIGMOID = Sigmoid()
"""The link for any number of labels per image: each label has its own probability."""
