"""The three losses, each relative to its own target.

Gatys et al. sum squared differences, so their weights mean something else for every size, layer
and style. Here every loss is divided by the squared norm of its target: 0 is perfect agreement,
1 is as far away as a black feature map, and α and β mean the same at 128 and at 4096 pixels.
"""

from typing import Any

import tensorflow as tf

from nstk.stylization.statistics import Moments, widen


def measure_content(features: Any, target: Any) -> Any:
    """½‖a − a*‖² / ½‖a*‖², the content loss of Gatys et al. 2016, eq. 1, made relative.

    Args:
        features: a, the feature map of the picture, ``(1, height, width, C)``.
        target: a*, that of the content picture, of the same shape.

    Returns:
        A scalar, 0 or more.
    """
    return _relative(widen(features), widen(target))


def measure_style(moments: Moments, target: Moments) -> Any:
    """How far the statistics of one layer are from those of the style.

    ‖G − G*‖²_F / ‖G*‖²_F + ‖μ − μ*‖² / ‖μ*‖² + ‖σ − σ*‖² / ‖σ*‖². The first part is the style
    loss of Gatys et al. 2016, eq. 4, made relative. The other two departures cost nothing:
    the Gram matrix mixes means and spreads, and the strongest channels drown the others in it.

    Returns:
        A scalar, 0 or more.
    """
    return (
        _relative(moments.gram, target.gram)
        + _relative(moments.mean, target.mean)
        + _relative(_deviation(moments, target), _deviation(target, target))
    )


def measure_variation(picture: Any) -> Any:
    """Mean squared difference of neighbouring pixels, over all eight neighbours.

    Diagonal neighbours count a quarter of straight ones, as in a nine-point Laplacian, so that
    no direction is preferred (Crowson).

    Args:
        picture: ``(height, width, 3)`` in ``[0, 1]``.

    Returns:
        A scalar, 0 or more.
    """
    horizontal = tf.reduce_mean(tf.square(picture[:, 1:] - picture[:, :-1]))
    vertical = tf.reduce_mean(tf.square(picture[1:] - picture[:-1]))
    falling = tf.reduce_mean(tf.square(picture[1:, 1:] - picture[:-1, :-1]))
    rising = tf.reduce_mean(tf.square(picture[1:, :-1] - picture[:-1, 1:]))
    return 2 * ((horizontal + vertical) / 3 + (falling + rising) / 12)


def _deviation(moments: Moments, target: Moments) -> Any:
    """σ_k, with a floor of a hundredth of the target's own: a root has no slope at 0."""
    floor = 1e-4 * tf.reduce_mean(target.variance) + 1e-30
    return tf.sqrt(moments.variance + floor)


def _relative(value: Any, target: Any) -> Any:
    """‖value − target‖² / ‖target‖², with a floor for targets that are zero everywhere."""
    return tf.nn.l2_loss(value - target) / tf.maximum(tf.nn.l2_loss(target), 1e-30)
