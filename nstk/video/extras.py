"""The packages of the extra ``video``, imported where they are needed."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from nstk.errors import SettingsError

Module = Any
"""A package of the extra; its types are its own."""


def import_av() -> Module:
    """PyAV, which reads and writes video files."""
    return _import("av", "Video files need the package av")


def import_cv2() -> Module:
    """OpenCV, which computes optical flow."""
    return _import("cv2", "Optical flow needs the package opencv-python-headless")


def has_cv2() -> bool:
    """Whether OpenCV is installed."""
    return find_spec("cv2") is not None


def _import(name: str, need: str) -> Module:
    try:
        return import_module(name)
    except ImportError as error:
        raise SettingsError(f"{need}; install it with pip install 'nstk[video]'.") from error
