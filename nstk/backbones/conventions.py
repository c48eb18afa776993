"""By what every network of nstk is built: TensorFlow, float32, channels last.

Keras asks process-wide settings for what a layer does not say itself. A project that computes in
mixed precision gets the same network from nstk as any other, with the same numbers and bytes, and
its settings back when the network stands.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import keras

from nstk.errors import BackboneError

ENGINE = "tensorflow"
PRECISION = "float32"
ORDER = "channels_last"

# Two threads that put Keras's settings back would otherwise take each other's for the project's.
_lock = RLock()


@contextmanager
def pinned_keras_config() -> Iterator[None]:
    """Build layers by the conventions of nstk while the block, or a function so decorated, runs.

    Raises:
        BackboneError: If Keras computes with another engine than TensorFlow.
    """
    if keras.config.backend() != ENGINE:
        raise BackboneError(
            f"Keras computes with {keras.config.backend()} here, and nstk with TensorFlow only; "
            f"start Python with KERAS_BACKEND={ENGINE}."
        )
    with _lock:
        policy, precision = keras.config.dtype_policy(), keras.config.floatx()
        order = keras.config.image_data_format()
        try:
            keras.config.set_floatx(PRECISION)
            keras.config.set_dtype_policy(PRECISION)
            keras.config.set_image_data_format(ORDER)
            yield
        finally:
            keras.config.set_floatx(precision)
            keras.config.set_dtype_policy(policy)
            keras.config.set_image_data_format(order)
