"""The classifier for ONNX Runtime."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from nstk.classifiers.classifier import Classifier
from nstk.exporting.onnx_names import settle_graph


def write_onnx(classifier: Classifier, path: Path) -> None:
    """Write an ``.onnx`` file: uint8 ``images`` ``(N, H, W, 3)`` to ``probabilities`` ``(N, C)``.

    The class names are in its metadata under ``classes``, a JSON list in the outputs' order; where
    images may have several labels, so are their thresholds under ``thresholds``.

    Args:
        classifier: What to write.
        path: Where to, ending in ``.onnx``.
    """
    import onnx

    classifier.model.export(
        path,
        format="onnx",
        verbose=False,
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")],
    )
    written = onnx.load(path)
    said = {"classes": json.dumps(list(classifier.classes), ensure_ascii=False)}
    if classifier.multi_label:
        said["thresholds"] = json.dumps(classifier.decision.thresholds)
    onnx.helper.set_model_props(written, said)
    settle_graph(written.graph, set(_list_layers(classifier.model)), "probabilities")
    onnx.save(written, path)


def _list_layers(model: Any) -> Iterator[str]:
    """The names of all layers, also of those inside of others."""
    for layer in model.layers:
        yield layer.name
        if hasattr(layer, "layers"):
            yield from _list_layers(layer)
