"""The filters of the first layer: as images, with their orientation and color opponency."""

from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.images.image import Image
from nstk.types import Array, KerasModel

Values = npt.NDArray[np.float64]
"""One number for each filter, ``(filters,)``."""

PERCENTILE = 99.0
"""A filter is oriented, or opponent, if it is more so than this percentage of random ones."""

_SPECTRUM = 17
_RANDOM_FILTERS = 4096


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a network's first convolution, in terms of RGB.

    Attributes:
        layer: The convolution's name.
        kernels: ``(filters, height, width, 3)``: weights of red, green and blue.
    """

    layer: str
    kernels: npt.NDArray[np.float32]

    @property
    def images(self) -> list[Image]:
        """Every filter as an image: 0 is gray, the largest weight is black or full color."""
        largest = np.abs(self.kernels).max(axis=(1, 2, 3), keepdims=True)
        return list((0.5 + 0.5 * self.kernels / np.maximum(largest, 1e-12)).astype(np.float32))

    @cached_property
    def orientation(self) -> Values:
        """Orientation of each filter; see `measure_orientation`."""
        return measure_orientation(self.kernels)

    @cached_property
    def opponency(self) -> Values:
        """Color opponency of each filter; see `measure_opponency`."""
        return measure_opponency(self.kernels)

    @cached_property
    def random(self) -> tuple[float, float]:
        """99th percentiles of orientation and opponency of random filters of this shape."""
        shape = (_RANDOM_FILTERS, *self.kernels.shape[1:])
        drawn = np.random.default_rng(0).standard_normal(shape)
        measured = measure_orientation(drawn), measure_opponency(drawn)
        orientation, opponency = (float(np.percentile(each, PERCENTILE)) for each in measured)
        return orientation, opponency

    @property
    def oriented(self) -> tuple[int, ...]:
        """The filters more oriented than 99 of 100 random ones."""
        return tuple(np.flatnonzero(self.orientation > self.random[0]).tolist())

    @property
    def opponent(self) -> tuple[int, ...]:
        """The filters more opponent than 99 of 100 random ones."""
        return tuple(np.flatnonzero(self.opponency > self.random[1]).tolist())


def read_filters(backbone: Backbone) -> Filters | None:
    """Read the filters of the first convolution in terms of the network's input.

    The preprocessing of a network may swap channels or divide each by its own standard deviation.
    Both are undone here, so the kernels apply to the red, green and blue of an image.

    Returns:
        The filters; None if the network does not begin with a convolution over three colors.
    """
    layer = next((each for each in backbone.model.layers if hasattr(each, "kernel_size")), None)
    if not isinstance(layer, keras.layers.Conv2D) or layer.kernel.shape[2] != 3:
        return None
    with pinned_keras_config():
        before = keras.Model(backbone.model.inputs[0], layer.input)
    mixed = np.einsum("hwdn,cd->nhwc", layer.get_weights()[0], _mix_colors(before))
    return Filters(layer.name, mixed.astype(np.float32))


def _mix_colors(before: KerasModel) -> npt.NDArray[np.float32]:
    """∂(input of the convolution) / ∂(RGB of a pixel), ``(3, 3)``; the preprocessing is affine."""
    images = np.zeros((4, 16, 16, 3), np.float32)
    images[1:] = np.eye(3, dtype=np.float32)[:, np.newaxis, np.newaxis]
    maps = keras.ops.convert_to_numpy(before(images, training=False))
    middle = maps[:, maps.shape[1] // 2, maps.shape[2] // 2]
    gradients: npt.NDArray[np.float32] = middle[1:] - middle[0]
    return gradients


def measure_orientation(kernels: Array) -> Values:
    """(λ₁ − λ₂) / (λ₁ + λ₂) of the second moments of each filter's power spectrum.

    The energy of a bar or an edge lies on one line of the spectrum: 1. That of a spot lies equally
    in all directions: 0. Colors are added.

    Args:
        kernels: ``(filters, height, width, 3)``.
    """
    spectra = np.fft.fft2(kernels, s=(_SPECTRUM, _SPECTRUM), axes=(1, 2))
    power = np.square(np.abs(spectra)).sum(axis=-1)
    frequencies = np.fft.fftfreq(_SPECTRUM)
    down, across = np.meshgrid(frequencies, frequencies, indexing="ij")
    yy, xx, xy = (
        (power * product).sum(axis=(1, 2)) for product in (down**2, across**2, down * across)
    )
    return np.asarray(np.sqrt((xx - yy) ** 2 + 4 * xy**2) / np.maximum(xx + yy, 1e-30))


def measure_opponency(kernels: Array) -> Values:
    """How much of each filter's energy is one pattern that opposes two colors.

    With the singular value decomposition Σ σ_i·(pattern_i ⊗ color_i) of a filter, the measure is
    σ₁² / Σσ_i² times the share of color₁ that is not gray. It is 0 if all colors have the same
    weights, and 1 if red is opposed to green, or blue to yellow, in one pattern.

    Args:
        kernels: ``(filters, height, width, 3)``.
    """
    flat = kernels.reshape(len(kernels), -1, 3)
    _, sizes, colors = np.linalg.svd(flat, full_matrices=False)
    energy = np.square(sizes)
    share = energy[:, 0] / np.maximum(energy.sum(axis=1), 1e-30)
    gray = np.square(colors[:, 0].sum(axis=1)) / 3
    return np.asarray(share * (1 - gray), np.float64)
