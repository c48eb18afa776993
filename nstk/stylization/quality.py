"""How good a result is, in figures of the packaged network, so that all runs compare.

Whatever network an image was painted through, it is looked at through ``compact``, with the
content and the styles brought to the result's size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.errors import ImageError
from nstk.images.color_spaces import to_luma
from nstk.images.image import Image, fit_size, resize_image, take_array
from nstk.stylization.layers import choose_style_layers
from nstk.stylization.statistics import feature_sums, to_moments

CONTENT_LAYER = "block4_conv2"

SMALLEST_SIDE = 16
"""Pixels on the shorter side of a result that the deepest style layer needs."""

_NOTHING = 1e-12


@dataclass(frozen=True)
class Quality:
    """What the packaged network says of a result.

    Attributes:
        content_similarity: Cosine of the angle between what content and result show at a place
            of ``block4_conv2``, averaged over the places; 1 is the same, 0 nothing in common.
        style_error: Mean of ``style_errors``; NaN where no style image was at hand.
        style_errors: ‖G − G*‖_F / ‖G*‖_F of every style layer, with G the Gram matrix per place
            of the result and G* that of the blended styles; 0 is the same. Empty where no style
            image was at hand.
        luma_ssim: Structural similarity of content and result (Wang et al. 2004: 11×11 Gaussian
            window of σ = 1.5) in Rec. 601 luma; 1 is the same.
    """

    content_similarity: float
    style_error: float
    style_errors: Mapping[str, float]
    luma_ssim: float


def measure_quality(
    content: Image,
    styles: Sequence[Image],
    result: Image,
    weights: Sequence[float] | None = None,
) -> Quality:
    """Measure a result against what it was made from.

    The content is resized to the result's size and every style, with its proportions kept, until
    its longer side is the result's.

    Args:
        content: ``(height, width, 3)``, floats in ``[0, 1]`` or uint8, of any size.
        styles: The same; none where the style is a file of statistics of another network.
        result: The same, at least 16 pixels on the shorter side.
        weights: How much each style counts, not all 0; all the same when None.

    Returns:
        The figures; every one is 1 or 0 at best, as its name says.

    Raises:
        ImageError: If the result is too small, or one of them is no image.
    """
    layers = _style_layers()
    result = take_array(result, "the result")
    height, width = _check_size(result)
    content = resize_image(take_array(content, "content"), height, width)
    of_result = _look(result, *layers, CONTENT_LAYER)
    of_content = _look(content, CONTENT_LAYER)[CONTENT_LAYER]
    errors: dict[str, float] = {}
    if styles:
        shares = np.ones(len(styles)) if weights is None else np.asarray(weights, float)
        seen = [take_array(style, f"style {number}") for number, style in enumerate(styles, 1)]
        grams = [_observe(style, max(height, width)) for style in seen]
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
    """How much of the content is still seen in a result; `Quality.content_similarity`.

    The network is loaded once; an image of 128 px then takes milliseconds.

    Args:
        content: float32 ``(height, width, 3)`` in ``[0, 1]``; resized to the result's size.
        result: The same, at least 16 pixels on the shorter side.

    Returns:
        From 0, nothing in common, to 1, the same.

    Raises:
        ImageError: If the result is too small.
    """
    height, width = _check_size(result)
    if content.shape[:2] != (height, width):
        content = resize_image(content, height, width)
    seen = [_look(image, CONTENT_LAYER)[CONTENT_LAYER] for image in (content, result)]
    return _mean_cosine(*seen)


@cache
def _network() -> Backbone:
    return load_backbone()


@cache
def _style_layers() -> tuple[str, ...]:
    return tuple(choose_style_layers(_network()))


def _look(image: Image, *layers: str) -> Any:
    """The feature maps of one image, by name."""
    return _network().tap(layers)(tf.constant(image[np.newaxis]), training=False)


def _observe(style: Image, longer_side: int) -> dict[str, Any]:
    """The Gram matrix per place of every style layer."""
    height, width = fit_size(style.shape[0], style.shape[1], longer_side)
    maps = _look(resize_image(style, height, width), *_style_layers())
    return {name: _gram(maps[name]) for name in _style_layers()}


def _gram(features: Any) -> Any:
    return to_moments(feature_sums(features)).gram


def _check_size(result: Image) -> tuple[int, int]:
    height, width = result.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ImageError(
            f"The result is {width}×{height} pixels; measuring its quality needs at least "
            f"{SMALLEST_SIDE} on the shorter side: choose a larger --size."
        )
    return height, width


def _relative_error(value: Any, target: Any) -> float:
    return float(tf.norm(value - target) / tf.maximum(tf.norm(target), _NOTHING))


def _mean_cosine(one: Any, other: Any) -> float:
    """Two places that show nothing at all are the same: 0 / 0 counts as 1."""
    products = tf.reduce_sum(one * other, axis=-1)
    norms = tf.norm(one, axis=-1) * tf.norm(other, axis=-1)
    return float(tf.reduce_mean((products + _NOTHING) / (norms + _NOTHING)))
