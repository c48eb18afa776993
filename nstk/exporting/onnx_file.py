"""The classifier for ONNX Runtime."""

import json
from pathlib import Path

import tensorflow as tf

from nstk.finetuning.classifier import Classifier


def write_onnx(classifier: Classifier, path: Path) -> None:
    """Write an ``.onnx`` file that takes uint8 ``(N, H, W, 3)`` and gives float32 ``(N, C)``.

    The class names are in its metadata under ``classes``, a JSON list in the outputs' order; where
    pictures may have several labels, so are their thresholds under ``thresholds``.

    Args:
        classifier: What to write.
        path: Where to, ending in ``.onnx``.
    """
    import onnx

    classifier.model.export(
        path,
        format="onnx",
        verbose=False,
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="pictures")],
    )
    written = onnx.load(path)
    said = {"classes": json.dumps(list(classifier.classes), ensure_ascii=False)}
    if classifier.multi_label:
        said["thresholds"] = json.dumps(classifier.decision.thresholds)
    onnx.helper.set_model_props(written, said)
    onnx.save(written, path)
