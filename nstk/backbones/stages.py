"""A network cut into stages: models in a row, each of which sees only what the last one gave."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import keras

from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.receptive_fields import WHOLE_IMAGE, ReceptiveField, trace_axes
from nstk.backbones.winograd import suits_winograd
from nstk.errors import BackboneError

NARROWEST_CUT = 4
"""Stride in pixels from which on a network is cut.

What lies between two stages is kept for the whole image. At stride 4 that is 32 bytes a pixel for
VGG19 in float32; at stride 2 it is 64, and little is saved by it."""


class Convolution(NamedTuple):
    """What one convolution costs.

    Attributes:
        kernel: ``(rows, columns, channels in, channels out)``.
        cells: How many cells of output it has for one of the network's input.
        suits_winograd: Whether minimal filtering is worth the while.
    """

    kernel: tuple[int, ...]
    cells: float
    suits_winograd: bool

    @property
    def products(self) -> float:
        """Multiplications for each cell of the network's input, computed directly."""
        return prod(self.kernel) * self.cells


class NetworkCost(NamedTuple):
    """What a network costs for each cell of its input.

    Attributes:
        map_bytes: Of the feature maps that are kept for the way back.
        largest: Bytes of the largest of all maps.
        convolutions: All of them.
    """

    map_bytes: float
    largest: float
    convolutions: tuple[Convolution, ...]

    @property
    def products(self) -> float:
        """Multiplications of all convolutions."""
        return sum(convolution.products for convolution in self.convolutions)


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a network between two cuts.

    Attributes:
        model: A ``keras.Model`` from a map ``(N, H, W, C)`` to ``{name: map}``.
        taps: Which of its outputs are asked for.
        following: The output that the next stage takes; None for the last one.
        fields: What one cell of each output sees of the stage's input, by name: a field for the
            rows and one for the columns.
        stride: Pixels of the image between two neighboring cells of the stage's input.
        load: What it costs.
    """

    model: Any
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
    """Cut the part of a network that some layers need into stages.

    A cut is a layer that every path to the layers behind it goes through. At every stride from
    `NARROWEST_CUT` on, the first of those with the fewest channels is taken.

    Args:
        backbone: The network.
        layers: Which of its taps are needed.

    Returns:
        The stages from the image to the deepest layer; each tap belongs to the first stage that
        has it.

    Raises:
        BackboneError: If a layer takes a mean over the whole image, or is no tap.
    """
    layers = tuple(dict.fromkeys(layers))
    for name in layers:
        if backbone.reach(name) >= WHOLE_IMAGE:
            raise BackboneError(
                f"Layer {name} of '{backbone.name}' depends on a mean over the whole image, "
                "which cannot be computed part by part; choose --tiling off, shallower layers "
                "or another backbone."
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
    model: Any, begin: Any, stride: int, taps: tuple[str, ...], cut: str | None
) -> Stage:
    names = dict.fromkeys([*taps, *([cut] if cut else [])])
    part = keras.Model(begin, {name: model.get_layer(name).output for name in names})
    part.trainable = False
    rows, columns = trace_axes(part, begin)
    fields = {name: (rows[name], columns[name]) for name in names}
    return Stage(part, taps, cut, fields, stride, count_flops(part, begin))


def count_flops(model: Any, begin: Any | None = None) -> NetworkCost:
    """Add up what a network costs for each cell of its input.

    Args:
        model: A functional ``keras.Model`` with one input.
        begin: The tensor of a larger network that it was cut out at; its own input where None.
    """
    rows, columns = trace_axes(model, begin)
    kept, largest, convolutions = 0.0, 0.0, []
    for operation in model.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        cells = 1 / (rows[operation.name].stride * columns[operation.name].stride)
        half = operation.output.dtype in ("bfloat16", "float16")
        size = operation.output.shape[-1] * (2 if half else 4) * cells
        largest = max(largest, size)
        if _is_kept(operation):
            kept += size
        if isinstance(operation, keras.layers.Conv2D):
            suits = suits_winograd(operation)
            convolutions.append(Convolution(tuple(operation.kernel.shape), cells, suits))
    return NetworkCost(kept, largest, tuple(convolutions))


def _is_kept(operation: Any) -> bool:
    """Whether the gradient of what follows needs this output: sums and shifts need nothing."""
    linear = (keras.layers.BatchNormalization, keras.layers.Add, keras.layers.ZeroPadding2D)
    return isinstance(operation, keras.layers.Layer) and not isinstance(
        operation, (*linear, keras.layers.Rescaling)
    )


def _choose_cuts(model: Any, backbone: Backbone) -> list[str]:
    """The thinnest layer at every stride that all paths to the layers behind it go through."""
    taps = set(backbone.taps)
    thinnest: dict[int, tuple[int, str]] = {}
    for operation in find_bottlenecks(model):
        if operation.name not in taps:
            continue
        stride, channels = backbone.stride(operation.name), operation.output.shape[-1]
        if stride >= NARROWEST_CUT and (stride not in thinnest or channels < thinnest[stride][0]):
            thinnest[stride] = (channels, operation.name)
    return [name for _, (_, name) in sorted(thinnest.items())]


def find_bottlenecks(model: Any) -> list[Any]:
    """The operations whose output is all that later operations need of what came before."""
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
