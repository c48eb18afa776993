"""The classifier for LiteRT (TensorFlow Lite), in float32 or int8."""

import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.schema_py_generated import Model

from nstk.backbones.variants import from_first_convolution
from nstk.classifiers.classifier import Classifier
from nstk.images.image import Levels

BACKBONE = "backbone"
LABELS, THRESHOLDS = "labels.txt", "thresholds.txt"


def write_tflite(
    classifier: Classifier, path: Path, calibrate: Callable[[], Iterable[Levels]] | None = None
) -> None:
    """Write a ``.tflite`` file from uint8 ``(N, H, W, 3)`` to float32 ``(N, C)``.

    It has one signature, ``serving_default``. The class names are in ``labels.txt`` in a zip
    archive appended to the network, where TensorFlow Lite's metadata keeps such files and any zip
    program finds them; if images may have several labels, their thresholds are beside it in
    ``thresholds.txt``. Only built-in operations of LiteRT are used.

    Args:
        classifier: The classifier.
        path: The file, with extension ``.tflite``.
        calibrate: Returns images that show the range of every tensor of the backbone, to
            quantize it to int8; None keeps float32. Preprocessing and head stay float32 in any
            case: where an image is cropped depends on its size, and eight bits are too few for
            scaled images and for probabilities.
    """
    options: dict[str, object] = {}
    if calibrate is not None:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
        options["representative_dataset"] = lambda: ([each[np.newaxis]] for each in calibrate())
        # Only calibrate here: the tensors to quantize are chosen below.
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
        inside = from_first_convolution(classifier.model.get_layer(BACKBONE))
        calibrated = path.read_bytes()
        outside = {name for name in _list_tensors(calibrated) if not _is_inside(name, inside)}
        path.write_bytes(mlir_quantize(calibrated, denylisted_nodes=outside))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_entry(LABELS), _lines(classifier.classes))
        if classifier.decision.thresholds:
            archive.writestr(_entry(THRESHOLDS), _lines(classifier.decision.thresholds))


def _list_tensors(content: bytes) -> Iterator[str]:
    """The names of all tensors in a ``.tflite`` file."""
    graph = Model.GetRootAs(content).Subgraphs(0)
    return (graph.Tensors(index).Name().decode() for index in range(graph.TensorsLength()))


def _is_inside(tensor: str, layers: Collection[str]) -> bool:
    """Whether a tensor is computed, perhaps fused with others, in one of the backbone's layers.

    Keras appends ``_1`` to the name of a layer in the names of its tensors.
    """
    return any(
        model.rpartition("_")[0] == BACKBONE and layer.rpartition("_")[0] in layers
        for part in tensor.split(";")
        for model, layer in pairwise(part.split("/"))
    )


def _entry(name: str) -> zipfile.ZipInfo:
    """A zip entry without a timestamp: equal content, equal bytes."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry


def _lines(values: Iterable[object]) -> str:
    return "".join(f"{value}\n" for value in values)
