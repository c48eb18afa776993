"""Class activation maps: which places of an image speak for a class, and which against it.

Where a linear head sees the mean of the last feature map F over its P places, the logit of class c
is z_c = b_c + Σ_k w_kc·(1/P)·Σ_p F_kp = b_c + (1/P)·Σ_p M_cp with M_cp = Σ_k w_kc·F_kp (Zhou et
al. 2016): the map M is an exact account of the logit. A softmax knows logits up to a constant
only, so every class is compared with the mean of all: with w_kc − mean_c' w_kc' in place of w_kc.
A sigmoid's logit stands for itself.

Where the head sees more than that mean, w_kc is replaced by the mean over the places of
∂z_c/∂F_kp, and what speaks against the class is cut off (Grad-CAM, Selvaraju et al. 2017).
"""

from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.backbones.conventions import pinned_keras_config
from nstk.features.networks import SQUARE
from nstk.heads.links import Link

HEAD = "head"

Array = npt.NDArray[np.float32]

Method = Literal["class activation map", "Grad-CAM"]

Look = Callable[[Array], tuple[Array, Callable[[int], Array]]]
"""From a square to the probabilities ``(C,)`` and, for a class, its map ``(h, w)``."""


def choose_method(model: Any) -> Method:
    """Say which kind of map a classifier allows: the exact one where its logits are linear."""
    head = model.get_layer(HEAD)
    is_linear = isinstance(head, keras.layers.Dense) and head.input is _find_mean(model).output
    return "class activation map" if is_linear else "Grad-CAM"


@pinned_keras_config()
def build_look(model: Any, method: Method, link: Link) -> Look:
    """Give what looks at one square after the other; of several views it explains the first.

    Args:
        model: A classifier's network.
        method: What `choose_method` says, or Grad-CAM for any network.
        link: What makes probabilities of its logits.
    """
    mean, head = _find_mean(model), model.get_layer(HEAD)
    square = model.get_layer(SQUARE).output
    network = keras.Model(square, [mean.input, head.output, model.outputs[0]])
    if method == "class activation map":
        return _weigh(network, np.asarray(link.contrast(head.get_weights()[0])))
    return _differentiate(network, link)


def _find_mean(model: Any) -> Any:
    """The layer that takes the mean of the last feature map."""
    means = (each for each in model.layers if isinstance(each, keras.layers.GlobalAveragePooling2D))
    return next(means)


def _weigh(network: Any, kernel: Array) -> Look:
    def look(square: Array) -> tuple[Array, Callable[[int], Array]]:
        maps, _, probabilities = network(square[np.newaxis], training=False)
        weighted = maps.numpy()[0] @ kernel
        return probabilities.numpy()[0], lambda label: weighted[..., label]

    return look


def _differentiate(network: Any, link: Link) -> Look:
    def look(square: Array) -> tuple[Array, Callable[[int], Array]]:
        with tf.GradientTape(persistent=True) as tape:
            batch = tf.constant(square[np.newaxis])
            tape.watch(batch)
            maps, logits, probabilities = network(batch, training=False)
            columns = tf.unstack(link.contrast(logits), axis=1)

        def explain(label: int) -> Array:
            weights = tf.reduce_mean(tape.gradient(columns[label], maps), axis=(1, 2))
            speaking: Array = tf.nn.relu(maps[0] @ weights[0][:, tf.newaxis])[..., 0].numpy()
            return speaking

        return probabilities.numpy()[0], explain

    return look
