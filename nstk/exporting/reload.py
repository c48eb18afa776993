"""Ask an exported classifier in a process of its own, with its own runtime and nothing of nstk.

    python -P reload.py FORMAT ARTIFACT ANSWERS

Images come on standard input, each as an ``.npy`` file after its length in eight bytes
(little-endian); ANSWERS becomes an ``.npz`` with what the artifact says. This file imports nothing
of nstk, so what it can use, anyone can.
"""

import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

LENGTH_BYTES = 8

_Ask = Callable[[Any], Any]
"""From a batch of one image, uint8 ``(1, H, W, 3)``, to probabilities ``(1, C)``."""


def open_keras(path: str) -> tuple[list[str], list[_Ask]]:
    """Open a ``.keras`` file with Keras."""
    import keras

    model = keras.models.load_model(path, compile=False, safe_mode=True)
    classes = json.loads(zipfile.ZipFile(path).read("nstk.json"))["classes"]
    return classes, [model]


def open_savedmodel(path: str) -> tuple[list[str], list[_Ask]]:
    """Open a SavedModel folder with TensorFlow; it is asked by each of its signatures."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    signatures = loaded.signatures

    def ask_bytes(images: Any) -> Any:
        encoded = tf.io.encode_png(images[0])[tf.newaxis]
        return signatures["serve_bytes"](encoded=encoded)["probabilities"]

    def ask_floats(images: Any) -> Any:
        # A reference to the loaded module has to stay, or its variables are freed.
        assert loaded is not None
        return signatures["serve"](images=tf.cast(images, tf.float32))["probabilities"]

    def ask_integers(images: Any) -> Any:
        return signatures["serve_uint8"](images=tf.constant(images))["probabilities"]

    classes = Path(path, "assets", "labels.txt").read_text(encoding="utf-8").splitlines()
    return classes, [ask_floats, ask_integers, ask_bytes]


def open_tflite(path: str) -> tuple[list[str], list[_Ask]]:
    """Open a ``.tflite`` file with LiteRT, or with the interpreter that TensorFlow brings."""
    runner = _find_interpreter()(model_path=path).get_signature_runner()
    [name] = runner.get_input_details()
    classes = zipfile.ZipFile(path).read("labels.txt").decode().splitlines()
    return classes, [lambda images: next(iter(runner(**{name: images}).values()))]


def _find_interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        return tf.lite.Interpreter
    return Interpreter


def open_onnx(path: str) -> tuple[list[str], list[_Ask]]:
    """Open an ``.onnx`` file with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [entry] = session.get_inputs()
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    return classes, [lambda images: session.run(None, {entry.name: images})[0]]


OPENERS: dict[str, Callable[[str], tuple[list[str], list[_Ask]]]] = {
    "keras": open_keras,
    "savedmodel": open_savedmodel,
    "tflite": open_tflite,
    "tflite-int8": open_tflite,
    "onnx": open_onnx,
}


def receive_images(stream: Any) -> Iterator[Any]:
    """Read one image after the other, each uint8 ``(H, W, 3)``."""
    while length := stream.read(LENGTH_BYTES):
        content = stream.read(int.from_bytes(length, "little"))
        yield np.load(io.BytesIO(content), allow_pickle=False)


def main(format: str, artifact: str, answers: str) -> None:
    """Write the class names, ``(C,)``, and every answer, ``(n, ways to ask, C)``."""
    classes, ways = OPENERS[format](artifact)
    found = [
        np.concatenate([np.asarray(ask(image[np.newaxis])) for ask in ways])
        for image in receive_images(sys.stdin.buffer)
    ]
    np.savez(answers, classes=json.dumps(classes), answers=np.array(found, np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
