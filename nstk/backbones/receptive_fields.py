"""Receptive fields of feature maps, computed from the graph of the network."""

import math
import sys
from dataclasses import dataclass

import keras

from nstk.types import KerasLayer, KerasModel, Tensor

WHOLE_IMAGE = sys.maxsize
"""Reach of a layer that sees the whole image, at any size."""


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of the cells of a feature map along one axis.

    Cell p covers the pixels p·stride … (p + 1)·stride − 1 of the image and sees the
    pixels p·stride − before … p·stride + after.
    """

    before: int
    after: int
    stride: int

    @property
    def reach(self) -> int:
        """Distance from the center of the cell to the farthest pixel seen, rounded up."""
        if max(self.before, self.after) >= WHOLE_IMAGE:
            return WHOLE_IMAGE
        middle = (self.stride - 1) / 2
        return math.ceil(max(self.before + middle, self.after - middle))


def trace_receptive_fields(model: KerasModel) -> dict[str, ReceptiveField]:
    """The receptive field of every layer by name, along the axis with the larger reach."""
    vertical, horizontal = trace_axes(model)
    return {
        name: max(field, horizontal[name], key=lambda seen: seen.reach)
        for name, field in vertical.items()
    }


def trace_axes(
    model: KerasModel, begin: Tensor | None = None
) -> tuple[dict[str, ReceptiveField], dict[str, ReceptiveField]]:
    """The receptive field of every layer by name, along the rows and along the columns.

    ``begin`` is the tensor at which the model was cut out of a larger network, if it was; the
    fields are then on that tensor.
    """
    start = model.inputs[0] if begin is None else begin
    return _trace(model, start, axis=0), _trace(model, start, axis=1)


def _trace(model: KerasModel, begin: Tensor, axis: int) -> dict[str, ReceptiveField]:
    fields: dict[int, ReceptiveField] = {id(begin): ReceptiveField(0, 0, 1)}
    named: dict[str, ReceptiveField] = {}
    for operation in model.operations:
        if isinstance(operation, keras.layers.InputLayer):
            field = ReceptiveField(0, 0, 1)
        else:
            inputs = [fields[id(tensor)] for tensor in keras.tree.flatten(operation.input)]
            field = _widen(operation, _join(inputs), axis)
        fields.update((id(tensor), field) for tensor in keras.tree.flatten(operation.output))
        named[operation.name] = field
    return named


def _join(fields: list[ReceptiveField]) -> ReceptiveField:
    return ReceptiveField(
        max(field.before for field in fields),
        max(field.after for field in fields),
        max(field.stride for field in fields),
    )


def _widen(layer: KerasLayer, field: ReceptiveField, axis: int) -> ReceptiveField:
    for part in getattr(layer, "layers", ()):
        field = _widen(part, field, axis)
    match layer:
        case keras.layers.GlobalAveragePooling2D() | keras.layers.GlobalMaxPooling2D():
            return ReceptiveField(WHOLE_IMAGE, WHOLE_IMAGE, field.stride)
        case keras.layers.ZeroPadding2D():
            return _shift(field, layer.padding[axis][0])
        case keras.layers.Cropping2D():
            return _shift(field, -layer.cropping[axis][0])
        case object(pad_width=pad_width):
            return _shift(field, pad_width[axis + 1][0])
    window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if window is None:
        return field  # the layer acts on every position separately
    dilation = getattr(layer, "dilation_rate", (1, 1))[axis]
    return _slide(field, (window[axis] - 1) * dilation + 1, layer.strides[axis], layer.padding)


def _shift(field: ReceptiveField, padding: int) -> ReceptiveField:
    pixels = padding * field.stride
    return ReceptiveField(field.before + pixels, field.after - pixels, field.stride)


def _slide(field: ReceptiveField, window: int, step: int, padding: str) -> ReceptiveField:
    """Slide a window over a map: this adds window − 1 cells, minus those padded before it.

    "same" padding of a strided window depends on the image's size: in total between
    window − step and window − 1 cells are added, half of them before the map.
    """
    most, least = (window - 1, max(window - step, 0)) if padding == "same" else (0, 0)
    return ReceptiveField(
        field.before + most // 2 * field.stride,
        field.after + (window - 1 - least // 2) * field.stride,
        field.stride * step,
    )
