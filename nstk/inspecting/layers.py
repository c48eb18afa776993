"""The layers to inspect, images large enough for them, and the filters of the first layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone, activated_taps
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.receptive_fields import WHOLE_IMAGE, ReceptiveField, trace_axes
from nstk.errors import BackboneError, ImageError
from nstk.images.image import Image, fit_size, resize_image
from nstk.types import Array, KerasModel

DEEPEST_STRIDE = 16

Values = npt.NDArray[np.float64]
"""One number for each filter, ``(filters,)``."""

PERCENTILE = 99.0
"""A filter is oriented, or opponent, if it is more so than this percentage of random ones."""

_SPECTRUM = 17
_RANDOM_FILTERS = 4096


@dataclass(frozen=True)
class Field:
    """The true receptive field of the cells of a layer, along the height and along the width."""

    rows: ReceptiveField
    columns: ReceptiveField

    @property
    def height(self) -> int:
        return self.rows.before + self.rows.after + 1

    @property
    def width(self) -> int:
        return self.columns.before + self.columns.after + 1

    @property
    def is_bounded(self) -> bool:
        return max(self.height, self.width) < WHOLE_IMAGE


def choose_layers(
    backbone: Backbone, layers: Sequence[str] | Literal["auto"] = "auto"
) -> tuple[str, ...]:
    """The layers to inspect, in forward order.

    ``auto`` takes the first activation at every stride up to 16: in VGG-like networks
    ``block1_conv1``, ``block2_conv1`` … ``block5_conv1``.
    """
    if layers == "auto":
        fields = trace_fields(backbone)
        bounded = {
            stride: [name for name in names if fields[name].is_bounded]
            for stride, names in activated_taps(backbone).items()
        }
        chosen = [bounded[stride][:1] for stride in sorted(bounded) if stride <= DEEPEST_STRIDE]
        layers = [name for names in chosen for name in names]
        if not layers:
            raise BackboneError(
                f"{backbone.name} has no activation at a stride of {DEEPEST_STRIDE} or less; "
                "set `layers`."
            )
    backbone.tap(layers)
    order = {name: index for index, name in enumerate(backbone.taps)}
    return tuple(sorted(dict.fromkeys(layers), key=lambda name: order[name]))


def trace_fields(backbone: Backbone) -> Mapping[str, Field]:
    """The receptive field of every layer, by name."""
    rows, columns = trace_axes(backbone.model)
    return {name: Field(rows[name], columns[name]) for name in backbone.taps}


def limit_size(image: Image, size: int) -> Image:
    """Scale an image down to a longer side of ``size``; smaller images stay as they are."""
    height, width = image.shape[:2]
    if max(height, width) <= size:
        return image
    return resize_image(image, *fit_size(height, width, size))


def fits(image: Image, field: Field) -> bool:
    """Whether at least one receptive field lies inside the image."""
    return all(
        len(find_whole_cells(extent, axis)) > 0
        for extent, axis in zip(image.shape[:2], (field.rows, field.columns), strict=True)
    )


def find_whole_cells(extent: int, field: ReceptiveField) -> range:
    """The cells along one axis of ``extent`` pixels whose receptive field lies inside the image."""
    first = -(-field.before // field.stride)
    last = (extent - 1 - field.after) // field.stride
    return range(first, max(first, last + 1))


def smallest_extent(field: ReceptiveField) -> int:
    """The smallest image, in pixels along one axis, that contains a whole receptive field.

    Cells are at multiples of the stride, so this may be more than the receptive field.
    """
    first = -(-field.before // field.stride)
    return first * field.stride + field.after + 1


def check_field(image: Image, name: str, layers: Sequence[str], backbone: Backbone) -> None:
    """Refuse an image that is smaller than the receptive field of a layer."""
    fields = trace_fields(backbone)
    too_deep = [layer for layer in layers if not fits(image, fields[layer])]
    if not too_deep:
        return
    field, fitting = fields[too_deep[0]], [n for n in backbone.taps if fits(image, fields[n])]
    extent = "the whole image"
    if field.is_bounded:
        smallest = f"{smallest_extent(field.columns)}×{smallest_extent(field.rows)}"
        extent = f"{field.width}×{field.height} pixels, which fit in images from {smallest} on"
    raise ImageError(
        f"{name} is {image.shape[1]}×{image.shape[0]} pixels here, but the receptive "
        f"field of {too_deep[0]} is {extent}; {_advise(fitting)}."
    )


def check_stride(image: Image, name: str, layers: Sequence[str], backbone: Backbone) -> None:
    """Refuse an image that is smaller than the stride of a layer."""
    deepest = max(layers, key=backbone.stride)
    needed, shorter = backbone.stride(deepest), int(np.min(image.shape[:2]))
    if shorter < needed:
        fitting = [layer for layer in backbone.taps if backbone.stride(layer) <= shorter]
        raise ImageError(
            f"{name} is {image.shape[1]}×{image.shape[0]} pixels here, but {deepest} needs "
            f"{needed} on the shorter side; {_advise(fitting)}."
        )


def _advise(fitting: Sequence[str]) -> str:
    other = f"`layers` up to {fitting[-1]}, which fits" if fitting else "another `backbone`"
    return f"give a larger image, a larger `size`, or {other}"


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a network's first convolution, in terms of RGB."""

    layer: str
    kernels: npt.NDArray[np.float32]
    """Weights of red, green and blue, ``(filters, height, width, 3)``."""

    @property
    def images(self) -> list[Image]:
        """Every filter as an image: 0 is gray, the largest weight is black or full color."""
        largest = np.abs(self.kernels).max(axis=(1, 2, 3), keepdims=True)
        return list((0.5 + 0.5 * self.kernels / np.maximum(largest, 1e-12)).astype(np.float32))

    @cached_property
    def orientation(self) -> Values:
        return measure_orientation(self.kernels)

    @cached_property
    def opponency(self) -> Values:
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
    Both are undone here, so the kernels apply to the red, green and blue of an image. None if the
    network does not begin with a convolution over three colors.
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
    """
    flat = kernels.reshape(len(kernels), -1, 3)
    _, sizes, colors = np.linalg.svd(flat, full_matrices=False)
    energy = np.square(sizes)
    share = energy[:, 0] / np.maximum(energy.sum(axis=1), 1e-30)
    gray = np.square(colors[:, 0].sum(axis=1)) / 3
    return np.asarray(share * (1 - gray), np.float64)
