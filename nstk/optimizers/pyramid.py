"""A metric for images, in which neighbors move together."""

from typing import Any

import tensorflow as tf

FALL = 0.25
"""How much a level counts against the one before, which has four times as many cells: what is the
same everywhere then gains as much from each of them."""


def spread(gradient: Any, levels: int) -> Any:
    """P·g, where P = I + FALL·U·P′·Uᵀ: U enlarges an image twice, P′ has a level less.

    What many pixels have in common changes a loss of feature maps by little for each of them, so a
    descent along the gradient moves it last. In P it counts as often as there are levels; the
    finest grain counts once. P is symmetric and positive definite, as a metric has to be: U is
    bilinear and Uᵀ its exact transpose.

    Args:
        gradient: g of an image, ``(height, width, channels)``. Of any other number of dimensions
            it is no image, and stays as it is.
        levels: Of the pyramid; 1 is the identity.

    Returns:
        A tensor of the shape and dtype of ``gradient``.
    """
    if levels == 1 or gradient.shape.rank != 3:
        return gradient
    height, width, channels = tf.unstack(tf.shape(gradient))
    half = tf.raw_ops.ResizeBilinearGrad(
        grads=tf.cast(gradient[tf.newaxis], tf.float32),
        original_image=tf.zeros([1, (height + 1) // 2, (width + 1) // 2, channels]),
        half_pixel_centers=True,
    )
    coarse = spread(half[0], levels - 1)
    enlarged = tf.image.resize(coarse, [height, width], method="bilinear")
    return gradient + FALL * tf.cast(enlarged, gradient.dtype)
