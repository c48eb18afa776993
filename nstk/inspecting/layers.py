"""The layers to inspect, and whether the images are large enough for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nstk.backbones.backbone import Backbone, activated_taps
from nstk.backbones.receptive_fields import WHOLE_IMAGE, ReceptiveField, trace_axes
from nstk.errors import BackboneError, ImageError
from nstk.images.image import Image, fit_size, resize_image

DEEPEST_STRIDE = 16


@dataclass(frozen=True)
class Field:
    """The true receptive field of the cells of a layer.

    Attributes:
        rows: Along the height.
        columns: Along the width.
    """

    rows: ReceptiveField
    columns: ReceptiveField

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.rows.before + self.rows.after + 1

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.columns.before + self.columns.after + 1

    @property
    def is_bounded(self) -> bool:
        """Whether it is smaller than the whole image."""
        return max(self.height, self.width) < WHOLE_IMAGE


def choose_layers(
    backbone: Backbone, layers: Sequence[str] | Literal["auto"] = "auto"
) -> tuple[str, ...]:
    """The layers to inspect, in forward order.

    Args:
        backbone: The network.
        layers: Names of its taps; ``auto``: the first activation at every stride up to 16, which
            in VGG-like networks are ``block1_conv1``, ``block2_conv1`` … ``block5_conv1``.

    Raises:
        BackboneError: If the network has no such layer; the message lists its layers.
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
    """The cells along one axis whose receptive field lies inside the image.

    Args:
        extent: Pixels of the image along this axis.
        field: Receptive field along this axis.
    """
    first = -(-field.before // field.stride)
    last = (extent - 1 - field.after) // field.stride
    return range(first, max(first, last + 1))


def smallest_extent(field: ReceptiveField) -> int:
    """The smallest image, in pixels along one axis, that contains a whole receptive field.

    Cells are at multiples of the stride, so this may be more than the receptive field.

    Args:
        field: Receptive field along this axis.
    """
    first = -(-field.before // field.stride)
    return first * field.stride + field.after + 1


def check_field(image: Image, name: str, layers: Sequence[str], backbone: Backbone) -> None:
    """Refuse an image that is smaller than the receptive field of a layer.

    Args:
        image: At inspection size.
        name: Its name in messages.
        layers: The layers to inspect.
        backbone: Their network.

    Raises:
        ImageError: With the layers that fit.
    """
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
    """Refuse an image that is smaller than the stride of a layer.

    Raises:
        ImageError: With the size needed and the layers that fit.
    """
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
