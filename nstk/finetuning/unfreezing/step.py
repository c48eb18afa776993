"""One training step: the gradient over all replicas, then Adam with layer-wise learning rates."""

from collections.abc import Sequence
from math import cos, pi

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.features.workers import Workers
from nstk.finetuning.unfreezing.augmentation import Batch
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel
from nstk.heads.links import Link
from nstk.optimizers.adam import AdamState, update
from nstk.types import Tensor

LEARNING_RATE = 3e-5
"""Peak learning rate of the head."""

DECAY = 0.8
"""Factor on the learning rate from each block to the one before it."""

L2_SP = 0.1
"""α of L2-SP: the loss has ½·α·‖w − w⁰‖², with pretrained weights w⁰ (Li et al. 2018)."""

_WARM_UP = 0.1
_EPSILON = 1e-8
_BETAS = 0.9, 0.999


def schedule_rate(step: int, steps: int) -> float:
    """The share of `LEARNING_RATE` at a step: linear warm-up, then cosine decay to 0."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return (1 + cos(pi * (step - warm) / max(1, steps - warm))) / 2


class TrainingStep:
    """The compiled step and its Adam moments.

    Args:
        network: The model; its variables must have been created in the scope of the strategy.
        link: From logits to probabilities.
        workers: The processes; their replicas share a batch.
        from_pixels: Whether batches hold crops; otherwise maps at the split point.
    """

    def __init__(
        self, network: PartiallyFrozenModel, link: Link, workers: Workers, *, from_pixels: bool
    ) -> None:
        self.network, self.link, self.workers = network, link, workers
        self._from_pixels = from_pixels
        self._variables = [variable.value for variable in network.variables]
        self.rates = [DECAY**depth for depth, group in enumerate(network.groups) for _ in group]
        with workers.strategy.scope():
            self._first, self._second, self._start = (
                [tf.Variable(make(each), trainable=False) for each in self._variables]
                for make in (tf.zeros_like, tf.zeros_like, tf.convert_to_tensor)
            )
        self._compiled = tf.function(self._apply, autograph=False)

    def __call__(self, batch: Batch, rate: float, count: int, late: bool) -> tuple[float, bool]:
        """Take a step.

        Returns:
            The loss, and whether any process is past its deadline.
        """
        loss, votes = self._compiled(
            tuple(map(self._distribute, batch)),
            self._distribute(tf.fill([len(batch[0])], float(late))),
            tf.constant(rate, tf.float32),
            tf.constant(count, tf.float32),
        )
        return float(loss), bool(votes > 0)

    def reset(self) -> None:
        """Set the moments to zero; the variables stay as they are."""
        for slot in (*self._first, *self._second):
            slot.assign(tf.zeros_like(slot))

    def get_state(self) -> list[npt.NDArray[np.float32]]:
        """The first and second moments of Adam."""
        return [slot.numpy() for slot in (*self._first, *self._second)]

    def set_state(self, values: Sequence[npt.NDArray[np.float32]]) -> None:
        """Restore what `get_state` returned."""
        for slot, value in zip((*self._first, *self._second), values, strict=True):
            slot.assign(value)

    def _distribute(self, rows: Tensor) -> Tensor:
        """Split rows over the replicas of this process."""
        replicas = self.workers.replicas

        def rows_of(context: tf.distribute.experimental.ValueContext) -> Tensor:
            index = context.replica_id_in_sync_group % replicas
            return tf.convert_to_tensor(rows[index::replicas])

        return self.workers.strategy.experimental_distribute_values_from_function(rows_of)

    def _apply(
        self, batch: Batch, late: Tensor, rate: Tensor, count: Tensor
    ) -> tuple[Tensor, Tensor]:
        strategy = self.workers.strategy
        losses, sizes, votes, gradients = strategy.run(self._differentiate, args=(batch, late))
        size = strategy.reduce("SUM", sizes, axis=None)
        for index, variable in enumerate(self._variables):
            gradient = strategy.reduce("SUM", gradients[index], axis=None) / size
            gradient += L2_SP * (variable - self._start[index])
            moments = AdamState(count, self._first[index], self._second[index])
            change, moments = update(
                gradient, moments, rate * LEARNING_RATE * self.rates[index], *_BETAS, _EPSILON
            )
            variable.assign(variable + change)
            self._first[index].assign(moments.first)
            self._second[index].assign(moments.second)
        return (
            strategy.reduce("SUM", losses, axis=None) / size,
            strategy.reduce("SUM", votes, axis=None),
        )

    def _differentiate(
        self, batch: Batch, late: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        maps, features, targets, weights = batch
        if self._from_pixels:
            maps, features = self.network.activations(maps)
        with tf.GradientTape() as tape:
            logits = self.network.logits(self.network.features(maps, features))
            loss = tf.reduce_sum(weights * self.link.cross_entropy(targets, logits))
        size = tf.cast(tf.shape(targets)[0], tf.float32)
        return loss, size, tf.reduce_sum(late), tape.gradient(loss, self._variables)
