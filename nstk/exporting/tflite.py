"""The classifier for LiteRT (TensorFlow Lite), with floats or with eight-bit integers."""

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.finetuning.classifier import Classifier
from nstk.media.pictures import Levels

LABELS, THRESHOLDS = "labels.txt", "thresholds.txt"


def write_tflite(
    classifier: Classifier, path: Path, calibrate: Callable[[], Iterable[Levels]] | None = None
) -> None:
    """Write a ``.tflite`` file that takes uint8 ``(N, H, W, 3)`` and gives float32 ``(N, C)``.

    It has one signature, ``serving_default``. The class names are a file ``labels.txt`` in a
    zip archive behind the network, where TensorFlow Lite's metadata keeps such files and any
    zip program finds them; where pictures may have several labels, their thresholds are beside it
    in ``thresholds.txt``. Only operations that every LiteRT runtime knows are used.

    Args:
        classifier: What to write.
        path: Where to, ending in ``.tflite``.
        calibrate: Gives pictures that show in which range every number of the network lies,
            to make eight-bit integers of numbers and weights; None keeps floats.
    """
    options: dict[str, Any] = {}
    if calibrate is not None:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["representative_dataset"] = lambda: ([each[np.newaxis]] for each in calibrate())
    classifier.model.export(
        path,
        format="litert",
        verbose=False,
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="pictures")],
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        **options,
    )
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_entry(LABELS), _lines(classifier.classes))
        if classifier.decision.thresholds:
            archive.writestr(_entry(THRESHOLDS), _lines(classifier.decision.thresholds))


def _entry(name: str) -> zipfile.ZipInfo:
    """A file that its owner may read, without the time of day: equal content, equal bytes."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry


def _lines(values: Iterable[object]) -> str:
    return "".join(f"{value}\n" for value in values)
