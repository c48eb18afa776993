"""Evaluate the folded network, and read and write the packaged file."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from examples.train_compact.sheets import Images
from nstk.backbones.packaged import build_compact
from nstk.errors import WeightsError

Weights = Mapping[str, NDArray[np.float32]]


def build_embedding(folded: Weights) -> keras.Model:
    """Build the packaged architecture with the given weights and global average pooling.

    Args:
        folded: `<layer>/kernel` (HWIO) and `<layer>/bias`.

    Returns:
        A model from images, sRGB in `[0, 1]`, to `(batch, 384)`.
    """
    network = build_compact()
    for layer in network.layers:
        if layer.weights:
            layer.set_weights([folded[f"{layer.name}/kernel"], folded[f"{layer.name}/bias"]])
    return keras.Model(network.input, keras.layers.GlobalAveragePooling2D()(network.output))


def embed(model: keras.Model, pixels: NDArray[np.uint8], batch: int = 250) -> NDArray[np.float32]:
    """Compute embeddings.

    Args:
        model: From `build_embedding`.
        pixels: `(count, height, width, 3)`, 0 to 255.
        batch: Batch size.

    Returns:
        `(count, 384)`.
    """
    run = tf.function(lambda x: model(tf.cast(x, tf.float32) / 255), reduce_retracing=True)
    parts = [run(pixels[i : i + batch]).numpy() for i in range(0, len(pixels), batch)]
    return np.concatenate(parts)


def measure_top_1(folded: Weights, head: Weights, images: Images) -> float:
    """Return the top-1 accuracy.

    Args:
        folded: As for `build_embedding`.
        head: `kernel` and `bias` from embedding to classes.
        images: The images, used whole and in their original size.
    """
    embeddings = embed(build_embedding(folded), images.pixels)
    logits = embeddings @ head["kernel"] + head["bias"]
    return float((logits.argmax(1) == images.labels).mean())


def round_weights(folded: Weights) -> dict[str, NDArray[np.float32]]:
    """Round the weights to float16, as stored in the packaged file."""
    return {name: value.astype(np.float16).astype(np.float32) for name, value in folded.items()}


def write_weights(path: Path, folded: Weights) -> None:
    """Write the packaged file in float16, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **{name: x.astype(np.float16) for name, x in folded.items()})
    os.replace(partial, path)


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read a packaged file.

    Raises:
        WeightsError: If the file is missing or corrupt.
    """
    try:
        with np.load(path) as file:
            return {name: file[name].astype(np.float32) for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{path} is not a weights file of compact ({error}); give the file of this recipe"
        ) from error
