"""The same architecture with random weights: what a network is before it has learned anything."""

from typing import Any

import keras
import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.conventions import pinned_keras_config


@pinned_keras_config()
def randomize_network(network: Any, seed: int) -> Any:
    """Clone a network and draw all its weights anew.

    Kernels come from the normal distribution of He et al. (2015), N(0, 2 / n) with n inputs of
    each output; scales and variances are 1 and all other vectors 0, as before any training.

    Args:
        network: A functional ``keras.Model``.
        seed: Of the draw.

    Returns:
        A ``keras.Model`` of the same layers, which may be trained.
    """
    clone = keras.models.clone_model(network)
    clone.trainable = True
    generator = np.random.default_rng(seed)
    for layer in clone.layers:
        for variable in layer.weights:
            variable.assign(_draw(variable, generator))
    return clone


def randomize_backbone(backbone: Backbone, seed: int) -> Backbone:
    """Give the same architecture, frozen as it was drawn; see `randomize_network`."""
    network = randomize_network(backbone.model, seed)
    return Backbone(backbone.name, network, backbone.input_size, f"drawn with seed {seed}")


def _draw(variable: Any, generator: np.random.Generator) -> Any:
    shape = tuple(variable.shape)
    if len(shape) < 2:
        ones = any(word in variable.name for word in ("gamma", "variance"))
        return np.full(shape, 1.0 if ones else 0.0, np.float32)
    # The kernel of a depthwise convolution has one input for each output at every place.
    inputs = np.prod(shape[:-2] if "depthwise" in variable.path else shape[:-1])
    return generator.normal(0.0, np.sqrt(2 / max(inputs, 1)), shape).astype(np.float32)
