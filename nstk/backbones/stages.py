"""A network cut into stages: models in a row, each of which sees only what the last one gave."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import keras

from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_PICTURE, ReceptiveField, trace_axes
from nstk.errors import BackboneError

NARROWEST_CUT = 4
"""Stride in pixels from which on a network is cut.

What lies between two stages is kept for the whole picture. At stride 4 that is 32 bytes a pixel for
VGG19 in float32; at stride 2 it is 64, and little is saved by it."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a network between two cuts.

    Attributes:
        model: A ``keras.Model`` from a map ``(N, H, W, C)`` to ``{name: map}``.
        taps: Which of its outputs are asked for.
        following: The output that the next stage takes; None for the last one.
        fields: What one cell of each output sees of the stage's input, by name: a field for the
            rows and one for the columns.
        stride: Pixels of the picture between two neighbouring cells of the stage's input.
        map_bytes: Bytes of all feature maps inside, for each cell of the input.
        products: Multiplications of all convolutions inside, for each cell of the input.
    """

    model: Any
    taps: tuple[str, ...]
    following: str | None
    fields: dict[str, tuple[ReceptiveField, ReceptiveField]]
    stride: int
    map_bytes: float
    products: float

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
        The stages from the picture to the deepest layer; each tap belongs to the first stage that
        has it.

    Raises:
        BackboneError: If a layer takes a mean over the whole picture, or is no tap.
    """
    for name in layers:
        if backbone.reach(name) >= WHOLE_PICTURE:
            raise BackboneError(
                f"Layer {name} of '{backbone.name}' depends on a mean over the whole picture, "
                "which cannot be computed part by part; choose --engine whole, shallower layers "
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


def _make_stage(
    model: Any, begin: Any, stride: int, taps: tuple[str, ...], cut: str | None
) -> Stage:
    names = dict.fromkeys([*taps, *([cut] if cut else [])])
    part = keras.Model(begin, {name: model.get_layer(name).output for name in names})
    part.trainable = False
    rows, columns = trace_axes(part, begin)
    area = {name: rows[name].stride * columns[name].stride for name in rows}
    inside = [o for o in part.operations if not isinstance(o, keras.layers.InputLayer)]
    return Stage(
        model=part,
        taps=taps,
        following=cut,
        fields={name: (rows[name], columns[name]) for name in names},
        stride=stride,
        map_bytes=sum(_count_bytes(operation) / area[operation.name] for operation in inside),
        products=sum(_count_products(operation) / area[operation.name] for operation in inside),
    )


def _choose_cuts(model: Any, backbone: Backbone) -> list[str]:
    """The thinnest layer at every stride that all paths to the layers behind it go through."""
    taps = set(backbone.taps)
    thinnest: dict[int, tuple[int, str]] = {}
    for operation in _bottlenecks(model):
        if operation.name not in taps:
            continue
        stride, channels = backbone.stride(operation.name), operation.output.shape[-1]
        if stride >= NARROWEST_CUT and (stride not in thinnest or channels < thinnest[stride][0]):
            thinnest[stride] = (channels, operation.name)
    return [name for _, (_, name) in sorted(thinnest.items())]


def _bottlenecks(model: Any) -> list[Any]:
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


def _count_bytes(operation: Any) -> int:
    """Bytes of a cell of a map."""
    half = operation.output.dtype in ("bfloat16", "float16")
    return int(operation.output.shape[-1]) * (2 if half else 4)


def _count_products(operation: Any) -> int:
    """Multiplications for a cell of a map."""
    if not hasattr(operation, "kernel_size"):
        return 0
    return sum(prod(weight.shape) for weight in operation.weights if len(weight.shape) == 4)
