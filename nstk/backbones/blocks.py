"""The blocks of a network, found in its graph; unfreezing starts between two blocks.

The border between two blocks is a bottleneck: a tensor that is all later layers need of earlier
ones (see `find_bottlenecks`), so both paths of a residual addition are on the same side. Branches
that join in a sum or a concatenation form one block. Elsewhere the network is a sequence, which is
cut before each layer with a kernel that follows a convolution, except

- inside an expansion, where maps are wider than the following projection (an inverted bottleneck
  without a residual addition);
- between plain convolutions at one stride, which form one block of VGG.

A depthwise convolution belongs to the convolution after it; normalization, activation, gates and
pools belong to the layers before them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import keras

from nstk.backbones.receptive_fields import trace_receptive_fields
from nstk.backbones.stages import find_bottlenecks
from nstk.types import KerasLayer, KerasModel, Tensor

_JOINS = {"Add", "Concatenate"}


@dataclass(frozen=True, eq=False)
class Block:
    """A block of a network."""

    name: str
    input: Tensor
    output: Tensor
    layers: tuple[KerasLayer, ...]


def find_blocks(network: KerasModel) -> tuple[Block, ...]:
    """Cut a network into blocks, from the image to its last map."""
    operations = network.operations
    places = {id(operation): place for place, operation in enumerate(operations)}
    ends = [places[id(operation)] for operation in find_bottlenecks(network)]
    strides = {name: each.stride for name, each in trace_receptive_fields(network).items()}
    units = [_Unit(joined=False, operations=[operations[0]])]
    start = 1
    for end in [*ends, len(operations) - 1]:
        segment, start = operations[start : end + 1], end + 1
        joined = len(segment) > 1 and type(segment[-1]).__name__ in _JOINS
        if joined or units[-1].joined or _starts_unit(segment, units[-1]):
            units.append(_Unit(joined=joined))
        units[-1].append(segment)
    blocks = []
    tensor = network.inputs[0]
    for unit in _merge(units, strides):
        last = unit.operations[-1]
        layers = tuple(each for each in unit.operations if isinstance(each, keras.layers.Layer))
        blocks.append(Block(last.name, tensor, last.output, layers))
        tensor = last.output
    return tuple(blocks)


@dataclass(eq=False)
class _Unit:
    """Consecutive operations that are never separated."""

    joined: bool
    operations: list[KerasLayer] = field(default_factory=list)
    mixing: KerasLayer = None

    @property
    def is_plain(self) -> bool:
        """Whether it has no depthwise convolution."""
        return not any(isinstance(each, keras.layers.DepthwiseConv2D) for each in self.operations)

    def append(self, segment: list[KerasLayer]) -> None:
        """Append the operations between two bottlenecks."""
        self.operations += segment
        is_gate = len(segment) > 1 and not self.joined
        self.mixing = next(
            (each for each in reversed(segment) if _mixes(each) and not is_gate), self.mixing
        )

    def merge(self, unit: "_Unit") -> None:
        """Append another unit."""
        self.operations += unit.operations
        if unit.mixing is not None:
            self.mixing, self.joined = unit.mixing, unit.joined


def _starts_unit(segment: list[KerasLayer], unit: _Unit) -> bool:
    """Whether a segment of a sequence starts another unit."""
    is_gate = len(segment) > 1
    has_kernel = any(hasattr(part, "kernel_size") for part in parts_of(segment[0]))
    return not is_gate and has_kernel and unit.mixing is not None


def _mixes(operation: KerasLayer) -> bool:
    return any(
        hasattr(part, "kernel_size") and not isinstance(part, keras.layers.DepthwiseConv2D)
        for part in parts_of(operation)
    )


def parts_of(layer: KerasLayer) -> Sequence[KerasLayer]:
    """The layers inside a nested network, or the layer itself."""
    parts: Sequence[KerasLayer] = getattr(layer, "layers", [layer])
    return parts


def _merge(units: list[_Unit], strides: dict[str, int]) -> list[_Unit]:
    merged: list[_Unit] = []
    for unit in units:
        if merged and _belongs(merged[-1], unit, strides):
            merged[-1].merge(unit)
        else:
            merged.append(unit)
    return merged


def _belongs(before: _Unit, unit: _Unit, strides: dict[str, int]) -> bool:
    """Whether a unit belongs to the same block as the one before it."""
    if unit.mixing is None and not unit.joined:
        return True
    if before.mixing is None or before.joined or unit.joined:
        return before.mixing is None and not before.joined
    wide, narrow = (each.mixing.output.shape[-1] for each in (before, unit))
    alike = strides[before.mixing.name] == strides[unit.mixing.name]
    return bool(wide > narrow or (alike and before.is_plain and unit.is_plain))
