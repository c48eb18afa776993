"""The classifier for LiteRT (TensorFlow Lite), with floats or with eight-bit integers."""

import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.schema_py_generated import Model

from nstk.backbones.variants import behind_first_convolution
from nstk.classifiers.classifier import Classifier
from nstk.images.image import Levels

BACKBONE = "backbone"
LABELS, THRESHOLDS = "labels.txt", "thresholds.txt"


def write_tflite(
    classifier: Classifier, path: Path, calibrate: Callable[[], Iterable[Levels]] | None = None
) -> None:
    """Write a ``.tflite`` file that takes uint8 ``(N, H, W, 3)`` and gives float32 ``(N, C)``.

    It has one signature, ``serving_default``. The class names are a file ``labels.txt`` in a
    zip archive behind the network, where TensorFlow Lite's metadata keeps such files and any
    zip program finds them; where images may have several labels, their thresholds are beside it
    in ``thresholds.txt``. Only operations that every LiteRT runtime knows are used.

    Args:
        classifier: What to write.
        path: Where to, ending in ``.tflite``.
        calibrate: Gives images that show in which range every number of the backbone lies,
            to make eight-bit integers of its numbers and weights; None keeps floats. What stands
            before and behind the backbone keeps floats in any case: where an image is cut
            depends on its size, which may be any, and eight bits are too few for an image that
            is scaled and for probabilities that are compared.
    """
    options: dict[str, Any] = {}
    if calibrate is not None:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["representative_dataset"] = lambda: ([each[np.newaxis]] for each in calibrate())
        # Only look at the images: which numbers become integers is said below.
        options["_experimental_calibrate_only"] = True
    classifier.model.export(
        path,
        format="litert",
        verbose=False,
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")],
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        **options,
    )
    if calibrate is not None:
        inside = behind_first_convolution(classifier.model.get_layer(BACKBONE))
        seen = path.read_bytes()
        outside = {name for name in _list_tensors(seen) if not _is_inside(name, inside)}
        path.write_bytes(mlir_quantize(seen, denylisted_nodes=outside))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_entry(LABELS), _lines(classifier.classes))
        if classifier.decision.thresholds:
            archive.writestr(_entry(THRESHOLDS), _lines(classifier.decision.thresholds))


def _list_tensors(content: bytes) -> Iterator[str]:
    """The names of all numbers in a ``.tflite`` file."""
    graph = Model.GetRootAs(content).Subgraphs(0)
    return (graph.Tensors(place).Name().decode() for place in range(graph.TensorsLength()))


def _is_inside(tensor: str, layers: Collection[str]) -> bool:
    """Whether a number is computed, perhaps together with others, in one of the backbone's layers.

    Keras puts ``_1`` behind the name of a layer where it says what was computed in it.
    """
    return any(
        model.rpartition("_")[0] == BACKBONE and layer.rpartition("_")[0] in layers
        for part in tensor.split(";")
        for model, layer in pairwise(part.split("/"))
    )


def _entry(name: str) -> zipfile.ZipInfo:
    """A file that its owner may read, without the time of day: equal content, equal bytes."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry


def _lines(values: Iterable[object]) -> str:
    return "".join(f"{value}\n" for value in values)
