"""The losses, each relative to its own target.

Gatys et al. sum squared differences, so their weights mean something else for every size, layer
and style. Here every loss is measured in units of its target: 0 is perfect agreement, a black
feature map is 1 away (√3 by the three parts of `moments_loss`), and α and β mean the same at 128
and at 4096 pixels.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from nstk.stylization.statistics import Moments, upcast
from nstk.stylization.transport import wasserstein_squared

GRADIENT_FLOOR = 1e-6
"""Added under a root, which has no gradient at 0."""


def content_loss(features: Any, target: Any) -> Any:
    """½‖a − a*‖² / ½‖a*‖², the content loss of Gatys et al. 2016, eq. 1, made relative.

    Args:
        features: a, the feature map of the image, ``(1, height, width, C)``.
        target: a*, that of the content image, of the same shape.

    Returns:
        A scalar, 0 or more.
    """
    return content_sum(features, target) / tf.maximum(content_sum(target), 1e-30)


def content_sum(features: Any, target: Any | None = None) -> Any:
    """½‖a − a*‖², what the content loss adds up; ½‖a‖² where no target is given."""
    wide = upcast(features)
    return tf.nn.l2_loss(wide if target is None else wide - upcast(target))


def gram_loss(moments: Moments, target: Moments) -> Any:
    """‖G − G*‖²_F / ‖G*‖²_F, the style loss of Gatys et al. 2016, eq. 4, made relative.

    Returns:
        A scalar, 0 or more.
    """
    return _relative(moments.gram, target.gram)


def moments_loss(moments: Moments, target: Moments) -> Any:
    """√(‖G − G*‖²_F / ‖G*‖²_F + ‖μ − μ*‖² / ‖μ*‖² + ‖σ − σ*‖² / ‖σ*‖²).

    Means and deviations cost nothing: the Gram matrix mixes the two, and its strongest channels
    drown the others. The root makes it a distance, not a square. A square cares for what is
    far away and forgets what is nearly right, so that the deep layers, which content holds far
    from the style, outweigh the strokes that could still be had.

    Returns:
        A scalar, 0 or more.
    """
    return _distance(
        _relative(moments.gram, target.gram)
        + _relative(moments.mean, target.mean)
        + _relative(_std(moments, target), _std(target, target))
    )


def wasserstein_loss(moments: Moments, target: Moments) -> Any:
    """W₂ / √(‖μ*‖² + tr C*), the distance of two normal distributions of features.

    W₂² = ‖μ − μ*‖² + tr(C + C* − 2·(C*^½ C C*^½)^½) with covariances C (Givens and Shortt 1984).

    Returns:
        A scalar, 0 or more.
    """
    squared = wasserstein_squared(moments, target)
    size = tf.reduce_sum(tf.square(target.mean)) + tf.reduce_sum(target.variance)
    return _distance(squared / tf.maximum(size, 1e-30))


DIRECTIONS = (2 / 3, 2 / 3, 1 / 6, 1 / 6)
"""How much horizontal, vertical, falling and rising neighbors count."""

STYLE_LOSSES: Mapping[str, Callable[[Moments, Moments], Any]] = {
    "gram": gram_loss,
    "moments": moments_loss,
    "wasserstein": wasserstein_loss,
}
"""Every way to compare the moments of a layer with the style's, by its name."""


def total_variation(image: Any) -> Any:
    """Mean squared difference of neighboring pixels, over all eight neighbors.

    Diagonal neighbors count a quarter of straight ones, as in a nine-point Laplacian, so that
    no direction is preferred (Crowson).

    Args:
        image: ``(height, width, 3)`` in ``[0, 1]``.

    Returns:
        A scalar, 0 or more.
    """
    return tv_from_sums(tv_sums(image), image.shape)


def tv_sums(image: Any, rows: Any = None, columns: Any = None) -> Any:
    """Squared differences of neighboring pixels, summed up direction by direction.

    A difference belongs to the upper, or else the left pixel's row and to the left pixel's
    column, so sums over parts of an image add up to those of the whole if each part is given
    with the row and the column that follow.

    Args:
        image: ``(height, width, 3)``, an image or a part of one.
        rows: How many of its rows own differences; all where None.
        columns: How many of its columns.

    Returns:
        Σ of horizontal, vertical, falling and rising ones, shape ``(4,)``.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    rows = height if rows is None else rows
    columns = width if columns is None else columns

    def cut(top: int, left: int, height: Any, width: Any) -> Any:
        # The gradient of a slice is a pad, ten times as fast as that of image[top:, left:].
        return tf.slice(image, [top, left, 0], [height, width, 3])

    sides = (
        cut(0, 1, rows, width - 1) - cut(0, 0, rows, width - 1),
        cut(1, 0, height - 1, columns) - cut(0, 0, height - 1, columns),
        cut(1, 1, height - 1, width - 1) - cut(0, 0, height - 1, width - 1),
        cut(1, 0, height - 1, width - 1) - cut(0, 1, height - 1, width - 1),
    )
    return tf.stack([2 * tf.nn.l2_loss(side) for side in sides])


def tv_from_sums(sums: Any, shape: Any) -> Any:
    """The variation of an image, from the sums of all its parts.

    Args:
        sums: See `sum_variation`.
        shape: Height, width and channels of the whole image.
    """
    height, width = shape[:2]
    pairs = [height * (width - 1), (height - 1) * width, *[(height - 1) * (width - 1)] * 2]
    shares = [weight / (3 * count) for weight, count in zip(DIRECTIONS, pairs, strict=True)]
    return tf.reduce_sum(sums * tf.constant(shares, sums.dtype))


def _distance(squared: Any) -> Any:
    return tf.sqrt(squared + GRADIENT_FLOOR) - GRADIENT_FLOOR**0.5


def _std(moments: Moments, target: Moments) -> Any:
    """σ_k, with a floor of a hundredth of the target's own: a root has no gradient at 0."""
    floor = 1e-4 * tf.reduce_mean(target.variance) + 1e-30
    return tf.sqrt(moments.variance + floor)


def _relative(value: Any, target: Any) -> Any:
    """‖value − target‖² / ‖target‖², with a floor for targets that are zero everywhere."""
    return tf.nn.l2_loss(value - target) / tf.maximum(tf.nn.l2_loss(target), 1e-30)
