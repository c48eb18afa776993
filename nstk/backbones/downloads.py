"""Downloading the pretrained weights of keras.applications through its constructors."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from nstk.backbones.applications import Application
from nstk.backbones.keras_config import pinned_keras_config
from nstk.errors import DownloadError
from nstk.types import KerasModel

TIMEOUT = 20.0
"""Seconds without any data after which a download fails."""

_log = logging.getLogger("nstk")


@pinned_keras_config()
def fetch_network(application: Application) -> KerasModel:
    """Build Keras's network with its ImageNet weights.

    Keras keeps the file in its cache and verifies its hash.

    Args:
        application: A row of the table.

    Returns:
        A ``keras.Model`` without its top, for the network's original size.

    Raises:
        DownloadError: If the weights are not in the cache and cannot be downloaded.
    """
    _log.info("Fetching the ImageNet weights of %s from keras.applications", application.name)
    side = application.input_size
    try:
        with _timeout(TIMEOUT), _silence():
            return getattr(keras.applications, application.constructor)(
                include_top=False,
                weights="imagenet",
                input_shape=(side, side, 3),
                **application.options,
            )
    except Exception as error:  # Keras reports a failed fetch as a bare Exception.
        reason = " ".join(str(error).split())
        raise DownloadError(
            f"The weights of '{application.name}' cannot be downloaded ({reason}); use "
            "`backbone='compact'`, which works offline, or a local file as `weights`."
        ) from error


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Set a timeout for new connections: Keras's downloads have none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _silence() -> Iterator[None]:
    """Hide Keras's progress bar: standard output is for results."""
    enabled = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if enabled:
            keras.config.enable_interactive_logging()
