"""What training pictures go through, so that no step sees the same twice: Keras's own layers."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

Batch = tuple[Any, Any, Any, Any]
"""Maps ``(n, h, w, c)``, features ``(n, d)``, targets ``(n, C)`` and weights ``(n, q)``."""

Augmentation = Callable[[Any, Any, Any, Any], Batch]

REACHING_PIXELS = ("light", "strong")
"""Those that need the picture itself; the others are content with maps from inside the network."""

SMOOTHING = 0.1
MIXING = 0.2

_RANGE = (0.0, 1.0)


def build_augmentation(name: str, seed: int, even: float) -> Augmentation:
    """Build one of the recipes, compiled.

    - ``"none"``: nothing.
    - ``"mixup"``: each picture is mixed with another, λ·a + (1 − λ)·b with λ from Beta(0.2, 0.2)
      (Zhang et al. 2018), and its targets are smoothed: 0.9 of what they were, 0.1 dealt evenly
      (Szegedy et al. 2016).
    - ``"light"``: mirrored, zoomed into, moved, other light and colours; smoothed.
    - ``"strong"``: mirrored, zoomed into, two operations of RandAugment (Cubuk et al. 2020); mixed
      and smoothed.

    Args:
        name: The recipe.
        seed: Of everything random in it.
        even: What a target is where nothing is known.
    """
    change = [] if name not in REACHING_PIXELS else _PIXELS[name](seed)
    mix = keras.layers.MixUp(MIXING, seed=seed + 9) if name in ("mixup", "strong") else None

    def augment(maps: Any, features: Any, targets: Any, weights: Any) -> Batch:
        for layer in change:
            maps = layer(maps, training=True)
        if mix:
            # What is no map is mixed like labels, with the same shares.
            rows = [features, targets, weights]
            labels = tf.concat(rows, axis=1)
            mixed = mix({"images": maps, "labels": labels}, training=True)
            maps = mixed["images"]
            widths = [each.shape[1] for each in rows]
            features, targets, weights = tf.split(mixed["labels"], widths, axis=1)
        if name != "none":
            targets = (1 - SMOOTHING) * targets + SMOOTHING * even
        return maps, features, targets, weights

    compiled: Augmentation = tf.function(augment, autograph=False)
    return compiled


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
