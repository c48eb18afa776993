"""Faster convolutions for the layers of a network whose gradient is needed.

A convolution with stride 1 that keeps the size of its maps is computed by Winograd's algorithm
where that is faster, `nstk.backbones.winograd`; otherwise its gradient is computed as a
convolution, `nstk.backbones.gradients`.
"""

from functools import partial

import keras
import tensorflow as tf

from nstk.backbones.gradients import convolve, turn_kernel
from nstk.backbones.winograd import convolve_by_winograd, suits_winograd, transform_kernel
from nstk.types import KerasLayer, KerasModel, Tensor, Variable


def speed_up_convolutions(model: KerasModel) -> None:
    """Speed up the convolutions of a network; its layers stay those of Keras.

    Weights must be final, except those of layers that are trainable when they are called. A saved
    and reloaded network computes as usual again.
    """
    for layer in model.layers:
        if can_speed_up(layer):
            layer.convolution_op = partial(_convolve_layer, layer, {})


def can_speed_up(layer: KerasLayer) -> bool:
    """Whether a layer is a convolution with stride 1 that keeps the size of its maps."""
    return (
        isinstance(layer, keras.layers.Conv2D)
        and layer.padding == "same"
        and {*layer.strides, *layer.dilation_rate, layer.groups} == {1}
        and all(side % 2 for side in layer.kernel_size)
    )


def _convolve_layer(
    layer: KerasLayer, constants: dict[str, tuple[Tensor, ...]], maps: Tensor, kernel: Variable
) -> Tensor:
    precision = maps.dtype.name
    if layer.trainable:
        kernel = tf.convert_to_tensor(kernel)
        return convolve(maps, kernel, turn_kernel(kernel))
    if precision not in constants:
        with tf.init_scope():  # once, not in every step
            constants[precision] = prepare_kernels(tf.constant(layer.kernel.numpy()), precision)
    if suits_winograd(layer.kernel.shape, precision):
        return convolve_by_winograd(maps, *constants[precision])
    return convolve(maps, tf.convert_to_tensor(kernel), *constants[precision])


def prepare_kernels(kernel: Tensor, precision: str) -> tuple[Tensor, ...]:
    """The constants of a convolution: the turned kernel, or both as Winograd's algorithm needs."""
    turned = turn_kernel(kernel)
    if suits_winograd(kernel.shape, precision):
        return transform_kernel(kernel.numpy()), transform_kernel(turned.numpy())
    return (tf.cast(turned, precision),)
