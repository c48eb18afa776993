"""Winograd convolutions with 3×3 kernels: a fourth of the multiplications.

Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A computes 4×4 cells of output from 6×6 of input by 36 products where
a direct convolution takes 144 (Winograd 1980; Lavin and Gray 2016, "Fast Algorithms for
Convolutional Neural Networks", F(4×4, 3×3)). The products are matrix multiplications. Results
differ from a direct convolution by about 1e-5 of the largest value.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from nstk.backbones.gradients import with_gradient
from nstk.types import Array, Tensor

MIN_CHANNELS = 128
"""With fewer input or output channels, moving the tiles takes as long as the products."""

TILE = 4
"""Side of an output tile."""

_DATA = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
"""Bᵀ, for the points 0, 1, −1, 2, −2 and ∞."""

_KERNEL = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32
) / np.float32(24)
"""G."""

_RESULT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    np.float32,
)
"""Aᵀ."""

_TILES_TO_DATA = np.kron(_DATA, _DATA)
_PRODUCTS_TO_CELLS = np.kron(_RESULT, _RESULT)


def suits_winograd(kernel: Sequence[int], precision: str) -> bool:
    """Whether Winograd's algorithm is faster for a kernel ``(rows, columns, in, out)``."""
    return (
        tuple(kernel[:2]) == (3, 3) and min(kernel[2:]) >= MIN_CHANNELS and precision == "float32"
    )


def transform_kernel(kernel: Array) -> Tensor:
    """G g Gᵀ for every pair of channels: ``(3, 3, in, out)`` to ``(36, in, out)``."""
    transformed = np.einsum("ai,bj,ijcd->abcd", _KERNEL, _KERNEL, kernel, optimize=True)
    return tf.constant(transformed.reshape(-1, *kernel.shape[2:]), tf.float32)


@with_gradient
def convolve_by_winograd(maps: Tensor, kernel: Tensor, turned: Tensor) -> tuple[Tensor, object]:
    """Convolve with stride 1 and zero padding that keeps the size, in float32.

    ``kernel`` is transformed by `transform_kernel`, and ``turned`` is the same of the kernel after
    `turn_kernel`.
    """

    def vjp(gradient: Tensor) -> tuple[Tensor, None, None]:
        return _filter(gradient, turned), None, None

    return _filter(maps, kernel), vjp


def _filter(maps: Tensor, kernel: Tensor) -> Tensor:
    given, made = kernel.shape[1:]
    batch, height, width = tf.unstack(tf.shape(maps)[:3])
    rows, columns = (height + TILE - 1) // TILE, (width + TILE - 1) // TILE
    data = tf.matmul(_TILES_TO_DATA, tf.reshape(_cut_tiles(maps, rows, columns), [36, -1]))
    products = tf.matmul(tf.reshape(data, [36, batch * rows * columns, given]), kernel)
    cells = tf.matmul(_PRODUCTS_TO_CELLS, tf.reshape(products, [36, -1]))
    planes = tf.reshape(cells, [TILE, TILE, batch, rows, columns, made])
    whole = tf.transpose(planes, [2, 3, 0, 4, 1, 5])
    result = tf.reshape(whole, [batch, TILE * rows, TILE * columns, made])[:, :height, :width]
    return tf.ensure_shape(result, [*maps.shape[:3], made])


def _cut_tiles(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Overlapping tiles: ``(6, 6, N, rows, columns, C)``."""
    batch, height, width = tf.unstack(tf.shape(maps)[:3])
    channels = maps.shape[-1]
    after = [[1, TILE * rows + 3 - height], [1, TILE * columns + 3 - width]]
    padded = tf.pad(maps, [[0, 0], *after, [0, 0]])
    cut = tf.reshape(padded, [batch, rows + 1, TILE, columns + 1, TILE, channels])
    planes = tf.transpose(cut, [2, 4, 0, 1, 3, 5])
    bands = tf.concat([planes[:, :, :, :-1], planes[:2, :, :, 1:]], 0)
    return tf.concat([bands[..., :-1, :], bands[:, :2, ..., 1:, :]], 1)
