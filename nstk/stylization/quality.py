"""Quality metrics of a result.

They are always computed with the packaged network ``compact``, so that the results of all
networks compare, with the content and the styles resized to the result.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

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
from nstk.stylization.recipe import choose_style_layers
from nstk.stylization.statistics import feature_sums, to_moments
from nstk.stylization.styles import extract_features
from nstk.types import Tensor

CONTENT_LAYER = "block4_conv2"

SMALLEST_SIDE = 16
"""Pixels on the shorter side of a result that the deepest style layer needs."""

_NOTHING = 1e-12


@dataclass(frozen=True)
class Quality:
    """Quality metrics of a result, computed with the packaged network.

    ``content_similarity`` is the cosine similarity of content and result at each position of
    ``block4_conv2``, averaged: 1 is identical. ``style_errors`` holds ‖G − G*‖_F / ‖G*‖_F of every
    style layer, with Gram matrices per position: 0 is identical; empty without a style image.
    ``luma_ssim`` is the structural similarity in luma (Wang et al. 2004, 11×11 Gaussian window of
    σ = 1.5).
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
    """
    judge = load_backbone()
    layers = tuple(choose_style_layers(judge))
    result = to_image(result, "the result", value_range)
    height, width = _check_size(result)
    content = resize_image(to_image(content, "content", value_range), height, width)
    maps = extract_features(judge.tap(layers), result)
    errors: dict[str, float] = {}
    if styles:
        shares = np.ones(len(styles)) if weights is None else np.asarray(weights, float)
        targets = []
        for number, style in enumerate(styles, 1):
            image = to_image(style, f"style {number}", value_range)
            size = fit_size(image.shape[0], image.shape[1], max(height, width))
            image = resize_image(image, *size)
            targets.append(extract_features(judge.tap(layers), image))
        for name in layers:
            grams = [
                share * _gram(each[name])
                for share, each in zip(shares / sum(shares), targets, strict=True)
            ]
            errors[name] = _relative_error(_gram(maps[name]), tf.add_n(grams))
    luma = [tf.constant(to_luma(image))[..., tf.newaxis] for image in (content, result)]
    return Quality(
        content_similarity=content_similarity(content, result),
        style_error=sum(errors.values()) / len(errors) if errors else math.nan,
        style_errors=errors,
        luma_ssim=float(tf.image.ssim(*luma, max_val=1.0)),
    )


def content_similarity(content: Image, result: Image) -> float:
    """`Quality.content_similarity` alone; the content is resized to the result."""
    height, width = _check_size(result)
    if content.shape[:2] != (height, width):
        content = resize_image(content, height, width)
    taps = load_backbone().tap([CONTENT_LAYER])
    maps = [extract_features(taps, image)[CONTENT_LAYER] for image in (content, result)]
    return _mean_cosine(*maps)


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
