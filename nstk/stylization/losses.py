"""The losses, each relative to its target, and the sums they are computed from.

Gatys et al. sum squared differences, so the same weights act differently at every size, layer and
style. Here every loss is measured in units of its target: 0 is a perfect match, a black feature
map has loss 1 (√3 with the three parts of `moments_loss`), and α and β act the same at 128 and
at 4096 pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from nstk.backbones.gradients import with_gradient
from nstk.stylization.statistics import Moments, Statistics, covariance, feature_sums, upcast
from nstk.types import FeatureMaps, Tensor

GRADIENT_FLOOR = 1e-6
"""Added under a root, which has no gradient at 0."""

RELATIVE_FLOOR = 1e-5
"""Smallest eigenvalue relative to the mean one; keeps roots and their gradients finite."""

DIRECTIONS = (2 / 3, 2 / 3, 1 / 6, 1 / 6)
"""Weights of horizontal, vertical, falling and rising neighbors in the total variation."""


class TemporalTarget(NamedTuple):
    """What a frame of a clip should look like, as far as the frames before it tell.

    Attributes:
        image: The result of an earlier frame, moved to where its content is now, ``(H, W, 3)``.
        reliability: How far each pixel can be trusted, ``(H, W, 1)`` in ``[0, 1]``.
        weight: The weight of the temporal loss, a scalar.
    """

    image: Tensor
    reliability: Tensor
    weight: Tensor


class ImageSums(NamedTuple):
    """Everything the loss of an image depends on: sums over positions, additive over its parts."""

    style: Mapping[str, Sequence[Statistics]]
    content: Mapping[str, Tensor]
    tv: Tensor


def layer_sums(
    maps: FeatureMaps,
    guides: Mapping[str, Sequence[Tensor | None]],
    content: FeatureMaps,
) -> tuple[dict[str, tuple[Statistics, ...]], dict[str, Tensor]]:
    """Compute the sums of the feature maps of an image or of a part of it."""
    style = {
        name: tuple(feature_sums(maps[name], plane) for plane in planes)
        for name, planes in guides.items()
        if name in maps
    }
    return style, {
        name: content_sum(maps[name], target) for name, target in content.items() if name in maps
    }


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """½‖a − a*‖² / ½‖a*‖², the content loss of Gatys et al. 2016, eq. 1, made relative.

    Args:
        features: a, the feature map of the image, ``(1, height, width, C)``.
        target: a*, that of the content image, of the same shape.

    Returns:
        A scalar, 0 or more.
    """
    return content_sum(features, target) / tf.maximum(content_sum(target), 1e-30)


def content_sum(features: Tensor, target: Tensor | None = None) -> Tensor:
    """½‖a − a*‖²; ½‖a‖² without a target."""
    wide = upcast(features)
    return tf.nn.l2_loss(wide if target is None else wide - upcast(target))


def gram_loss(moments: Moments, target: Moments) -> Tensor:
    """‖G − G*‖²_F / ‖G*‖²_F, the style loss of Gatys et al. 2016, eq. 4, made relative.

    Returns:
        A scalar, 0 or more.
    """
    return _relative_error(moments.gram, target.gram)


def moments_loss(moments: Moments, target: Moments) -> Tensor:
    """√(‖G − G*‖²_F / ‖G*‖²_F + ‖μ − μ*‖² / ‖μ*‖² + ‖σ − σ*‖² / ‖σ*‖²).

    Mean and standard deviation are free: the Gram matrix mixes the two, and its strongest
    channels drown the others. The root makes it a distance. A squared loss is dominated by what
    is far from its target, so the deep layers, which content holds far from the style, would
    outweigh the strokes that can still improve.

    Returns:
        A scalar, 0 or more.
    """
    return _root_distance(
        _relative_error(moments.gram, target.gram)
        + _relative_error(moments.mean, target.mean)
        + _relative_error(_std(moments, target), _std(target, target))
    )


def wasserstein_loss(moments: Moments, target: Moments) -> Tensor:
    """W₂ / √(‖μ*‖² + tr C*), the distance of two normal distributions of features.

    Returns:
        A scalar, 0 or more.
    """
    squared = wasserstein_squared(moments, target)
    size = tf.reduce_sum(tf.square(target.mean)) + tf.reduce_sum(target.variance)
    return _root_distance(squared / tf.maximum(size, 1e-30))


STYLE_LOSSES: Mapping[str, Callable[[Moments, Moments], Tensor]] = {
    "gram": gram_loss,
    "moments": moments_loss,
    "wasserstein": wasserstein_loss,
}
"""The style losses by name; each compares the moments of a layer with those of the style."""


def wasserstein_squared(moments: Moments, target: Moments) -> Tensor:
    """W₂² = ‖μ − μ*‖² + tr(C + C* − 2·(C*^½ C C*^½)^½) (Givens and Shortt 1984)."""
    root = _matrix_root(_regularize(covariance(target), target))
    product = root @ _regularize(covariance(moments), target) @ root
    shared = _trace_of_root((product + tf.transpose(product)) / 2)
    variances = tf.reduce_sum(moments.variance) + tf.reduce_sum(target.variance)
    added = 2 * _eigenvalue_floor(target) * tf.cast(tf.size(target.mean), target.mean.dtype)
    shift = tf.reduce_sum(tf.square(moments.mean - target.mean))
    return tf.nn.relu(shift + variances + added - 2 * shared)


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels, over all eight neighbors.

    Diagonal neighbors count a quarter of straight ones, as in a nine-point Laplacian, so that
    no direction is preferred (Crowson).

    Args:
        image: ``(height, width, 3)`` in ``[0, 1]``.

    Returns:
        A scalar, 0 or more.
    """
    return tv_from_sums(tv_sums(image), tf.shape(image))


def tv_sums(image: Tensor, rows: Tensor | None = None, columns: Tensor | None = None) -> Tensor:
    """Sum the squared differences of neighboring pixels for each direction.

    A difference belongs to the row of its upper pixel (of its left one, if they share the row)
    and to the column of its left pixel. Sums over parts of an image therefore add up to those of
    the whole if each part comes with the row and the column that follow it.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    rows = height if rows is None else rows
    columns = width if columns is None else columns

    def cut(top: int, left: int, height: Tensor, width: Tensor) -> Tensor:
        # The gradient of a slice is a pad, ten times as fast as that of image[top:, left:].
        return tf.slice(image, [top, left, 0], [height, width, 3])

    sides = (
        cut(0, 1, rows, width - 1) - cut(0, 0, rows, width - 1),
        cut(1, 0, height - 1, columns) - cut(0, 0, height - 1, columns),
        cut(1, 1, height - 1, width - 1) - cut(0, 0, height - 1, width - 1),
        cut(1, 0, height - 1, width - 1) - cut(0, 1, height - 1, width - 1),
    )
    return tf.stack([2 * tf.nn.l2_loss(side) for side in sides])


def tv_from_sums(sums: Tensor, shape: Tensor) -> Tensor:
    height, width = tf.unstack(tf.cast(shape[:2], tf.float64))
    inner = (height - 1) * (width - 1)
    pairs = tf.stack([height * (width - 1), (height - 1) * width, inner, inner])
    shares = tf.math.divide_no_nan(tf.constant(DIRECTIONS, tf.float64), 3 * pairs)
    return tf.reduce_sum(sums * tf.cast(shares, sums.dtype))


def temporal_loss(image: Tensor, target: TemporalTarget) -> Tensor:
    """1/D·Σ c·(x − t)² over all D values of an image (Ruder, Dosovitskiy and Brox 2016, eq. 6).

    Returns:
        A scalar, 0 or more.
    """
    return tf.reduce_mean(target.reliability * tf.square(image - target.image))


def add_temporal_loss(
    image: Tensor, target: TemporalTarget | None, loss: Tensor, terms: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    if target is None:
        return loss, terms
    temporal = temporal_loss(image, target)
    return loss + target.weight * temporal, {**terms, "temporal": temporal}


def temporal_gradient(image: Tensor, target: TemporalTarget) -> Tensor:
    """The gradient of the weighted temporal loss."""
    factor = 2 * target.weight / tf.cast(tf.size(image), image.dtype)
    return factor * target.reliability * (image - target.image)


def _root_distance(squared: Tensor) -> Tensor:
    return tf.sqrt(squared + GRADIENT_FLOOR) - GRADIENT_FLOOR**0.5


def _std(moments: Moments, target: Moments) -> Tensor:
    """σ_k, with a floor of a hundredth of the target's own: a root has no gradient at 0."""
    floor = 1e-4 * tf.reduce_mean(target.variance) + 1e-30
    return tf.sqrt(moments.variance + floor)


def _relative_error(value: Tensor, target: Tensor) -> Tensor:
    """‖value − target‖² / ‖target‖², with a floor for targets that are zero everywhere."""
    return tf.nn.l2_loss(value - target) / tf.maximum(tf.nn.l2_loss(target), 1e-30)


def _eigenvalue_floor(target: Moments) -> Tensor:
    return RELATIVE_FLOOR * tf.reduce_mean(target.variance) + 1e-30


def _regularize(matrix: Tensor, target: Moments) -> Tensor:
    """Add the same multiple of the unit matrix to both covariances: W₂ hardly changes."""
    return matrix + _eigenvalue_floor(target) * tf.eye(tf.shape(matrix)[0], dtype=matrix.dtype)


def _matrix_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a positive matrix that is constant during the optimization."""
    values, vectors = tf.linalg.eigh(matrix)
    return (vectors * tf.sqrt(tf.maximum(values, 1e-30))) @ tf.transpose(vectors)


@with_gradient
def _trace_of_root(matrix: Tensor) -> tuple[Tensor, object]:
    """tr M^½ = Σ √λ_i, with the gradient ½ M^−½.

    The trace depends on the eigenvalues alone; the general rule for eigenvectors would divide by
    differences of eigenvalues, which may be 0.
    """
    values, vectors = tf.linalg.eigh(matrix)
    roots = tf.sqrt(tf.maximum(values, 1e-12 * tf.reduce_max(values)))

    def gradient(upstream: Tensor) -> Tensor:
        return upstream * 0.5 * (vectors / roots) @ tf.transpose(vectors)

    return tf.reduce_sum(roots), gradient
