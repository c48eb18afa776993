"""The classifier for LiteRT (TensorFlow Lite), in float32 or int8."""

import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.tools import flatbuffer_utils

from nstk.backbones.variants import from_first_convolution
from nstk.classifiers.classifier import Classifier
from nstk.images.image import Levels

BACKBONE = "backbone"
LABELS, THRESHOLDS = "labels.txt", "thresholds.txt"

_METADATA, _IDENTIFIER = "TFLITE_METADATA", b"M001"
_RGB, _IMAGE_PROPERTIES, _NORMALIZATION, _AXIS_LABELS = map(np.int8, (1, 2, 1, 2))


def write_tflite(
    classifier: Classifier,
    path: Path,
    size: int | None = None,
    calibrate: Callable[[], Iterable[Levels]] | None = None,
) -> None:
    """Write a ``.tflite`` file from uint8 ``(N, H, W, 3)`` to float32 ``(N, C)``.

    It has one signature, ``serving_default``. The class names are in ``labels.txt`` in a zip
    archive appended to the network, where TensorFlow Lite's metadata keeps such files and any zip
    program finds them; if images may have several labels, their thresholds are beside it in
    ``thresholds.txt``. Only built-in operations of LiteRT are used.

    Args:
        classifier: The classifier.
        path: The file, with extension ``.tflite``.
        size: Height and width of the input, ``(1, size, size, 3)``; None for any.
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
    shape = (None, None, None, 3) if size is None else (1, size, size, 3)
    classifier.model.export(
        path,
        format="litert",
        verbose=False,
        input_signature=[tf.TensorSpec(shape, tf.uint8, name="images")],
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        **options,
    )
    content = path.read_bytes()
    if calibrate is not None:
        inside = from_first_convolution(classifier.model.get_layer(BACKBONE))
        outside = {name for name in _list_tensors(content) if not _is_inside(name, inside)}
        content = mlir_quantize(content, denylisted_nodes=outside)
    path.write_bytes(_add_metadata(content, size or classifier.size))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_entry(LABELS), _lines(classifier.classes))
        if classifier.decision.thresholds:
            archive.writestr(_entry(THRESHOLDS), _lines(classifier.decision.thresholds))


def _list_tensors(content: bytes) -> Iterator[str]:
    graph = schema.Model.GetRootAs(content).Subgraphs(0)
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


def _add_metadata(content: bytes, size: int) -> bytes:
    """Add what Android's Task Library, ML Kit and MediaPipe read of a classifier."""
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_describe(size), np.uint8)
    entry.name, entry.buffer = _METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or ()), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _describe(size: int) -> bytes:
    """A ``ModelMetadata`` table of tflite-support's ``metadata_schema.fbs``, version M001.

    A tuple is a table with its fields in the order of the schema; None leaves a field out.
    """
    properties = (_RGB, (np.uint32(size), np.uint32(size)))
    content = (_IMAGE_PROPERTIES, properties)
    # The input is whole gray levels, and the network scales them itself.
    unchanged = (_NORMALIZATION, ([0.0], [1.0]))
    labels = (LABELS, "the classes", _AXIS_LABELS)
    image = ("image", "RGB, 0 to 255", None, content, [unchanged], ([255.0], [0.0]))
    scores = ("probability", "one for each class", None, None, None, ([1.0], [0.0]), [labels])
    graph = (None, None, [image], [scores])
    builder = flatbuffers.Builder()
    builder.Finish(_build(builder, ("classifier", None, None, [graph])), _IDENTIFIER)
    return bytes(builder.Output())


def _build(builder: flatbuffers.Builder, value: object) -> Any:
    """Write a string, a table, or a vector of either or of floats; returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list):
        if isinstance(value[0], float):
            return builder.CreateNumpyVector(np.array(value, np.float32))
        offsets = [_build(builder, each) for each in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    assert isinstance(value, tuple)
    fields = [
        each if each is None or isinstance(each, np.integer) else _build(builder, each)
        for each in value
    ]
    builder.StartObject(len(fields))
    for slot, field in enumerate(fields):
        if isinstance(field, np.int8):
            builder.PrependInt8Slot(slot, field, 0)
        elif isinstance(field, np.uint32):
            builder.PrependUint32Slot(slot, field, 0)
        elif field is not None:
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    return builder.EndObject()


def _entry(name: str) -> zipfile.ZipInfo:
    """A zip entry without a timestamp: equal content, equal bytes."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry


def _lines(values: Iterable[object]) -> str:
    return "".join(f"{value}\n" for value in values)
