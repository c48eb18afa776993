"""Reading untrusted files within a time limit."""

import time
from contextlib import contextmanager

from nstk.backbones.weights import open_weights

PATIENCE = 30.0


def open_and_read(path):
    with open_weights(path) as stored:
        return [array.read() for arrays in stored.values() for array in arrays]


@contextmanager
def soon():
    """Fail if the block takes longer than `PATIENCE`: a pipe would block forever."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < PATIENCE
