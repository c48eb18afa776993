"""Predict with an exported classifier in a fresh process, with its own runtime, without nstk.

    python -P reload.py FORMAT ARTIFACT OUTPUTS

Images come on standard input, each as an ``.npy`` file after its length in eight bytes
(little-endian). OUTPUTS becomes an ``.npz`` with class names and probabilities. This file imports
nothing of nstk: if it can use the export, anyone can.
"""

import io
import json
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

LENGTH_BYTES = 8

_Images = npt.NDArray[np.uint8]

_Predict = Callable[[_Images], Any]
"""From a batch of one image, uint8 ``(1, H, W, 3)``, to probabilities ``(1, C)``."""


def open_keras(path: str) -> tuple[list[str], list[_Predict]]:
    """Open a ``.keras`` file with Keras."""
    import keras

    model = keras.models.load_model(path, compile=False, safe_mode=True)
    classes = json.loads(zipfile.ZipFile(path).read("nstk.json"))["classes"]
    return classes, [model]


def open_savedmodel(path: str) -> tuple[list[str], list[_Predict]]:
    """Open a SavedModel folder with TensorFlow; one function for each signature."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    signatures = loaded.signatures

    def predict_bytes(images: _Images) -> Any:
        encoded = tf.io.encode_png(images[0])[tf.newaxis]
        return signatures["serve_bytes"](encoded=encoded)["probabilities"]

    def predict_floats(images: _Images) -> Any:
        # Keep a reference to the loaded module, or its variables are freed.
        assert loaded is not None
        return signatures["serve"](images=tf.cast(images, tf.float32))["probabilities"]

    def predict_integers(images: _Images) -> Any:
        return signatures["serve_uint8"](images=tf.constant(images))["probabilities"]

    classes = _split(Path(path, "assets", "labels.txt").read_bytes())
    return classes, [predict_floats, predict_integers, predict_bytes]


def open_tflite(path: str) -> tuple[list[str], list[_Predict]]:
    """Open a ``.tflite`` file with LiteRT, or with TensorFlow's own interpreter."""
    with warnings.catch_warnings():  # TensorFlow's own is deprecated, but always there
        warnings.simplefilter("ignore")
        interpreter = _find_interpreter()(model_path=path)
    runner = interpreter.get_signature_runner()
    [name] = runner.get_input_details()
    classes = _split(zipfile.ZipFile(path).read("labels.txt"))
    return classes, [lambda images: next(iter(runner(**{name: images}).values()))]


def _split(lines: bytes) -> list[str]:
    """Names may hold separators at which `str.splitlines` splits, such as U+2028."""
    return lines.decode().split("\n")[:-1]


def _find_interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        return tf.lite.Interpreter
    return Interpreter


def open_onnx(path: str) -> tuple[list[str], list[_Predict]]:
    """Open an ``.onnx`` file with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [entry] = session.get_inputs()
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    return classes, [lambda images: session.run(None, {entry.name: images})[0]]


OPENERS: dict[str, Callable[[str], tuple[list[str], list[_Predict]]]] = {
    "keras": open_keras,
    "savedmodel": open_savedmodel,
    "tflite": open_tflite,
    "tflite-int8": open_tflite,
    "onnx": open_onnx,
}


def read_images(stream: IO[bytes]) -> Iterator[_Images]:
    """Read one image after the other, each uint8 ``(H, W, 3)``."""
    while length := stream.read(LENGTH_BYTES):
        content = stream.read(int.from_bytes(length, "little"))
        yield np.load(io.BytesIO(content), allow_pickle=False)


def main(format: str, artifact: str, outputs: str) -> None:
    """Write the class names ``(C,)`` and the probabilities ``(n, signatures, C)``."""
    classes, signatures = OPENERS[format](artifact)
    found = [
        np.concatenate([np.asarray(predict(image[np.newaxis])) for predict in signatures])
        for image in read_images(sys.stdin.buffer)
    ]
    np.savez(outputs, classes=json.dumps(classes), probabilities=np.array(found, np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
