"""Pretrained weights that keras.applications publishes, fetched by its own constructors."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from nstk.backbones.applications import Application
from nstk.backbones.conventions import pinned_keras_config
from nstk.errors import DownloadError

PATIENCE = 20.0
"""Seconds without a single byte after which a download is given up."""

_log = logging.getLogger("nstk")


@pinned_keras_config()
def fetch_network(application: Application) -> Any:
    """Build Keras's own network with the ImageNet weights that Keras publishes.

    Keras keeps the file in its cache and checks the hashes it knows.

    Args:
        application: A row of the table.

    Returns:
        A ``keras.Model`` without its top, for the network's natural size.

    Raises:
        DownloadError: If the weights are neither in the cache nor to be had.
    """
    _log.info("Fetching the ImageNet weights of %s from keras.applications", application.name)
    side = application.input_size
    try:
        with _patience(PATIENCE), _silence():
            return getattr(keras.applications, application.constructor)(
                include_top=False,
                weights="imagenet",
                input_shape=(side, side, 3),
                **application.options,
            )
    except Exception as error:  # Keras reports a failed fetch as a bare Exception.
        reason = " ".join(str(error).split())
        raise DownloadError(
            f"The weights of '{application.name}' could not be fetched ({reason}); use "
            "--backbone compact, which needs no network, or a local file with --weights FILE."
        ) from error


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let new connections give up: Keras's downloads would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Keras's progress bar off stdout, which belongs to results."""
    spoke = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if spoke:
            keras.config.enable_interactive_logging()
