"""What a run will need, and which engine it runs on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import Any, Literal

from nstk.backbones.arithmetic import time_network
from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.backbones.stages import NetworkCost, count_flops
from nstk.backbones.variants import Arithmetic, Convolution, Precision
from nstk.errors import SettingsError
from nstk.settings import OptimizerName, TilingName
from nstk.stylization.objective import ObjectiveWeights
from nstk.stylization.scales import Scale
from nstk.stylization.tiled.memory import available_memory, current_memory
from nstk.stylization.tiled.network import TILE_BYTES, TRANSIENT, TiledNetwork

Tiling = Literal["off", "on"]

IMAGES: Mapping[OptimizerName, int] = {
    "adam": 13,
    "gradient-descent": 15,
    "lbfgs": 56,
    "newton": 26,
}
"""Float32 images that a step of each optimizer holds at once, old and new states among them."""

IMAGE_BYTES = 12
"""Of a float32 pixel."""

COMPILED_BYTES = 200 * 2**20
"""What compiling takes, and libraries that come with the first step."""

WORK_SHARE = 1.35
"""Time of a step over that of its convolutions: sums, gradients of what lies between, the update."""

KERNEL_GROWTH = 8
"""A 3×3 kernel becomes one of 6×6, once for the way there and once for the way back."""

NEWTON_EVALUATIONS = 12
"""Evaluations that a step of Newton's method is worth; every other optimizer's is one."""

COMPILE_SECONDS = 3.0
"""Of one scale."""

SMALLEST_ADVICE = 64
"""Longer side in pixels below which no size is recommended."""

SHARE_OF_MEMORY = 0.8
"""How much of the free memory a run may take where no limit is given."""


@dataclass(frozen=True)
class Plan:
    """How an image is going to be painted and what that takes.

    Attributes:
        engine: ``whole`` looks at the image at once, ``windows`` part by part.
        precision: What convolutions run in.
        convolution: How those that suit it are computed.
        peak_memory_bytes: Largest resident size of the process, predicted.
        seconds: Of the descent, predicted.
        reason: Why this engine, in one line.
    """

    tiling: Tiling
    precision: Precision
    convolution: Convolution
    peak_memory_bytes: int
    seconds: float
    reason: str

    @property
    def arithmetic(self) -> Arithmetic:
        """Precision and convolution."""
        return Arithmetic(self.precision, self.convolution)


@dataclass(frozen=True, eq=False)
class CostModel:
    """What is to be painted, as far as memory and time depend on it.

    Attributes:
        backbone: The network, prepared.
        weights: Which layers are looked at.
        optimizer: The rule.
        arithmetic: What convolutions run in, and how they are computed.
        scales: All scales, the largest last.
    """

    backbone: Backbone
    weights: ObjectiveWeights
    optimizer: OptimizerName
    arithmetic: Arithmetic
    scales: tuple[Scale, ...]

    @property
    def pixels(self) -> int:
        """Of the largest scale."""
        return self.scales[-1].height * self.scales[-1].width

    @property
    def can_be_cut(self) -> bool:
        """Whether no layer depends on a mean over the whole image."""
        return all(self.backbone.reach(name) < WHOLE_IMAGE for name in self.weights.layers)

    def predict_memory(self, tiling: Tiling, pixels: int) -> int:
        """Largest resident size of this process while it paints so many pixels."""
        fixed = current_memory() + COMPILED_BYTES + self._transformed_kernels
        images = pixels * IMAGE_BYTES * IMAGES[self.optimizer]
        maps = pixels * (self.load.map_bytes + TRANSIENT * self.load.largest)
        if tiling == "on":
            maps = min(maps, TILE_BYTES + pixels * self._kept_between_stages)
        return int(fixed + images + maps)

    def largest_image(self, tiling: Tiling, memory: int) -> int:
        """How many pixels can be painted in so much memory."""
        fits, too_many = 0, 2
        while self.predict_memory(tiling, too_many) <= memory:
            fits, too_many = too_many, 2 * too_many
        while too_many - fits > 1:
            pixels = (fits + too_many) // 2
            if self.predict_memory(tiling, pixels) <= memory:
                fits = pixels
            else:
                too_many = pixels
        return fits

    def predict_seconds(self, tiling: Tiling) -> float:
        """Time of all steps on this machine."""
        forward, backward = time_network(self.load.convolutions, self.arithmetic)
        passes = 2 * forward + backward if tiling == "on" else forward + backward
        evaluations = NEWTON_EVALUATIONS if self.optimizer == "newton" else 1
        pixels = sum(scale.height * scale.width * scale.steps for scale in self.scales)
        return WORK_SHARE * passes * evaluations * pixels + COMPILE_SECONDS * len(self.scales)

    @property
    def _transformed_kernels(self) -> int:
        """Bytes of all kernels in the form that minimal filtering takes, for there and back."""
        if self.arithmetic.convolution == "direct":
            return 0
        suited = [each for each in self.load.convolutions if each.suits_winograd]
        return sum(KERNEL_GROWTH * 4 * prod(each.kernel) for each in suited)

    @cached_property
    def _kept_between_stages(self) -> float:
        """Bytes for each pixel that the engine in windows keeps of the network, at most."""
        network = TiledNetwork(
            self.backbone, tuple(self.weights.style_layers), tuple(self.weights.content_layers)
        )
        held = [0.0]
        content = 0.0
        for stage in network.stages:
            tensors = stage.model.output
            sizes = {
                name: _size(tensors[name]) / (stage.stride * pair[0].stride) ** 2
                for name, pair in stage.fields.items()
            }
            content += sum(sizes[name] for name in stage.taps if name in network.content_layers)
            if stage.following:
                held.append(sizes[stage.following])
        gradients = zip(held, [*held[1:], 0.0], strict=True)
        sources = accumulate(held)
        return content + max(
            kept + here + after for kept, (here, after) in zip(sources, gradients, strict=True)
        )

    @cached_property
    def load(self) -> NetworkCost:
        """What the network costs for each pixel."""
        return count_flops(self.backbone.tap(self.weights.layers))


def make_plan(demand: CostModel, asked: TilingName, limit: int | None) -> Plan:
    """Choose the engine, or refuse what does not fit.

    Args:
        demand: What is to be painted.
        asked: The engine that is wanted; ``auto`` looks at the image at once if it can.
        limit: Bytes that the process may take; what the machine has to spare where None.

    Raises:
        SettingsError: If it would need more memory than there is; it says what would fit.
        BackboneError: If windows are wanted and the network cannot be looked at in parts.
    """
    free = available_memory()
    if limit is None and free is not None:
        limit = current_memory() + int(SHARE_OF_MEMORY * free)
    whole = demand.predict_memory("off", demand.pixels)
    fits = limit is None or whole <= limit
    if asked == "off" or (asked == "auto" and (fits or not demand.can_be_cut)):
        tiling: Tiling = "off"
        peak, reason = whole, "the whole image fits in memory"
    else:
        tiling = "on"
        peak = demand.predict_memory("on", demand.pixels)
        reason = f"the whole image at once would take {format_bytes(whole)}"
    if asked != "auto":
        reason = f"--tiling {asked} was asked for"
    if limit is not None and peak > limit:
        raise SettingsError(_refuse(demand, tiling, peak, limit))
    return Plan(tiling, *demand.arithmetic, peak, demand.predict_seconds(tiling), reason)


def format_bytes(size: float) -> str:
    """A number of bytes for people: ``3.4 GiB``."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _refuse(demand: CostModel, tiling: Tiling, peak: int, limit: int) -> str:
    scale = demand.scales[-1]
    best: Tiling = "on" if demand.can_be_cut else tiling
    share = demand.largest_image(best, limit) / demand.pixels
    size = int(scale.longer_side * share**0.5)
    advice = f"choose --size {size}" if size >= SMALLEST_ADVICE else "choose a smaller --backbone"
    if best != tiling:
        advice += " and --tiling auto"
    return (
        f"{scale.width}×{scale.height} pixels need {format_bytes(peak)} with this network, and "
        f"{format_bytes(limit)} may be used: {advice}, or raise --max-memory."
    )


def _size(tensor: Any) -> int:
    """Bytes of one cell."""
    return int(tensor.shape[-1]) * (2 if tensor.dtype == "bfloat16" else 4)
