"""One step: the gradient of the loss over all replicas, then Adam with a rate for every depth."""

from collections.abc import Sequence
from math import cos, pi
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.features.workers import Workers
from nstk.finetuning.unfreezing.augmentation import Batch
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel
from nstk.heads.links import Link
from nstk.optimizers.adam import Moments, update

Vectors = npt.NDArray[np.float32]

RATE = 3e-5
"""Step size of the head in a coordinate, at the height of the schedule."""

DECAY = 0.8
"""What the rate is multiplied by from each block to the one before it."""

PULL = 0.1
"""α of L2-SP: the loss has ½·α·‖w − w⁰‖², with w⁰ what was there before (Li et al. 2018)."""

_WARM_UP = 0.1
_EPSILON = 1e-8
_BETAS = 0.9, 0.999


def schedule_rate(step: int, steps: int) -> float:
    """The share of `RATE` at a step: up in a straight line, then down along a cosine to 0.

    Args:
        step: From 0.
        steps: How many there are; the first tenth of them, rounded up, warms up.
    """
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return (1 + cos(pi * (step - warm) / max(1, steps - warm))) / 2


class TrainingStep:
    """The state of Adam for all variables that learn, and the compiled step.

    Args:
        network: What learns.
        link: What makes probabilities of its logits.
        workers: Whose replicas share a batch; variables must have been made in the scope of their
            strategy.
        reaches_pixels: Whether batches are squares; else they are maps at the border.
    """

    def __init__(
        self, network: PartiallyFrozenModel, link: Link, workers: Workers, *, reaches_pixels: bool
    ) -> None:
        self._network, self._link, self._workers = network, link, workers
        self._reaches_pixels = reaches_pixels
        self._variables = [variable.value for variable in network.variables]
        self._rates = [DECAY**depth for depth, group in enumerate(network.groups) for _ in group]
        with workers.strategy.scope():
            self._first, self._second, self._start = (
                [tf.Variable(make(each), trainable=False) for each in self._variables]
                for make in (tf.zeros_like, tf.zeros_like, tf.convert_to_tensor)
            )
        self._step = tf.function(self._advance, autograph=False)

    def step(self, batch: Batch, rate: float, count: int, late: bool) -> Any:
        """Take a step.

        Args:
            batch: Of this process, with as many rows for each of its replicas; squares or maps.
            rate: The share of `RATE`.
            count: How many steps were taken before.
            late: Whether this process is out of time.

        Returns:
            The loss, and whether any process is out of time.
        """
        loss, votes = self._step(
            tuple(map(self._deal, batch)),
            self._deal(tf.fill([len(batch[0])], float(late))),
            tf.constant(rate, tf.float32),
            tf.constant(count, tf.float32),
        )
        return float(loss), bool(votes > 0)

    def forget(self) -> None:
        """Begin anew, as if no step had been taken; the variables stay."""
        for slot in (*self._first, *self._second):
            slot.assign(tf.zeros_like(slot))

    def read(self) -> list[Vectors]:
        """The means and squares that Adam remembers."""
        return [slot.numpy() for slot in (*self._first, *self._second)]

    def write(self, values: Sequence[Vectors]) -> None:
        """Go back to what `read` gave."""
        for slot, value in zip((*self._first, *self._second), values, strict=True):
            slot.assign(value)

    def _deal(self, rows: Any) -> Any:
        """Give each replica of this process its rows."""
        here = self._workers.replicas

        def give(context: Any) -> Any:
            place = context.replica_id_in_sync_group % here
            return tf.convert_to_tensor(rows[place::here])

        return self._workers.strategy.experimental_distribute_values_from_function(give)

    def _advance(self, batch: Any, late: Any, rate: Any, count: Any) -> Any:
        strategy = self._workers.strategy
        losses, sizes, votes, gradients = strategy.run(self._differentiate, args=(batch, late))
        size = strategy.reduce("SUM", sizes, axis=None)
        for place, variable in enumerate(self._variables):
            gradient = strategy.reduce("SUM", gradients[place], axis=None) / size
            gradient += PULL * (variable - self._start[place])
            moments = Moments(count, self._first[place], self._second[place])
            change, after = update(
                gradient, moments, rate * RATE * self._rates[place], *_BETAS, _EPSILON
            )
            variable.assign(variable + change)
            self._first[place].assign(after.first)
            self._second[place].assign(after.second)
        return (
            strategy.reduce("SUM", losses, axis=None) / size,
            strategy.reduce("SUM", votes, axis=None),
        )

    def _differentiate(self, batch: Any, late: Any) -> Any:
        maps, features, targets, weights = batch
        if self._reaches_pixels:
            maps, features = self._network.see(maps)
        with tf.GradientTape() as tape:
            logits = self._network.judge(self._network.describe(maps, features))
            loss = tf.reduce_sum(weights * self._link.cross_entropy(targets, logits))
        size = tf.cast(tf.shape(targets)[0], tf.float32)
        return loss, size, tf.reduce_sum(late), tape.gradient(loss, self._variables)
