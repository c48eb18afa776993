"""Class activation maps: which parts of an image support a class, and which oppose it.

If a linear head takes the mean of the last feature map F over its P positions, the logit of class c
is z_c = b_c + Σ_k w_kc·(1/P)·Σ_p F_kp = b_c + (1/P)·Σ_p M_cp with M_cp = Σ_k w_kc·F_kp (Zhou et
al. 2016): the map M is an exact decomposition of the logit. Softmax logits are defined up to a
constant, so each class is compared with the mean of all: w_kc − mean_c' w_kc' replaces w_kc.
Sigmoid logits need no comparison.

If the head takes more than that mean, the mean over the positions of ∂z_c/∂F_kp replaces w_kc, and
negative values are set to 0 (Grad-CAM, Selvaraju et al. 2017).
"""

from collections.abc import Callable
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from nstk.backbones.keras_config import pinned_keras_config
from nstk.features.executors import NetworkExecutor, Run
from nstk.features.networks import SQUARE
from nstk.heads.links import Link
from nstk.settings import ExecutorName
from nstk.types import Array, KerasLayer, KerasModel

HEAD = "head"

Method = Literal["class activation map", "Grad-CAM"]

Explainer = Callable[[Array], tuple[Array, Callable[[int], Array]]]
"""Function from a crop to the probabilities ``(C,)`` and a function from a class to its map."""


def choose_method(model: KerasModel) -> Method:
    """Choose the kind of map: exact if the logits are linear in the mean of the feature map."""
    head = model.get_layer(HEAD)
    is_linear = isinstance(head, keras.layers.Dense) and head.input is _find_mean(model).output
    return "class activation map" if is_linear else "Grad-CAM"


@pinned_keras_config()
def build_explainer(
    model: KerasModel,
    method: Method,
    link: Link,
    executor: ExecutorName = "tensorflow",
    images: int = 1,
) -> Explainer:
    """Build the function that explains crops; of several crops it explains the first.

    Args:
        model: A classifier's network.
        method: The method from `choose_method`, or Grad-CAM for any network.
        link: The link from logits to probabilities.
        executor: What runs the network of a class activation map.
        images: Number of images to explain.
    """
    mean, head = _find_mean(model), model.get_layer(HEAD)
    square = model.get_layer(SQUARE).output
    if method == "class activation map":
        executors = NetworkExecutor(keras.Model(square, [mean.input, model.outputs[0]]))
        run = executors.run(executors.choose(executor, images))
        return _cam(run, np.asarray(link.contrast(head.get_weights()[0])))
    network = keras.Model(square, [mean.input, head.output, model.outputs[0]])
    return _grad_cam(network, link)


def _find_mean(model: KerasModel) -> KerasLayer:
    """The layer that computes the mean of the last feature map."""
    means = (each for each in model.layers if isinstance(each, keras.layers.GlobalAveragePooling2D))
    return next(means)


def _cam(run: Run, kernel: Array) -> Explainer:
    def explain_crop(crop: Array) -> tuple[Array, Callable[[int], Array]]:
        maps, probabilities = run(crop[np.newaxis])
        weighted = maps[0] @ kernel
        return probabilities[0], lambda label: weighted[..., label]

    return explain_crop


def _grad_cam(network: KerasModel, link: Link) -> Explainer:
    def explain_crop(crop: Array) -> tuple[Array, Callable[[int], Array]]:
        with tf.GradientTape(persistent=True) as tape:
            batch = tf.constant(crop[np.newaxis])
            tape.watch(batch)
            maps, logits, probabilities = network(batch, training=False)
            columns = tf.unstack(link.contrast(logits), axis=1)

        def class_map(label: int) -> Array:
            weights = tf.reduce_mean(tape.gradient(columns[label], maps), axis=(1, 2))
            evidence: Array = tf.nn.relu(maps[0] @ weights[0][:, tf.newaxis])[..., 0].numpy()
            return evidence

        return probabilities.numpy()[0], class_map

    return explain_crop
