"""One training step: augmentation, the gradient over all replicas, and Adam by layer."""

from collections.abc import Callable, Sequence
from math import cos, pi

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.keras_config import pinned_keras_config
from nstk.features.workers import Workers
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel
from nstk.heads.links import Link
from nstk.optimizers.adam import AdamState, update
from nstk.types import KerasLayer, Tensor, Variable

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Crops or activations ``(n, h, w, c)``, features ``(n, d)``, targets ``(n, C)``, weights
``(n, q)``."""

PIXEL_RECIPES = ("light", "strong")
"""Recipes that change pixels; the others also work on activations inside the network."""

SMOOTHING = 0.1
MIXING = 0.2

_RANGE = (0.0, 1.0)

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
    """The compiled step and its Adam moments."""

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


class Augmentation:
    """One recipe, compiled; no two calls change a batch in the same way.

    - ``"none"``: nothing.
    - ``"mixup"``: mix each image with another, λ·a + (1 − λ)·b with λ from Beta(0.2, 0.2)
      (Zhang et al. 2018), and smooth the targets: 0.9 of the target, 0.1 spread evenly
      (Szegedy et al. 2016).
    - ``"light"``: flip, zoom, shift and color jitter; smoothed targets.
    - ``"strong"``: flip, zoom, shift and two operations of RandAugment (Cubuk et al. 2020); mixup
      and smoothed targets.
    """

    @pinned_keras_config()
    def __init__(self, name: str, seed: int, uniform_target: float) -> None:
        self._layers = _PIXEL_LAYERS[name](seed) if name in PIXEL_RECIPES else []
        mixes = name in ("mixup", "strong")
        self._mixup = keras.layers.MixUp(MIXING, seed=seed + 9) if mixes else None
        self._smoothing, self._uniform = SMOOTHING if name != "none" else 0.0, uniform_target
        self._compiled = tf.function(self._augment, autograph=False)

    def __call__(self, maps: Tensor, features: Tensor, targets: Tensor, weights: Tensor) -> Batch:
        augmented: Batch = self._compiled(maps, features, targets, weights)
        return augmented

    def get_state(self) -> list[npt.NDArray[np.integer]]:
        return [keras.ops.convert_to_numpy(variable) for variable in self._generators]

    def set_state(self, states: Sequence[npt.NDArray[np.integer]]) -> None:
        for variable, state in zip(self._generators, states, strict=True):
            variable.assign(state)

    @property
    def _generators(self) -> list[Variable]:
        layers = [*self._layers, *([self._mixup] if self._mixup else [])]
        return [variable for layer in layers for variable in layer.variables]

    @pinned_keras_config()
    def _augment(self, maps: Tensor, features: Tensor, targets: Tensor, weights: Tensor) -> Batch:
        for layer in self._layers:
            maps = layer(maps, training=True)
        if self._mixup:
            # Features and weights are mixed like labels, with the same λ.
            rows = [features, targets, weights]
            labels = tf.concat(rows, axis=1)
            mixed = self._mixup({"images": maps, "labels": labels}, training=True)
            maps = mixed["images"]
            widths = [each.shape[1] for each in rows]
            features, targets, weights = tf.split(mixed["labels"], widths, axis=1)
        if self._smoothing:
            targets = (1 - self._smoothing) * targets + self._smoothing * self._uniform
        return maps, features, targets, weights


def _geometry(seed: int) -> list[KerasLayer]:
    layers = keras.layers
    return [
        layers.RandomFlip("horizontal", seed=seed),
        layers.RandomZoom((-0.25, 0.0), fill_mode="reflect", seed=seed + 1),
        layers.RandomTranslation(0.08, 0.08, fill_mode="reflect", seed=seed + 2),
    ]


def _light(seed: int) -> list[KerasLayer]:
    layers = keras.layers
    return [
        *_geometry(seed),
        layers.RandomBrightness(0.2, value_range=_RANGE, seed=seed + 3),
        layers.RandomContrast(0.2, value_range=_RANGE, seed=seed + 4),
        layers.RandomSaturation((0.4, 0.6), value_range=_RANGE, seed=seed + 5),
    ]


def _strong(seed: int) -> list[KerasLayer]:
    augment = keras.layers.RandAugment(value_range=_RANGE, num_ops=2, factor=0.3, seed=seed + 6)
    return [*_geometry(seed), augment]


_PIXEL_LAYERS: dict[str, Callable[[int], list[KerasLayer]]] = {"light": _light, "strong": _strong}
