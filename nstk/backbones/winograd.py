"""Winograd convolutions with 3×3 kernels: a fourth of the multiplications.

Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A computes 4×4 cells of output from 6×6 of input by 36 products where
a direct convolution takes 144 (Winograd 1980; Lavin and Gray 2016, "Fast Algorithms for
Convolutional Neural Networks", F(4×4, 3×3)). The products are matrix multiplications. Results
differ from a direct convolution by about 1e-5 of the largest value.
"""

import keras
import numpy as np
import tensorflow as tf

from nstk.types import Array, KerasLayer, Tensor, Variable

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


class WinogradConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` for constant kernels, with the same weights."""

    def convolution_op(self, inputs: Tensor, kernel: Variable) -> Tensor:
        """Compute the convolution of the layer."""
        if not hasattr(self, "_transformed"):
            with tf.init_scope():  # once, not in every step
                given = np.asarray(kernel)
                turned = turn_kernel(given)
                self._transformed = transform_kernel(given), transform_kernel(turned)
        return convolve(inputs, *self._transformed)


def suits_winograd(layer: KerasLayer) -> bool:
    """Whether Winograd's algorithm is suitable for a layer and faster."""
    return (
        type(layer) in (keras.layers.Conv2D, WinogradConv2D)
        and tuple(layer.kernel_size) == (3, 3)
        and {*layer.strides, *layer.dilation_rate, layer.groups} == {1}
        and layer.padding == "same"
        and min(layer.kernel.shape[2:]) >= MIN_CHANNELS
    )


def transform_kernel(kernel: Array) -> Tensor:
    """Compute G g Gᵀ for every pair of channels.

    Args:
        kernel: g, ``(3, 3, channels in, channels out)``.

    Returns:
        A tensor ``(36, channels in, channels out)``.
    """
    transformed = np.einsum("ai,bj,ijcd->abcd", _KERNEL, _KERNEL, kernel, optimize=True)
    return tf.constant(transformed.reshape(-1, *kernel.shape[2:]), tf.float32)


def turn_kernel(kernel: Array) -> Array:
    """Turn a kernel for the gradient: rotated by 180°, with input and output channels swapped.

    Args:
        kernel: ``(3, 3, channels in, channels out)``.

    Returns:
        An array ``(3, 3, channels out, channels in)``.
    """
    return np.asarray(kernel)[::-1, ::-1].swapaxes(2, 3)


def convolve(maps: Tensor, kernel: Tensor, turned: Tensor) -> Tensor:
    """Convolve with zero padding that keeps the size.

    Args:
        maps: Float32 ``(N, height, width, channels in)``.
        kernel: The kernel, transformed by `transform_kernel`.
        turned: The kernel after `turn_kernel`, transformed; for the gradient.

    Returns:
        Float32 ``(N, height, width, channels out)``.
    """

    def compute(maps: Tensor) -> tuple[Tensor, Tensor]:
        return _filter(maps, kernel), lambda gradient: convolve(gradient, turned, kernel)

    return tf.custom_gradient(compute)(maps)


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
