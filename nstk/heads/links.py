"""Links: how logits become probabilities, and what a wrong probability costs.

A link asks questions. Where every image has one label, softmax asks one question with C answers:
which class? Where it may have any number, the sigmoid asks C questions with two answers each: this
label or not? Everything that is solved, weighed or chosen for each question on its own goes by the
number of questions, q, and is the same code for both.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

Matrix = npt.NDArray[np.float64]
Targets = npt.NDArray[np.bool_]
"""Which images have which labels, ``(n, C)``."""

_LEAST = float(np.finfo(np.float32).tiny)


class Link(Hashable, Protocol):
    """One way from logits ``(n, C)`` to probabilities; C labels, q questions."""

    def probabilities(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of each label, in the shape and dtype of the logits."""

    def logits(self, probabilities: Matrix) -> Matrix:
        """Logits ``(n, C)`` that give these probabilities, which are kept off 0 and 1."""

    def differentiate(self, probabilities: Matrix, changes: Matrix) -> Matrix:
        """How probabilities change along changes of the logits, J·u; all are ``(n, C)``."""

    def losses(self, targets: npt.NDArray[Any], logits: Matrix) -> Matrix:
        """−log p of the right answer to every question, in nats, ``(n, q)``."""

    def cross_entropy(self, targets: Any, logits: Any) -> Any:
        """The losses as a tensor, to be trained on."""

    def pool(self, errors: Matrix) -> Matrix:
        """From errors of labels ``(C,)`` to those of questions ``(q,)``."""

    def cases(self, targets: Targets) -> npt.NDArray[np.integer]:
        """The right answer to every question as a number, ``(n, q)``."""

    def contrast(self, weights: Any) -> Any:
        """What tells a label from its alternatives, of values ``(…, C)``."""

    def layer(self) -> Any:
        """The Keras layer that gives the probabilities."""


@dataclass(frozen=True)
class Softmax:
    """One label an image: the classes share a probability of 1."""

    def probabilities(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See `Link.probabilities`."""
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities: npt.NDArray[Any] = shares / shares.sum(axis=-1, keepdims=True)
        return probabilities

    def logits(self, probabilities: Matrix) -> Matrix:
        """See `Link.logits`."""
        logits: Matrix = np.log(np.maximum(probabilities, _LEAST))
        return logits

    def differentiate(self, probabilities: Matrix, changes: Matrix) -> Matrix:
        """See `Link.differentiate`: p·(u − ⟨p, u⟩)."""
        means = (probabilities * changes).sum(axis=1, keepdims=True)
        differences: Matrix = probabilities * (changes - means)
        return differences

    def losses(self, targets: npt.NDArray[Any], logits: Matrix) -> Matrix:
        """See `Link.losses`: one question."""
        below = logits - logits.max(axis=1, keepdims=True)
        nats = np.log(np.exp(below).sum(axis=1)) - (targets * below).sum(axis=1)
        losses: Matrix = nats[:, np.newaxis]
        return losses

    def cross_entropy(self, targets: Any, logits: Any) -> Any:
        """See `Link.cross_entropy`."""
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits)[:, tf.newaxis]

    def pool(self, errors: Matrix) -> Matrix:
        """See `Link.pool`: the mean."""
        return np.atleast_1d(errors.mean())

    def cases(self, targets: Targets) -> npt.NDArray[np.integer]:
        """See `Link.cases`: the class."""
        classes: npt.NDArray[np.integer] = targets.argmax(axis=1)
        return classes[:, np.newaxis]

    def contrast(self, weights: Any) -> Any:
        """See `Link.contrast`: logits are known up to a constant, so against the mean class."""
        return weights - keras.ops.mean(weights, axis=-1, keepdims=True)

    def layer(self) -> Any:
        """See `Link.layer`."""
        return keras.layers.Softmax(dtype="float32", name="probabilities")


@dataclass(frozen=True)
class Sigmoid:
    """Any number of labels an image: each has a probability of its own."""

    def probabilities(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See `Link.probabilities`."""
        probabilities: npt.NDArray[Any] = np.exp(np.minimum(logits, 0)) / (1 + _decay(logits))
        return probabilities

    def logits(self, probabilities: Matrix) -> Matrix:
        """See `Link.logits`."""
        logits: Matrix = np.log(np.maximum(probabilities, _LEAST))
        logits -= np.log(np.maximum(1 - probabilities, _LEAST))
        return logits

    def differentiate(self, probabilities: Matrix, changes: Matrix) -> Matrix:
        """See `Link.differentiate`: p·(1 − p)·u."""
        differences: Matrix = probabilities * (1 - probabilities) * changes
        return differences

    def losses(self, targets: npt.NDArray[Any], logits: Matrix) -> Matrix:
        """See `Link.losses`: a question for every label."""
        losses: Matrix = np.maximum(logits, 0) - targets * logits + np.log1p(_decay(logits))
        return losses

    def cross_entropy(self, targets: Any, logits: Any) -> Any:
        """See `Link.cross_entropy`."""
        return tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)

    def pool(self, errors: Matrix) -> Matrix:
        """See `Link.pool`: as they are."""
        return errors

    def cases(self, targets: Targets) -> npt.NDArray[np.integer]:
        """See `Link.cases`: 1 where the image has the label."""
        return targets.astype(int)

    def contrast(self, weights: Any) -> Any:
        """See `Link.contrast`: a logit of 0 says neither yes nor no, so as they are."""
        return weights

    def layer(self) -> Any:
        """See `Link.layer`."""
        return keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")


def _decay(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """e^−|z|, which never overflows."""
    decay: npt.NDArray[Any] = np.exp(-np.abs(logits))
    return decay


SOFTMAX, SIGMOID = Softmax(), Sigmoid()
