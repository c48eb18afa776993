"""Measure the quality of a stylized image with a network that no stylization optimizes.

    python benchmarks/style_metrics.py CONTENT STYLE RESULT --json

The network is fixed: relu1_1, relu2_1 and relu3_1 of the ImageNet VGG19 (the Caffe weights of
`keras.applications`, zero padding) and the auxiliary relu4_1 and relu5_1 of its 16 times smaller
copy (Wang et al. 2020, "Collaborative Distillation", reflection padding). The content is resized to
the size of the result. The style is resized so that its longer side equals the result's, with its
aspect ratio unchanged.

Let F be the feature map of a layer as a matrix of positions × channels, G = FᵀF / positions, μ and
σ the means and standard deviations of the channels, and * the values of the style. Then

    gram = ‖G − G*‖ / ‖G*‖        (Frobenius)
    mean = ‖μ − μ*‖ / ‖μ*‖
    std  = ‖σ − σ*‖ / ‖σ*‖

`style_error` is the mean of `gram` over the five layers. With C and F the maps of content and
result at relu4_1, `content_error` is ‖F − C‖ / ‖C‖, and `content_cosine` is the cosine similarity
of the two 512-vectors at a position, averaged over all positions (not the cosine of the flattened
maps, which would give bright areas more weight). `luma_ssim` is the structural similarity of
content and result (Wang et al. 2004; Rec. 601 luma in [0, 1], 11×11 Gaussian window of σ = 1.5).
The weights are read from the folder NSTK_SHARED, by default `../shared` beside the repository.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypedDict

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nstk.errors import ImageError, NstkError, WeightsError
from nstk.images.image import Image, fit_size, resize_image
from nstk.images.loading import load_image

VGG_MEANS = (103.939, 116.779, 123.68)
VGG_BLOCKS = (("block1_conv1", "block1_conv2"), ("block2_conv1", "block2_conv2"), ("block3_conv1",))
SMALL_BLOCKS = (
    ("conv11", "conv12"),
    ("conv21", "conv22"),
    ("conv31", "conv32", "conv33", "conv34"),
    ("conv41", "conv42", "conv43", "conv44"),
    ("conv51",),
)
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER = "relu4_1"


class StyleMetrics(TypedDict):
    """The metrics of one result; see the docstring of this module."""

    content_error: float
    style_error: float
    layers: dict[str, dict[str, float]]
    luma_ssim: float
    content_cosine: float


def find_shared() -> Path:
    """Return the folder that holds `weights/`."""
    return Path(os.environ.get("NSTK_SHARED", Path(__file__).parents[2] / "shared"))


@cache
def load_weights(name: str) -> Mapping[str, NDArray[np.float32]]:
    """Load one weights file of the fixed network.

    Raises:
        WeightsError: If the file is missing.
    """
    path = find_shared() / "weights" / name
    if not path.is_file():
        raise WeightsError(f"{path} is missing; set NSTK_SHARED to the folder that holds weights/")
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


@tf.function(reduce_retracing=True)
def compute_maps(image: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compute the five feature maps of the fixed network.

    Args:
        image: `(height, width, 3)`, sRGB in `[0, 1]`, at least 32 px a side.

    Returns:
        `(positions, channels)` by layer.
    """
    large, small = load_weights("vgg19_block1-3.npz"), load_weights("vgg19_16x.npz")
    maps = []
    x = image[tf.newaxis, :, :, ::-1] * 255 - VGG_MEANS
    for block, names in enumerate(VGG_BLOCKS):
        x = x if block == 0 else tf.nn.max_pool2d(x, 2, 2, "VALID")
        for name in names:
            x = tf.nn.conv2d(x, large[f"{name}/kernel"], 1, "SAME") + large[f"{name}/bias"]
            x = tf.nn.relu(x)
            if name == names[0]:
                maps.append(x)

    def convolve(x: tf.Tensor, name: str) -> tf.Tensor:
        kernel = small[f"{name}.weight"].transpose(2, 3, 1, 0)
        padding = kernel.shape[0] // 2
        x = tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]], "REFLECT")
        return tf.nn.conv2d(x, kernel, 1, "VALID") + small[f"{name}.bias"]

    x = convolve(image[tf.newaxis], "conv0")
    for block, names in enumerate(SMALL_BLOCKS):
        x = x if block == 0 else tf.nn.max_pool2d(x, 2, 2, "VALID")
        for name in names:
            x = tf.nn.relu(convolve(x, name))
            if name == names[0] and block > 2:
                maps.append(tf.nn.relu(convolve(x, f"{name}_aux")))
    return {layer: tf.reshape(x, (-1, x.shape[-1])) for layer, x in zip(LAYERS, maps, strict=True)}


def relative_error(value: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Compute ‖value − target‖ / ‖target‖."""
    return float(np.linalg.norm(value - target) / max(np.linalg.norm(target), 1e-12))


def compare_statistics(
    features: NDArray[np.float32], target: NDArray[np.float32]
) -> dict[str, float]:
    """Return the relative errors of Gram matrix, means and standard deviations of a map."""
    return {
        "gram": relative_error(
            features.T @ features / len(features), target.T @ target / len(target)
        ),
        "mean": relative_error(features.mean(0), target.mean(0)),
        "std": relative_error(features.std(0), target.std(0)),
    }


def measure_style(content: Image, style: Image, result: Image) -> StyleMetrics:
    """Measure one result.

    Args:
        content: `(height, width, 3)`, sRGB in `[0, 1]`.
        style: The same, of any size.
        result: The same, at least 32 px per side.

    Returns:
        Errors (0 is best) and similarities (1 is best), as defined in the module's docstring.

    Raises:
        ImageError: If the result is too small.
        WeightsError: If the weights are missing.
    """
    height, width = result.shape[:2]
    if min(height, width) < 32:
        raise ImageError(f"the result is {width}×{height} px; give one of at least 32 px per side")
    style = resize_image(style, *fit_size(*style.shape[:2], max(height, width)))
    content = resize_image(content, height, width)
    content_maps, style_maps, result_maps = (
        {layer: x.numpy() for layer, x in compute_maps(tf.constant(image)).items()}
        for image in (content, style, result)
    )
    layers = {layer: compare_statistics(result_maps[layer], style_maps[layer]) for layer in LAYERS}
    target, actual = content_maps[CONTENT_LAYER], result_maps[CONTENT_LAYER]
    norms = np.linalg.norm(target, axis=1) * np.linalg.norm(actual, axis=1)
    cosines = (target * actual).sum(1) / np.maximum(norms, 1e-12)
    luma = np.float32([0.299, 0.587, 0.114])
    ssim = tf.image.ssim((content @ luma)[..., None], (result @ luma)[..., None], max_val=1.0)
    return {
        "content_error": relative_error(actual, target),
        "style_error": float(np.mean([errors["gram"] for errors in layers.values()])),
        "layers": layers,
        "luma_ssim": float(ssim),
        "content_cosine": float(cosines.mean()),
    }


def main() -> int:
    """Measure the images given on the command line."""
    parser = argparse.ArgumentParser(description="Measure the quality of a stylized image.")
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    try:
        metrics = measure_style(
            *(
                load_image(path).pixels
                for path in (arguments.content, arguments.style, arguments.result)
            )
        )
    except NstkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(metrics))
        return 0
    for name in ("style_error", "content_error", "content_cosine", "luma_ssim"):
        print(f"{name:15} {metrics[name]:.4f}")
    for layer, errors in metrics["layers"].items():
        print(f"{layer:15} " + "  ".join(f"{name} {value:.4f}" for name, value in errors.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
