"""The filters of the first layer: as images, and how oriented and how colored they are."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.backbones.conventions import pinned_keras_config
from nstk.images.image import Image

Values = npt.NDArray[np.float64]
"""One number for each filter, ``(filters,)``."""

PERCENTILE = 99.0
"""A filter counts as oriented, or opponent, if it is more so than this share of random ones."""

_SPECTRUM = 17
_RANDOM_FILTERS = 4096


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a network's first convolution, as they weigh the colors of a Image.

    Attributes:
        layer: The convolution's name.
        kernels: ``(filters, height, width, 3)``: how much each pixel's red, green and blue count.
    """

    layer: str
    kernels: npt.NDArray[np.float32]

    @property
    def images(self) -> list[Image]:
        """Every filter as a Image: gray is 0, and its largest weight black or full color."""
        largest = np.abs(self.kernels).max(axis=(1, 2, 3), keepdims=True)
        return list((0.5 + 0.5 * self.kernels / np.maximum(largest, 1e-12)).astype(np.float32))

    @cached_property
    def orientation(self) -> Values:
        """How much of each filter's energy lies along one direction; see `measure_orientation`."""
        return measure_orientation(self.kernels)

    @cached_property
    def opponency(self) -> Values:
        """How much each filter sets one color against another; see `measure_opponency`."""
        return measure_opponency(self.kernels)

    @cached_property
    def random(self) -> tuple[float, float]:
        """Orientation and opponency that 99 of 100 random filters of this shape stay below."""
        shape = (_RANDOM_FILTERS, *self.kernels.shape[1:])
        drawn = np.random.default_rng(0).standard_normal(shape)
        measured = measure_orientation(drawn), measure_opponency(drawn)
        orientation, opponency = (float(np.percentile(each, PERCENTILE)) for each in measured)
        return orientation, opponency

    @property
    def oriented(self) -> tuple[int, ...]:
        """The filters that are more oriented than 99 of 100 random ones."""
        return tuple(np.flatnonzero(self.orientation > self.random[0]).tolist())

    @property
    def opponent(self) -> tuple[int, ...]:
        """The filters that are more opponent than 99 of 100 random ones."""
        return tuple(np.flatnonzero(self.opponency > self.random[1]).tolist())


def read_filters(backbone: Backbone) -> Filters | None:
    """Take the filters of the first convolution, seen through the network's preprocessing.

    A network may want blue before red, or a deviation of its own for every color. Both are undone
    here: the kernels weigh the red, green and blue of a Image.

    Returns:
        The filters; None where the network does not begin with a convolution over three colors.
    """
    layer = next((each for each in backbone.model.layers if hasattr(each, "kernel_size")), None)
    if not isinstance(layer, keras.layers.Conv2D) or layer.kernel.shape[2] != 3:
        return None
    with pinned_keras_config():
        before = keras.Model(backbone.model.inputs[0], layer.input)
    mixed = np.einsum("hwdn,cd->nhwc", layer.get_weights()[0], _mix_colors(before))
    return Filters(layer.name, mixed.astype(np.float32))


def _mix_colors(before: Any) -> npt.NDArray[np.float32]:
    """∂(what the convolution is given) / ∂(a pixel's colors), ``(3, 3)``; it is affine."""
    images = np.zeros((4, 16, 16, 3), np.float32)
    images[1:] = np.eye(3, dtype=np.float32)[:, np.newaxis, np.newaxis]
    seen = keras.ops.convert_to_numpy(before(images, training=False))
    middle = seen[:, seen.shape[1] // 2, seen.shape[2] // 2]
    gradients: npt.NDArray[np.float32] = middle[1:] - middle[0]
    return gradients


def measure_orientation(kernels: npt.NDArray[Any]) -> Values:
    """(λ₁ − λ₂) / (λ₁ + λ₂) of the second moments of each filter's power spectrum.

    The energy of a bar or an edge lies on one line of the spectrum, across it: 1. That of a spot
    lies in all directions alike: 0. Colors are added.

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


def measure_opponency(kernels: npt.NDArray[Any]) -> Values:
    """How much of each filter's energy is one pattern that sets a color against another.

    The filter is written as Σ σ_i·(pattern_i ⊗ color_i), its singular value decomposition; the
    measure is σ₁² / Σσ_i² times the part of color₁ that is not gray. It is 0 where all
    colors are weighed alike, and 1 where red is weighed against green, or blue against yellow,
    in one pattern.

    Args:
        kernels: ``(filters, height, width, 3)``.
    """
    flat = kernels.reshape(len(kernels), -1, 3)
    _, sizes, colors = np.linalg.svd(flat, full_matrices=False)
    energy = np.square(sizes)
    share = energy[:, 0] / np.maximum(energy.sum(axis=1), 1e-30)
    gray = np.square(colors[:, 0].sum(axis=1)) / 3
    return np.asarray(share * (1 - gray), np.float64)
