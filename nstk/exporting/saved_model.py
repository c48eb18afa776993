"""The classifier as a SavedModel, for TensorFlow Serving and ``tf.saved_model.load``.

It decodes images in its graph. TensorFlow's own decoders ignore the orientation of a photograph,
tag 0x0112 of the first directory of the TIFF data in a JPEG's APP1 segment (Exif 2.32, 4.5.4 and
4.6.2).
"""

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
from nstk.features.networks import SQUARE
from nstk.images.image import WHITE
from nstk.settings.parsing import Color
from nstk.storage.files import find_temporary_folder
from nstk.types import Tensor

LABELS = "labels.txt"
FINGERPRINT = "fingerprint.pb"

_APP1, _START_OF_SCAN = 0xE1, 0xDA
_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"


def write_saved_model(classifier: Classifier, folder: Path) -> None:
    """Write a SavedModel folder that does not exist yet.

    Its signatures return ``probabilities``, float32 ``(N, C)``, and ``labels``, the label of each
    image, string ``(N,)``: the likeliest class or, if images may have several labels, all that
    reach their thresholds with | between them. They take

    - ``serve`` (also the default): ``images``, float32 ``(N, H, W, 3)``, values 0 to 255;
    - ``serve_uint8``: the same as uint8;
    - ``serve_bytes``: ``encoded``, string ``(N,)``, JPEG or PNG files of any sizes.

    As an attribute of the loaded model, ``serve`` takes both types. The class names are in
    ``assets/labels.txt``, one per line, in the order of the outputs.
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


def decode_upright(encoded: Tensor, background: Color = WHITE) -> Tensor:
    """Decode the bytes ``()`` of a JPEG or PNG of any size, to uint8 ``(H, W, 3)``.

    A transparent PNG is laid on the background. Color profiles are not applied, and the orientation
    of a PNG is ignored.
    """
    # Accurate integers: the faster method, TensorFlow's default, is off by a few gray levels.
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: apply_orientation(
            tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
            read_orientation(encoded),
        ),
        lambda: tf.cond(
            _has_alpha(encoded),
            lambda: composite(tf.io.decode_png(encoded, channels=4), background),
            lambda: tf.io.decode_png(encoded, channels=3),
        ),
    )


def _has_alpha(encoded: Tensor) -> Tensor:
    """Whether a file is a PNG with alpha, or with a transparent color or palette entry.

    Of others TensorFlow gets alpha wrong if they have fewer than 8 bits.
    """
    head = tf.strings.split(encoded, b"IDAT")[0]
    color_type = tf.strings.substr(head + b"\0" * 26, 25, 1)
    has_key = tf.size(tf.strings.split(head, b"tRNS")) > 1
    is_png = tf.strings.substr(head + b"\0" * 4, 0, 4) == b"\x89PNG"
    return is_png & (has_key | (color_type == b"\4") | (color_type == b"\6"))


def composite(pixels: Tensor, background: Color) -> Tensor:
    """Lay uint8 ``(H, W, 4)`` on a ground; the same numbers as `nstk.images.image.composite`."""
    colors, alpha = tf.split(tf.cast(pixels, tf.int32), (3, 1), axis=-1)
    laid = colors * alpha + tf.constant(background) * (255 - alpha)
    return tf.cast((laid + 127) // 255, tf.uint8)


def apply_orientation(pixels: Tensor, orientation: Tensor) -> Tensor:
    turned = tf.transpose(pixels, (1, 0, 2))
    upright: list[Callable[[], Tensor]] = [
        lambda: pixels,
        lambda: pixels[:, ::-1],
        lambda: pixels[::-1, ::-1],
        lambda: pixels[::-1],
        lambda: turned,
        lambda: turned[:, ::-1],
        lambda: turned[::-1, ::-1],
        lambda: turned[::-1],
    ]
    return tf.switch_case(orientation - 1, upright)


def read_orientation(encoded: Tensor) -> Tensor:
    """The EXIF orientation of a JPEG: int32 ``()``, 1 to 8, and 1 where it has no valid one."""
    content = tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int32)
    start = _find_tiff(content)
    is_little = tf.equal(_byte(content, start), ord("I"))

    def number(at: Tensor, width: int) -> Tensor:
        digits = tf.stack([_byte(content, at + place) for place in range(width)], axis=-1)
        ascending = tf.constant([256**place for place in range(width)])
        return tf.reduce_sum(digits * tf.where(is_little, ascending, ascending[::-1]), axis=-1)

    directory = start + number(start + 4, 4)
    entries = directory + 2 + 12 * tf.range(number(directory, 2))
    values = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == _ORIENTATION)
    first = tf.concat([values, [1]], axis=0)[0]
    return tf.where((first >= 1) & (first <= 8), first, 1)


def _find_tiff(content: Tensor) -> Tensor:
    """Offset of the TIFF data in the EXIF segment; the file's size if there is none."""
    length = tf.size(content)

    def is_exif(at: Tensor) -> Tensor:
        named = [_byte(content, at + 4 + place) == letter for place, letter in enumerate(_EXIF)]
        return tf.reduce_all([_byte(content, at + 1) == _APP1, *named])

    def is_before(at: Tensor) -> Tensor:
        is_segment = (_byte(content, at) == 0xFF) & (_byte(content, at + 1) != _START_OF_SCAN)
        return is_segment & ~is_exif(at)

    def skip(at: Tensor) -> tuple[Tensor]:
        return (at + 2 + 256 * _byte(content, at + 2) + _byte(content, at + 3),)

    (found,) = tf.while_loop(is_before, skip, (tf.constant(2),))
    return tf.where(is_exif(found), found + 10, length)


def _byte(content: Tensor, at: Tensor) -> Tensor:
    """The byte at an offset, 0 outside the file."""
    last = tf.size(content) - 1
    inside = (at >= 0) & (at <= last)
    return tf.where(inside, tf.gather(content, tf.clip_by_value(at, 0, last)), 0)
