"""Cutting a network into stages: a chain of models, each with one input map."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import keras

from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.receptive_fields import WHOLE_IMAGE, ReceptiveField, trace_axes
from nstk.errors import BackboneError
from nstk.types import KerasLayer, KerasModel, Tensor

MIN_CUT_STRIDE = 4
"""Smallest stride, in pixels, at which a network is cut.

The map between two stages is stored for the whole image. For VGG19 in float32 this takes 32 bytes
per pixel at stride 4; at stride 2 it would take 64, and cutting there would save little."""

_HALF = ("bfloat16", "float16")


class Convolution(NamedTuple):
    """Cost of one convolution."""

    kernel: tuple[int, ...]
    cells: float

    @property
    def products(self) -> float:
        """Multiplications per cell of the network's input."""
        return prod(self.kernel) * self.cells


class NetworkCost(NamedTuple):
    """Cost of a network per cell of its input."""

    map_bytes: float
    largest: float
    convolutions: tuple[Convolution, ...]

    @property
    def products(self) -> float:
        """Multiplications of all convolutions."""
        return sum(convolution.products for convolution in self.convolutions)


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a network between two cuts."""

    model: KerasModel
    taps: tuple[str, ...]
    following: str | None
    fields: dict[str, tuple[ReceptiveField, ReceptiveField]]
    stride: int
    load: NetworkCost

    @property
    def step(self) -> int:
        """The least common stride of all outputs, in cells of the stage's input."""
        return max(field.stride for pair in self.fields.values() for field in pair)


def cut_network(backbone: Backbone, layers: Sequence[str]) -> tuple[Stage, ...]:
    """Cut a network into stages, as far as the requested layers need it.

    A cut is a layer on every path to the layers after it. At every stride of at least
    `MIN_CUT_STRIDE` it is the first one with the fewest channels.
    """
    layers = tuple(dict.fromkeys(layers))
    for name in layers:
        if backbone.reach(name) >= WHOLE_IMAGE:
            raise BackboneError(
                f"Layer {name} of '{backbone.name}' depends on a mean over the whole image, "
                "which cannot be computed in tiles; choose `tiling='off'`, shallower layers or "
                "another `backbone`."
            )
    model = backbone.tap(layers)
    position = {layer.name: place for place, layer in enumerate(model.operations)}
    stages: list[Stage] = []
    begin, begun, stride = model.inputs[0], -1, 1
    for cut in [*_choose_cuts(model, backbone), None]:
        end = len(position) if cut is None else position[cut]
        taps = tuple(name for name in layers if begun < position[name] <= end)
        stages.append(_make_stage(model, begin, stride, taps, cut))
        if cut is not None:
            begin, begun, stride = model.get_layer(cut).output, end, backbone.stride(cut)
    return tuple(stages)


@pinned_keras_config()
def _make_stage(
    model: KerasModel, begin: Tensor, stride: int, taps: tuple[str, ...], cut: str | None
) -> Stage:
    names = dict.fromkeys([*taps, *([cut] if cut else [])])
    part = keras.Model(begin, {name: model.get_layer(name).output for name in names})
    part.trainable = False
    rows, columns = trace_axes(part, begin)
    fields = {name: (rows[name], columns[name]) for name in names}
    return Stage(part, taps, cut, fields, stride, count_flops(part, begin))


def count_flops(model: KerasModel, begin: Tensor | None = None) -> NetworkCost:
    """Compute the cost of a network per cell of its input."""
    rows, columns = trace_axes(model, begin)
    kept, largest, convolutions = 0.0, 0.0, []
    for operation in model.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        cells = 1 / (rows[operation.name].stride * columns[operation.name].stride)
        outputs = keras.tree.flatten(operation.output)
        size = cells * sum(each.shape[-1] * (2 if each.dtype in _HALF else 4) for each in outputs)
        largest = max(largest, size)
        if _is_kept(operation):
            kept += size
        if isinstance(operation, keras.layers.Conv2D):
            convolutions.append(Convolution(tuple(operation.kernel.shape), cells))
    return NetworkCost(kept, largest, tuple(convolutions))


def _is_kept(operation: KerasLayer) -> bool:
    """Whether the gradient of later layers needs this output; linear operations do not."""
    linear = (keras.layers.BatchNormalization, keras.layers.Add, keras.layers.ZeroPadding2D)
    return isinstance(operation, keras.layers.Layer) and not isinstance(
        operation, (*linear, keras.layers.Rescaling)
    )


def _choose_cuts(model: KerasModel, backbone: Backbone) -> list[str]:
    """For each stride the bottleneck with the fewest channels."""
    taps = set(backbone.taps)
    thinnest: dict[int, tuple[int, str]] = {}
    for operation in find_bottlenecks(model):
        if operation.name not in taps:
            continue
        stride, channels = backbone.stride(operation.name), operation.output.shape[-1]
        if stride >= MIN_CUT_STRIDE and (stride not in thinnest or channels < thinnest[stride][0]):
            thinnest[stride] = (channels, operation.name)
    return [name for _, (_, name) in sorted(thinnest.items())]


def find_bottlenecks(model: KerasModel) -> list[KerasLayer]:
    """Find the operations whose output is all that later operations need of earlier ones."""
    operations = model.operations
    place = {
        id(tensor): number
        for number, operation in enumerate(operations)
        for tensor in keras.tree.flatten(operation.output)
    }
    needed_until = [0] * len(operations)
    for number, operation in enumerate(operations[1:], 1):
        for tensor in keras.tree.flatten(operation.input):
            needed_until[place[id(tensor)]] = max(needed_until[place[id(tensor)]], number)
    found, reaching = [], 0
    for number, operation in enumerate(operations[:-1]):
        if number > 0 and reaching <= number and needed_until[number] > number:
            found.append(operation)
        reaching = max(reaching, needed_until[number])
    return found
