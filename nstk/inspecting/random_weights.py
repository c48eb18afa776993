"""The same architecture with random weights, as before training."""

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.types import KerasModel, Variable


@pinned_keras_config()
def randomize_network(network: KerasModel, seed: int) -> KerasModel:
    """Clone a network with random weights.

    Kernels come from the normal distribution of He et al. (2015), N(0, 2 / n) with n inputs per
    output; scales and variances are 1 and all other vectors 0.

    Args:
        network: A functional ``keras.Model``.
        seed: Random seed.

    Returns:
        A trainable ``keras.Model`` with the same layers.
    """
    clone = keras.models.clone_model(network)
    clone.trainable = True
    generator = np.random.default_rng(seed)
    for layer in clone.layers:
        for variable in layer.weights:
            variable.assign(_draw(variable, generator))
    return clone


def randomize_backbone(backbone: Backbone, seed: int) -> Backbone:
    """The same architecture with frozen random weights; see `randomize_network`."""
    network = randomize_network(backbone.model, seed)
    return Backbone(backbone.name, network, backbone.input_size, f"random weights, seed {seed}")


def _draw(variable: Variable, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    shape = tuple(variable.shape)
    if len(shape) < 2:
        ones = any(word in variable.name for word in ("gamma", "variance"))
        return np.full(shape, 1.0 if ones else 0.0, np.float32)
    # The kernel of a depthwise convolution has one input channel per output.
    inputs = np.prod(shape[:-2] if "depthwise" in variable.path else shape[:-1])
    return generator.normal(0.0, np.sqrt(2 / max(inputs, 1)), shape).astype(np.float32)
