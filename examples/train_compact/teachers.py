"""The teachers: a MobileNet trained on ImageNet for classes, and a small VGG19 for textures.

The MobileNet processes every training image once, upsampled; its pooled features are stored on disk
in parts, so that a stopped run can resume. The VGG19 is the 16 times smaller one of Collaborative
Distillation (Wang et al. 2020), whose auxiliary maps approximate relu1_1 to relu5_1 of the real
VGG19; it processes the same crops as the student.
"""

import logging
import os
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from examples.train_compact.sheets import Images
from nstk.errors import WeightsError

log = logging.getLogger(__name__)

MOBILENET_PIXELS = 160
PART_SIZE = 2000
VGG_MEANS = (103.939, 116.779, 123.68)
VGG_SCALES = (22.0, 90.0, 120.0)
"""Ratio of the real maps to those of the compressed network, measured on photographs."""
VGG_BLOCKS = (
    ("11", "12"),
    ("21", "22"),
    ("31", "32", "33", "34"),
    ("41", "42", "43", "44"),
    ("51",),
)


class ClassTeacher(NamedTuple):
    """The MobileNet's features of every training image, and linear maps to logits."""

    features: NDArray[np.float16]
    """`(count, 768)`, standardized over the training images."""
    imagenet_kernel: NDArray[np.float32]
    """`(768, 1000)`, from standardized features to ImageNet logits."""
    imagenet_bias: NDArray[np.float32]
    probe_kernel: NDArray[np.float32]
    """`(768, classes)`, to the classes of the data set; solved on the training images."""
    probe_bias: NDArray[np.float32]


def save_array(path: Path, array: NDArray[np.generic]) -> None:
    """Save an array atomically."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, array)
    os.replace(partial, path)


def find_weights(folder: Path, name: str) -> Path:
    """Return the weights file of a teacher.

    Raises:
        WeightsError: If the file is missing.
    """
    path = folder / name
    if not path.is_file():
        raise WeightsError(
            f"{path} is missing; distillation needs it (or use --objective supervised)"
        )
    return path


def pool_mobilenet(
    pixels: NDArray[np.uint8], weights: Path, work: Path, size: int = MOBILENET_PIXELS
) -> NDArray[np.float32]:
    """Compute the pooled features of the MobileNet.

    Args:
        pixels: `(count, 64, 64, 3)`, 0 to 255.
        weights: The folder of the teachers' weights.
        work: The folder for finished parts.
        size: Side of the upsampled images in pixels.

    Returns:
        `(count, 768)`.
    """
    path = find_weights(weights, "mobilenet_0.75_224_notop.weights.h5")
    work.mkdir(parents=True, exist_ok=True)
    network = None
    files = []
    for part, start in enumerate(range(0, len(pixels), PART_SIZE)):
        files.append(work / f"{size}-{part:02d}.npy")
        if not files[-1].is_file():
            network = network or keras.applications.MobileNet(
                alpha=0.75,
                include_top=False,
                pooling="avg",
                input_shape=(None, None, 3),
                weights=str(path),
            )
            log.info("teacher: images from %d", start)
            save_array(files[-1], _pool(network, pixels[start : start + PART_SIZE], size))
    return np.concatenate([np.load(file) for file in files]).astype(np.float32)


def _pool(network: keras.Model, pixels: NDArray[np.uint8], size: int) -> NDArray[np.float16]:
    @tf.function(reduce_retracing=True)
    def pool(batch: tf.Tensor) -> tf.Tensor:
        batch = tf.image.resize(tf.cast(batch, tf.float32), (size, size), "bicubic")
        return network(tf.clip_by_value(batch, 0, 255) / 127.5 - 1, training=False)

    parts = [pool(pixels[i : i + 100]).numpy() for i in range(0, len(pixels), 100)]
    return np.concatenate(parts).astype(np.float16)


def prepare_class_teacher(train: Images, weights: Path, work: Path) -> ClassTeacher:
    """Prepare the MobileNet's features, its ImageNet top and a probe on the data set's classes.

    Args:
        train: The training images.
        weights: The folder of the teachers' weights.
        work: The folder for features and probe.
    """
    features = pool_mobilenet(train.pixels, weights, work)
    mean, std = features.mean(0), features.std(0) + 1e-3
    features = (features - mean) / std
    with np.load(find_weights(weights, "mobilenet_0.75_224_top.npz")) as top:
        kernel, bias = top["kernel"].astype(np.float32), top["bias"].astype(np.float32)
    file = work / "probe.npy"
    if not file.is_file():
        save_array(file, solve_probe(features, train.labels))
    probe = np.load(file)
    return ClassTeacher(
        features.astype(np.float16),
        kernel * std[:, None],
        bias + mean @ kernel,
        probe[:-1],
        probe[-1],
    )


def solve_probe(
    features: NDArray[np.float32],
    labels: NDArray[np.int32],
    iterations: int = 80,
    decay: float = 1e-4,
) -> NDArray[np.float32]:
    """Solve a softmax classifier on frozen features by accelerated gradient descent.

    The features are whitened first (by the eigenvectors of their covariance), so that a few dozen
    steps of Nesterov's method suffice.

    Args:
        features: `(count, 768)`, standardized.
        labels: `(count,)`.
        iterations: Number of full-batch steps.
        decay: λ of λ/2 ‖W‖², on the whitened features.

    Returns:
        `(769, classes)`: the kernel and, as the last row, the bias.
    """
    classes = int(labels.max()) + 1
    values, vectors = np.linalg.eigh(features.T @ features / len(features))
    whitening = (vectors / np.sqrt(values + 1e-2 * values.mean())).astype(np.float32)
    x = tf.constant(np.c_[features @ whitening, np.ones(len(features), np.float32)])
    targets = tf.one_hot(labels, classes)

    @tf.function
    def gradient(kernel: tf.Tensor) -> tf.Tensor:
        residual = tf.nn.softmax(x @ kernel) - targets
        return tf.matmul(x, residual, transpose_a=True) / len(features) + decay * kernel

    kernel = previous = tf.zeros((x.shape[1], classes))
    for iteration in range(iterations):
        ahead = kernel + iteration / (iteration + 3) * (kernel - previous)
        # 1/L: softmax has curvature at most 1/2, whitened features a covariance of about one.
        kernel, previous = ahead - 2.0 * gradient(ahead), kernel
    solution = kernel.numpy()
    return np.vstack([whitening @ solution[:-1], solution[-1:]]).astype(np.float32)


def load_texture_teacher(weights: Path) -> dict[str, NDArray[np.float32]]:
    """Load the first three blocks of the real VGG19."""
    with np.load(find_weights(weights, "vgg19_block1-3.npz")) as file:
        return {name: file[name] for name in file.files}


def texture_features(
    teacher: dict[str, NDArray[np.float32]], images: tf.Tensor, dtype: tf.DType = tf.float32
) -> list[tf.Tensor]:
    """Run the real VGG19 up to relu3_1.

    Args:
        teacher: Weights from `load_texture_teacher`.
        images: `(batch, height, width, 3)`, sRGB in `[0, 1]`.
        dtype: Data type of the convolutions.

    Returns:
        relu1_1, relu2_1 and relu3_1, scaled like those of the compressed network.
    """
    x = tf.cast(images[..., ::-1] * 255.0 - VGG_MEANS, dtype)
    features = []
    for block, depth in enumerate((2, 2, 1), start=1):
        x = x if block == 1 else tf.nn.max_pool2d(x, 2, 2, "VALID")
        for position in range(1, depth + 1):
            name = f"block{block}_conv{position}"
            x = tf.nn.conv2d(x, tf.cast(teacher[f"{name}/kernel"], dtype), 1, "SAME")
            x = tf.nn.relu(x + tf.cast(teacher[f"{name}/bias"], dtype))
            if position == 1:
                features.append(x / VGG_SCALES[block - 1])
    return features


def load_style_teacher(weights: Path) -> dict[str, NDArray[np.float32]]:
    """Load the compressed VGG19, with kernels transposed from OIHW to HWIO."""
    with np.load(find_weights(weights, "vgg19_16x.npz")) as file:
        return {
            name: file[name].transpose(2, 3, 1, 0) if file[name].ndim == 4 else file[name]
            for name in file.files
        }


def style_features(
    teacher: dict[str, NDArray[np.float32]], images: tf.Tensor, dtype: tf.DType = tf.float32
) -> list[tf.Tensor]:
    """Run the compressed VGG19.

    Args:
        teacher: Weights from `load_style_teacher`.
        images: `(batch, height, width, 3)`, sRGB in `[0, 1]`.
        dtype: Data type of the convolutions.

    Returns:
        The maps that approximate relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1.
    """

    def convolve(x: tf.Tensor, name: str) -> tf.Tensor:
        kernel = tf.cast(teacher[f"{name}.weight"], dtype)
        if kernel.shape[0] == 3:
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
        return tf.nn.conv2d(x, kernel, 1, "VALID") + tf.cast(teacher[f"{name}.bias"], dtype)

    x = convolve(tf.cast(images, dtype), "conv0")
    features = []
    for block, names in enumerate(VGG_BLOCKS, start=1):
        if block > 1:
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        for name in names:
            x = tf.nn.relu(convolve(x, f"conv{name}"))
            if name == names[0]:
                features.append(tf.nn.relu(convolve(x, f"conv{name}_aux")))
    return features
