"""Which layers are looked at, and whether the images are large enough for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nstk.backbones.activations import activated_taps
from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_IMAGE, ReceptiveField, trace_axes
from nstk.errors import BackboneError, ImageError
from nstk.images.image import Image, fit_size, resize_image

DEEPEST_STRIDE = 16


@dataclass(frozen=True)
class Field:
    """What one cell of a layer sees: its true receptive field.

    Attributes:
        rows: Along the height.
        columns: Along the width.
    """

    rows: ReceptiveField
    columns: ReceptiveField

    @property
    def height(self) -> int:
        """Pixels seen from top to bottom."""
        return self.rows.before + self.rows.after + 1

    @property
    def width(self) -> int:
        """Pixels seen from left to right."""
        return self.columns.before + self.columns.after + 1

    @property
    def is_bounded(self) -> bool:
        """Whether there is an end to what a cell sees."""
        return max(self.height, self.width) < WHOLE_IMAGE


def choose_layers(
    backbone: Backbone, layers: Sequence[str] | Literal["auto"] = "auto"
) -> tuple[str, ...]:
    """The layers to look at, from the image to the deepest.

    Args:
        backbone: The network.
        layers: Names of its taps; ``auto`` is the first activation at every stride up to 16, which
            are ``block1_conv1``, ``block2_conv1`` … ``block5_conv1`` in a network of VGG's shape.

    Raises:
        BackboneError: If the network has no such layer; the message lists those it has.
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
                "name layers with --layers."
            )
    backbone.tap(layers)
    order = {name: place for place, name in enumerate(backbone.taps)}
    return tuple(sorted(dict.fromkeys(layers), key=lambda name: order[name]))


def trace_fields(backbone: Backbone) -> Mapping[str, Field]:
    """The receptive field of every layer by name."""
    rows, columns = trace_axes(backbone.model)
    return {name: Field(rows[name], columns[name]) for name in backbone.taps}


def bring_to_size(image: Image, size: int) -> Image:
    """Bring an image's longer side to ``size``; smaller images stay as they are."""
    height, width = image.shape[:2]
    if max(height, width) <= size:
        return image
    return resize_image(image, *fit_size(height, width, size))


def holds(image: Image, field: Field) -> bool:
    """Whether at least one cell sees nothing but the image."""
    return all(
        len(find_whole_cells(extent, axis)) > 0
        for extent, axis in zip(image.shape[:2], (field.rows, field.columns), strict=True)
    )


def find_whole_cells(extent: int, field: ReceptiveField) -> range:
    """The cells along one axis whose field lies inside the image.

    Args:
        extent: Of the image along this axis, in pixels.
        field: Of a cell along this axis.
    """
    first = -(-field.before // field.stride)
    last = (extent - 1 - field.after) // field.stride
    return range(first, max(first, last + 1))


def find_smallest(field: ReceptiveField) -> int:
    """The smallest extent of an image, in pixels, in which some cell sees nothing but it.

    Cells stand at multiples of their stride, so this may be more than one of them sees.

    Args:
        field: Of a cell along this axis.
    """
    first = -(-field.before // field.stride)
    return first * field.stride + field.after + 1


def check_field(image: Image, name: str, layers: Sequence[str], backbone: Backbone) -> None:
    """Refuse an image in which a layer has no cell that sees nothing but the image.

    Args:
        image: At the size at which it is looked at.
        name: What messages call it.
        layers: To be looked at.
        backbone: Their network.

    Raises:
        ImageError: With the layers that fit.
    """
    fields = trace_fields(backbone)
    too_deep = [layer for layer in layers if not holds(image, fields[layer])]
    if not too_deep:
        return
    field, fitting = fields[too_deep[0]], [n for n in backbone.taps if holds(image, fields[n])]
    seen = "the whole image"
    if field.is_bounded:
        smallest = f"{find_smallest(field.columns)}×{find_smallest(field.rows)}"
        seen = f"{field.width}×{field.height} pixels, whole in images from {smallest} on"
    raise ImageError(
        f"{name} is {image.shape[1]}×{image.shape[0]} pixels here, but one cell of "
        f"{too_deep[0]} sees {seen}; {_advise(fitting)}."
    )


def check_stride(image: Image, name: str, layers: Sequence[str], backbone: Backbone) -> None:
    """Refuse an image in which a layer has no cell at all.

    Raises:
        ImageError: With the size that is needed and the layers that fit.
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
    """What to do about an image that only some layers can look at."""
    other = f"--layers up to {fitting[-1]}, which fits" if fitting else "another backbone"
    return f"give a larger image, a larger --size, or {other}"
