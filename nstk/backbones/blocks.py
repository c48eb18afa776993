"""The blocks of a network, read off its graph: what can be opened without cutting through one.

A border between two blocks is a tensor that is all later layers need of what came before (see
`find_bottlenecks`), so no residual addition ever has one of its ways on either side. Where paths
part and meet again in a sum or a concatenation, that is one block. Between such places the network
is a straight run. It is cut in front of each layer with a kernel that follows a convolution, except

- inside an expansion, where maps are wider than what they are brought down to afterwards (an
  inverted bottleneck without a residual addition);
- between plain convolutions at one stride, which are one block of VGG.

A depthwise convolution goes with the convolution behind it; normalization, activation, gates and
pools go with what stands before them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from nstk.backbones.receptive_fields import trace_receptive_fields
from nstk.backbones.stages import find_bottlenecks

_JOINS = {"Add", "Concatenate"}


@dataclass(frozen=True, eq=False)
class Block:
    """A part of a network between two borders.

    Attributes:
        name: The layer whose output is the block's.
        input: The symbolic tensor that is all it takes.
        output: The symbolic tensor that is all it gives.
        layers: Its layers, from input to output.
    """

    name: str
    input: Any
    output: Any
    layers: tuple[Any, ...]


def find_blocks(network: Any) -> tuple[Block, ...]:
    """Cut a network into blocks, from the image to its last map.

    Args:
        network: A functional ``keras.Model`` with one input and one output.
    """
    operations = network.operations
    places = {id(operation): place for place, operation in enumerate(operations)}
    ends = [places[id(operation)] for operation in find_bottlenecks(network)]
    strides = {name: each.stride for name, each in trace_receptive_fields(network).items()}
    units = [_Unit(joined=False, operations=[operations[0]])]
    begun = 1
    for end in [*ends, len(operations) - 1]:
        segment, begun = operations[begun : end + 1], end + 1
        joined = len(segment) > 1 and type(segment[-1]).__name__ in _JOINS
        if joined or units[-1].joined or _begins(segment, units[-1]):
            units.append(_Unit(joined=joined))
        units[-1].take(segment)
    blocks = []
    given = network.inputs[0]
    for unit in _merge(units, strides):
        last = unit.operations[-1]
        layers = tuple(each for each in unit.operations if isinstance(each, keras.layers.Layer))
        blocks.append(Block(last.name, given, last.output, layers))
        given = last.output
    return tuple(blocks)


@dataclass(eq=False)
class _Unit:
    """Operations in a row that are never cut apart.

    Attributes:
        joined: Whether paths part and meet again in it.
        operations: From input to output.
        mixing: Its last convolution over channels, those inside gates left aside.
    """

    joined: bool
    operations: list[Any] = field(default_factory=list)
    mixing: Any = None

    @property
    def is_plain(self) -> bool:
        """Whether it has no depthwise convolution."""
        return not any(isinstance(each, keras.layers.DepthwiseConv2D) for each in self.operations)

    def take(self, segment: list[Any]) -> None:
        """Go on with what lies between two bottlenecks."""
        self.operations += segment
        is_gate = len(segment) > 1 and not self.joined
        self.mixing = next(
            (each for each in reversed(segment) if _mixes(each) and not is_gate), self.mixing
        )

    def absorb(self, unit: "_Unit") -> None:
        """Go on with another unit."""
        self.operations += unit.operations
        if unit.mixing is not None:
            self.mixing, self.joined = unit.mixing, unit.joined


def _begins(segment: list[Any], unit: _Unit) -> bool:
    """Whether a segment of a straight run is the beginning of another unit."""
    is_gate = len(segment) > 1
    has_kernel = any(hasattr(part, "kernel_size") for part in parts_of(segment[0]))
    return not is_gate and has_kernel and unit.mixing is not None


def _mixes(operation: Any) -> bool:
    return any(
        hasattr(part, "kernel_size") and not isinstance(part, keras.layers.DepthwiseConv2D)
        for part in parts_of(operation)
    )


def parts_of(layer: Any) -> Sequence[Any]:
    """The layers inside a layer that is a network itself, or the layer."""
    parts: Sequence[Any] = getattr(layer, "layers", [layer])
    return parts


def _merge(units: list[_Unit], strides: dict[str, int]) -> list[_Unit]:
    merged: list[_Unit] = []
    for unit in units:
        if merged and _belongs(merged[-1], unit, strides):
            merged[-1].absorb(unit)
        else:
            merged.append(unit)
    return merged


def _belongs(before: _Unit, unit: _Unit, strides: dict[str, int]) -> bool:
    """Whether a unit is one block with what stands before it."""
    if unit.mixing is None and not unit.joined:
        return True
    if before.mixing is None or before.joined or unit.joined:
        return before.mixing is None and not before.joined
    wide, narrow = (each.mixing.output.shape[-1] for each in (before, unit))
    alike = strides[before.mixing.name] == strides[unit.mixing.name]
    return bool(wide > narrow or (alike and before.is_plain and unit.is_plain))
