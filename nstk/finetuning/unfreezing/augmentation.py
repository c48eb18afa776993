"""Augmentation of batches: of pixels, or of activations inside the network."""

import keras
import tensorflow as tf

from nstk.backbones.keras_config import pinned_keras_config
from nstk.types import KerasLayer, Tensor, Variable

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Crops or activations ``(n, h, w, c)``, features ``(n, d)``, targets ``(n, C)``, weights
``(n, q)``."""

PIXEL_RECIPES = ("light", "strong")
"""Recipes that change pixels; the others also work on activations."""

SMOOTHING = 0.1
MIXING = 0.2


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
        self._layers = _pixel_layers(name, seed) if name in PIXEL_RECIPES else []
        mixes = name in ("mixup", "strong")
        self._mixup = keras.layers.MixUp(MIXING, seed=seed + 9) if mixes else None
        self._smoothing, self._uniform = SMOOTHING if name != "none" else 0.0, uniform_target
        self._compiled = tf.function(self._augment, autograph=False)

    def __call__(self, maps: Tensor, features: Tensor, targets: Tensor, weights: Tensor) -> Batch:
        augmented: Batch = self._compiled(maps, features, targets, weights)
        return augmented

    @property
    def generators(self) -> list[Variable]:
        """The states of all random generators."""
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
            widths = [each.shape[1] for each in rows]
            maps = mixed["images"]
            features, targets, weights = tf.split(mixed["labels"], widths, axis=1)
        if self._smoothing:
            targets = (1 - self._smoothing) * targets + self._smoothing * self._uniform
        return maps, features, targets, weights


def _pixel_layers(name: str, seed: int) -> list[KerasLayer]:
    layers, unit = keras.layers, (0.0, 1.0)
    geometry = [
        layers.RandomFlip("horizontal", seed=seed),
        layers.RandomZoom((-0.25, 0.0), fill_mode="reflect", seed=seed + 1),
        layers.RandomTranslation(0.08, 0.08, fill_mode="reflect", seed=seed + 2),
    ]
    if name == "strong":
        rand_augment = layers.RandAugment(value_range=unit, num_ops=2, factor=0.3, seed=seed + 6)
        return [*geometry, rand_augment]
    return [
        *geometry,
        layers.RandomBrightness(0.2, value_range=unit, seed=seed + 3),
        layers.RandomContrast(0.2, value_range=unit, seed=seed + 4),
        layers.RandomSaturation((0.4, 0.6), value_range=unit, seed=seed + 5),
    ]
