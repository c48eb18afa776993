"""Independence from the process-wide state of Keras: its settings, and its counters in names.

Keras reads process-wide settings for everything that a layer does not specify. nstk always builds
float32, channels-last TensorFlow models: a project that computes in mixed precision gets the same
networks and the same bytes, and its settings are restored afterwards.

TensorFlow's threads do not survive a fork: a forked process that uses it again waits for ever.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, RLock

import keras
from tensorflow.python.eager import context

from nstk.errors import BackboneError
from nstk.types import KerasLayer

ENGINE = "tensorflow"
PRECISION = "float32"
ORDER = "channels_last"

# Two threads that restore Keras's settings would otherwise take each other's for the project's.
_lock = RLock()

_is_forked = Event()


@contextmanager
def pinned_keras_config() -> Iterator[None]:
    """Pin Keras's settings while a block, or a decorated function, builds layers."""
    check_process()
    if keras.config.backend() != ENGINE:
        raise BackboneError(
            f"Keras uses {keras.config.backend()}, but nstk needs TensorFlow; start Python with "
            f"KERAS_BACKEND={ENGINE}."
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


def check_process() -> None:
    """Refuse a process that was forked after TensorFlow had been used."""
    if _is_forked.is_set():
        raise BackboneError(
            "This process was forked from one that had used TensorFlow, which would wait for ever "
            "here; start processes with multiprocessing's method 'spawn', or load nstk in them."
        )


def _note_fork() -> None:
    used = context.context_safe()
    if used is not None and used._initialized:
        _is_forked.set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def is_named_by_counting(layer: KerasLayer) -> bool:
    """Whether Keras generated the layer's name: its class and a running number."""
    return strip_number(layer.name).replace("_", "") == type(layer).__name__.lower()


def strip_number(name: str) -> str:
    """Remove the running number from a name: ``conv2d_95`` becomes ``conv2d``."""
    return re.sub(r"_\d+$", "", name)


def renumber_names(names: Iterable[str]) -> dict[str, str]:
    """Renumber generated names as in a new process: ``{"conv2d_94": "conv2d", …}``."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[strip_number(name)].append(name)
    return {
        name: f"{base}_{number}" if number else base
        for base, group in groups.items()
        # Running numbers are not padded: the shorter name counts first.
        for number, name in enumerate(sorted(group, key=lambda name: (len(name), name)))
    }
