"""Quality metrics of a result.

They are always computed with the packaged network ``compact``, so that the results of all
networks compare, with the content and the styles resized to the result.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.errors import ImageError
from nstk.images.color_spaces import to_luma
from nstk.images.image import (
    VALUE_RANGE,
    Image,
    Levels,
    ValueRange,
    fit_size,
    resize_image,
    to_image,
)
from nstk.stylization.layers import choose_style_layers
from nstk.stylization.statistics import feature_sums, to_moments
from nstk.types import FeatureMaps, Tensor

CONTENT_LAYER = "block4_conv2"

SMALLEST_SIDE = 16
"""Pixels on the shorter side of a result that the deepest style layer needs."""

_NOTHING = 1e-12


@dataclass(frozen=True)
class Quality:
    """Quality metrics of a result, computed with the packaged network.

    Attributes:
        content_similarity: Cosine similarity of content and result at each position of
            ``block4_conv2``, averaged; 1 is identical, 0 unrelated.
        style_error: Mean of ``style_errors``; NaN without a style image.
        style_errors: ‖G − G*‖_F / ‖G*‖_F of every style layer, with G the Gram matrix per
            position of the result and G* that of the blended styles; 0 is identical. Empty without
            a style image.
        luma_ssim: Structural similarity of content and result (Wang et al. 2004: 11×11 Gaussian
            window of σ = 1.5) in Rec. 601 luma; 1 is identical.
    """

    content_similarity: float
    style_error: float
    style_errors: Mapping[str, float]
    luma_ssim: float


def measure_quality(
    content: Image | Levels,
    styles: Sequence[Image | Levels],
    result: Image | Levels,
    weights: Sequence[float] | None = None,
    *,
    value_range: ValueRange = VALUE_RANGE,
) -> Quality:
    """Compare a result with its content and styles.

    The content is resized to the size of the result, and every style to its longer side without
    stretching.

    Args:
        content: ``(height, width, 3)``, uint8 or floats in ``value_range``, of any size.
        styles: The same; none if the style is a file of another network.
        result: The same, at least 16 pixels on the shorter side.
        weights: A weight for each style, not all 0; equal if None.
        value_range: Values of black and white in arrays of floats, as in Keras.

    Returns:
        The metrics: similarities are 1 at best, errors 0.

    Raises:
        ImageError: If the result is too small, or an argument is not an image.
    """
    layers = _style_layers()
    result = to_image(result, "the result", value_range)
    height, width = _check_size(result)
    content = resize_image(to_image(content, "content", value_range), height, width)
    of_result = _feature_maps(result, *layers, CONTENT_LAYER)
    of_content = _feature_maps(content, CONTENT_LAYER)[CONTENT_LAYER]
    errors: dict[str, float] = {}
    if styles:
        shares = np.ones(len(styles)) if weights is None else np.asarray(weights, float)
        images = [
            to_image(style, f"style {number}", value_range)
            for number, style in enumerate(styles, 1)
        ]
        grams = [_style_grams(style, max(height, width)) for style in images]
        for name in layers:
            target = tf.add_n(
                [s * g[name] for s, g in zip(shares / sum(shares), grams, strict=True)]
            )
            errors[name] = _relative_error(_gram(of_result[name]), target)
    luma = [tf.constant(to_luma(image))[..., tf.newaxis] for image in (content, result)]
    return Quality(
        content_similarity=_mean_cosine(of_content, of_result[CONTENT_LAYER]),
        style_error=sum(errors.values()) / len(errors) if errors else math.nan,
        style_errors=errors,
        luma_ssim=float(tf.image.ssim(*luma, max_val=1.0)),
    )


def content_similarity(content: Image, result: Image) -> float:
    """Compute `Quality.content_similarity` alone.

    The network is loaded once; an image of 128 px then takes milliseconds.

    Args:
        content: float32 ``(height, width, 3)`` in ``[0, 1]``; resized to the result's size.
        result: The same, at least 16 pixels on the shorter side.

    Returns:
        From 0, unrelated, to 1, identical.

    Raises:
        ImageError: If the result is too small.
    """
    height, width = _check_size(result)
    if content.shape[:2] != (height, width):
        content = resize_image(content, height, width)
    maps = [_feature_maps(image, CONTENT_LAYER)[CONTENT_LAYER] for image in (content, result)]
    return _mean_cosine(*maps)


@cache
def _network() -> Backbone:
    return load_backbone()


@cache
def _style_layers() -> tuple[str, ...]:
    return tuple(choose_style_layers(_network()))


def _feature_maps(image: Image, *layers: str) -> FeatureMaps:
    """The feature maps of one image, by name."""
    maps: FeatureMaps = _network().tap(layers)(tf.constant(image[np.newaxis]), training=False)
    return maps


def _style_grams(style: Image, longer_side: int) -> dict[str, Tensor]:
    """The Gram matrix per position of every style layer."""
    height, width = fit_size(style.shape[0], style.shape[1], longer_side)
    maps = _feature_maps(resize_image(style, height, width), *_style_layers())
    return {name: _gram(maps[name]) for name in _style_layers()}


def _gram(features: Tensor) -> Tensor:
    return to_moments(feature_sums(features)).gram


def _check_size(result: Image) -> tuple[int, int]:
    height, width = result.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"The result is {width}×{height} pixels; measuring its quality needs at least "
            f"{SMALLEST_SIDE} on the shorter side: choose a larger `size`."
        )
    return height, width


def _relative_error(value: Tensor, target: Tensor) -> float:
    return float(tf.norm(value - target) / tf.maximum(tf.norm(target), _NOTHING))


def _mean_cosine(one: Tensor, other: Tensor) -> float:
    """The mean cosine similarity; two positions without activation count as identical."""
    products = tf.reduce_sum(one * other, axis=-1)
    norms = tf.norm(one, axis=-1) * tf.norm(other, axis=-1)
    return float(tf.reduce_mean((products + _NOTHING) / (norms + _NOTHING)))
