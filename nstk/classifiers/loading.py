"""Classifier files, each loaded once in a process."""

import os
from functools import lru_cache
from pathlib import Path

from nstk.classifiers.classifier import Classifier


@lru_cache(maxsize=2)
def _load(path: str, modified: int, size: int) -> Classifier:
    return Classifier.load(path)


def load_classifier(path: str | Path) -> Classifier:
    """Load a classifier once in each process, and again if its file has changed."""
    try:
        status = os.stat(path)
    except OSError:
        return Classifier.load(path)  # raises the error that says what is wrong
    return _load(os.fspath(path), status.st_mtime_ns, status.st_size)
