"""The classifier as a SavedModel, for TensorFlow Serving and ``tf.saved_model.load``."""

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

from nstk.backbones.keras_config import pinned_keras_config
from nstk.classifiers.classifier import Classifier
from nstk.errors import OutputError
from nstk.exporting.decoding import decode_upright
from nstk.features.networks import SQUARE
from nstk.storage.files import find_temporary_folder
from nstk.types import Tensor

LABELS = "labels.txt"
FINGERPRINT = "fingerprint.pb"


def write_saved_model(classifier: Classifier, folder: Path) -> None:
    """Write a SavedModel folder.

    Its signatures return ``probabilities``, float32 ``(N, C)``, and ``labels``, the label of each
    image, string ``(N,)``: the likeliest class or, if images may have several labels, all that
    reach their thresholds with | between them. They take

    - ``serve`` (also the default): ``images``, float32 ``(N, H, W, 3)``, values 0 to 255;
    - ``serve_uint8``: the same as uint8;
    - ``serve_bytes``: ``encoded``, string ``(N,)``, JPEG or PNG files of any sizes.

    As an attribute of the loaded model, ``serve`` takes both types. The class names are in
    ``assets/labels.txt``, one per line, in the order of the outputs.

    Args:
        classifier: The classifier.
        folder: A folder that does not exist yet.

    Raises:
        OutputError: If TensorFlow cannot write there.
    """
    with tempfile.TemporaryDirectory(dir=find_temporary_folder()) as place:
        labels = Path(place, LABELS)
        labels.write_text("".join(f"{name}\n" for name in classifier.classes), encoding="utf-8")
        module = _build_module(classifier, labels)
        floats = module.serve.get_concrete_function(_images(tf.float32))
        signatures = {
            "serving_default": floats,
            "serve": floats,
            "serve_uint8": module.serve.get_concrete_function(_images(tf.uint8)),
            "serve_bytes": module.serve_bytes.get_concrete_function(),
        }
        try:
            tf.saved_model.save(module, str(folder), signatures=signatures)
            _set_uuid(folder / FINGERPRINT)
        except tf.errors.OpError as error:
            raise OutputError(
                f"cannot write {folder}: {error.message}; choose another folder or free disk space."
            ) from error


def _set_uuid(path: Path) -> None:
    """Replace TensorFlow's random identifier by one that depends only on the network."""
    fingerprint = FingerprintDef.FromString(path.read_bytes())
    fingerprint.ClearField("uuid")
    content = fingerprint.SerializeToString(deterministic=True)
    fingerprint.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, content.hex()).int)
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


@pinned_keras_config()
def _build_module(classifier: Classifier, labels: Path) -> tf.Module:
    model, background = classifier.model, classifier.reader_for().background
    # Images of different sizes are cropped one by one and then form one batch.
    square = model.get_layer(SQUARE).output
    prepare, finish = keras.Model(model.inputs[0], square), keras.Model(square, model.outputs[0])

    to_labels = _build_labeler(classifier)

    def outputs(probabilities: Tensor) -> dict[str, Tensor]:
        return {"probabilities": probabilities, "labels": to_labels(probabilities)}

    def serve(images: Tensor) -> dict[str, Tensor]:
        return outputs(model(tf.cast(images, tf.float32), training=False))

    def serve_bytes(encoded: Tensor) -> dict[str, Tensor]:
        def crop(content: Tensor) -> Tensor:
            image = tf.cast(decode_upright(content, background), tf.float32)
            return prepare(image[tf.newaxis], training=False)[0]

        kind = tf.TensorSpec(square.shape[1:], tf.float32)
        squares = tf.map_fn(crop, encoded, fn_output_signature=kind)
        return outputs(finish(squares, training=False))

    module = tf.Module(name="classifier")
    module.weights = [variable.value for variable in model.variables]
    module.classes = tf.saved_model.Asset(str(labels))
    module.serve = tf.function(serve, autograph=False)
    module.serve_bytes = tf.function(
        serve_bytes,
        autograph=False,
        input_signature=[tf.TensorSpec((None,), tf.string, name="encoded")],
    )
    return module


def _build_labeler(classifier: Classifier) -> Callable[[Tensor], Tensor]:
    """From probabilities ``(N, C)`` to labels, string ``(N,)``."""
    names, thresholds = tf.constant(classifier.classes), classifier.decision.thresholds
    if thresholds is None:
        return lambda probabilities: tf.gather(names, tf.argmax(probabilities, axis=-1))

    def to_labels(probabilities: Tensor) -> Tensor:
        given = probabilities >= tf.constant(thresholds, tf.float32)
        every = tf.broadcast_to(names, tf.shape(given))
        return tf.strings.reduce_join(tf.ragged.boolean_mask(every, given), -1, separator="|")

    return to_labels


def _images(kind: tf.DType) -> tf.TensorSpec:
    return tf.TensorSpec((None, None, None, 3), kind, name="images")
