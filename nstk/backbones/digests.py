"""What tells one network's weights from another's."""

import hashlib
from typing import Any

import keras
import numpy as np

from nstk.backbones.layer_names import strip_number


def digest_weights(model: Any) -> str:
    """SHA-256 of all weights: variable names, shapes and bytes, in the network's order.

    Names that Keras makes up count what was made earlier in the process, so layer names and
    running numbers stay out of it.

    Args:
        model: A ``keras.Model``.
    """
    digest = hashlib.sha256()
    for layer in model.layers:
        for variable in layer.weights:
            array = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
            name = strip_number(variable.name)
            digest.update(f"{name} {array.shape} {array.dtype}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
