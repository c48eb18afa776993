"""What training images go through, so that no step sees the same twice: Keras's own layers."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.conventions import pinned_keras_config

Batch = tuple[Any, Any, Any, Any]
"""Maps ``(n, h, w, c)``, features ``(n, d)``, targets ``(n, C)`` and weights ``(n, q)``."""

REACHING_PIXELS = ("light", "strong")
"""Those that need the image itself; the others are content with maps from inside the network."""

SMOOTHING = 0.1
MIXING = 0.2

_RANGE = (0.0, 1.0)


class Augmentation:
    """One of the recipes, compiled.

    - ``"none"``: nothing.
    - ``"mixup"``: each image is mixed with another, λ·a + (1 − λ)·b with λ from Beta(0.2, 0.2)
      (Zhang et al. 2018), and its targets are smoothed: 0.9 of what they were, 0.1 dealt evenly
      (Szegedy et al. 2016).
    - ``"light"``: mirrored, zoomed into, moved, other light and colors; smoothed.
    - ``"strong"``: mirrored, zoomed into, two operations of RandAugment (Cubuk et al. 2020); mixed
      and smoothed.

    Args:
        name: The recipe.
        seed: Of everything random in it.
        even: What a target is where nothing is known.
    """

    @pinned_keras_config()
    def __init__(self, name: str, seed: int, even: float) -> None:
        self._change = [] if name not in REACHING_PIXELS else _PIXELS[name](seed)
        mixes = name in ("mixup", "strong")
        self._mix = keras.layers.MixUp(MIXING, seed=seed + 9) if mixes else None
        self._smoothing, self._even = SMOOTHING if name != "none" else 0.0, even
        self._compiled = tf.function(self._augment, autograph=False)

    def __call__(self, maps: Any, features: Any, targets: Any, weights: Any) -> Batch:
        """Change a batch; no two calls do the same."""
        changed: Batch = self._compiled(maps, features, targets, weights)
        return changed

    def read(self) -> list[npt.NDArray[np.integer]]:
        """Where all that is random in it stands."""
        return [keras.ops.convert_to_numpy(variable) for variable in self._generators]

    def write(self, states: Sequence[npt.NDArray[np.integer]]) -> None:
        """Go back to what `read` gave."""
        for variable, state in zip(self._generators, states, strict=True):
            variable.assign(state)

    @property
    def _generators(self) -> list[Any]:
        layers = [*self._change, *([self._mix] if self._mix else [])]
        return [variable for layer in layers for variable in layer.variables]

    @pinned_keras_config()
    def _augment(self, maps: Any, features: Any, targets: Any, weights: Any) -> Batch:
        for layer in self._change:
            maps = layer(maps, training=True)
        if self._mix:
            # What is no map is mixed like labels, with the same shares.
            rows = [features, targets, weights]
            labels = tf.concat(rows, axis=1)
            mixed = self._mix({"images": maps, "labels": labels}, training=True)
            maps = mixed["images"]
            widths = [each.shape[1] for each in rows]
            features, targets, weights = tf.split(mixed["labels"], widths, axis=1)
        if self._smoothing:
            targets = (1 - self._smoothing) * targets + self._smoothing * self._even
        return maps, features, targets, weights


def _look_closer(seed: int) -> list[Any]:
    layers = keras.layers
    return [
        layers.RandomFlip("horizontal", seed=seed),
        layers.RandomZoom((-0.25, 0.0), fill_mode="reflect", seed=seed + 1),
        layers.RandomTranslation(0.08, 0.08, fill_mode="reflect", seed=seed + 2),
    ]


def _relight(seed: int) -> list[Any]:
    layers = keras.layers
    return [
        layers.RandomBrightness(0.2, value_range=_RANGE, seed=seed + 3),
        layers.RandomContrast(0.2, value_range=_RANGE, seed=seed + 4),
        layers.RandomSaturation((0.4, 0.6), value_range=_RANGE, seed=seed + 5),
    ]


_PIXELS: dict[str, Callable[[int], list[Any]]] = {
    "light": lambda seed: [*_look_closer(seed), *_relight(seed)],
    "strong": lambda seed: [
        *_look_closer(seed),
        keras.layers.RandAugment(value_range=_RANGE, num_ops=2, factor=0.3, seed=seed + 6),
    ],
}
