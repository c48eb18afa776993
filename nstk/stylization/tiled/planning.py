"""The plan of a run: tiling, precision, and the memory and time they take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import Literal, get_args

from nstk.backbones.arithmetic import PRECISIONS, time_network
from nstk.backbones.backbone import Backbone
from nstk.backbones.receptive_fields import WHOLE_IMAGE
from nstk.backbones.stages import NetworkCost, count_flops
from nstk.backbones.variants import Precision
from nstk.backbones.winograd import suits_winograd
from nstk.errors import SettingsError
from nstk.settings import OptimizerName, TilingName
from nstk.stylization.objective import ObjectiveWeights
from nstk.stylization.recipe import Scale
from nstk.stylization.tiled.memory import available_memory, current_memory
from nstk.stylization.tiled.network import TILE_BYTES, TRANSIENT, TiledNetwork
from nstk.types import Json, Tensor

Tiling = Literal["off", "on"]

IMAGES: Mapping[OptimizerName, int] = {
    "adam": 13,
    "gradient-descent": 15,
    "lbfgs": 56,
    "newton": 26,
}
"""Float32 images that a step of each optimizer holds at once, including old and new states."""

IMAGE_BYTES = 12
"""Bytes of a float32 pixel."""

COMPILED_BYTES = 200 * 2**20
"""Memory of compilation and of libraries loaded with the first step."""

WORK_SHARE = 1.35
"""Time of a step over that of its convolutions: sums, other gradients, the update."""

WINOGRAD_GROWTH = 8
"""A 3×3 kernel becomes one of 6×6, once for the forward and once for the backward pass."""

NEWTON_EVALUATIONS = 12
"""A step of Newton's method costs this many evaluations; other optimizers need one."""

COMPILE_SECONDS = 3.0
"""Compile time of a step, which serves all scales."""

SMALLEST_ADVICE = 64
"""Longer side in pixels below which no size is recommended."""

SHARE_OF_MEMORY = 0.8
"""Share of the available memory that a run may use without an explicit limit."""


@dataclass(frozen=True)
class Plan:
    """How an image will be computed, and what that takes."""

    tiling: Tiling
    precision: Precision
    peak_memory_bytes: int
    seconds: float
    reason: str
    largest_whole: int | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that no run can have, such as those of a damaged checkpoint."""
        largest, strength = self.largest_whole, self.strength
        if self.tiling not in get_args(Tiling) or self.precision not in PRECISIONS:
            raise ValueError(f"tiling is {self.tiling!r} in {self.precision!r}")
        if largest is not None and not (isinstance(largest, int) and largest >= 0):
            raise ValueError(f"largest_whole is {largest!r}")
        if strength is not None and not 0 <= strength <= 1:
            raise ValueError(f"strength is {strength!r}")

    def is_tiled(self, scale: Scale) -> bool:
        return self.largest_whole is not None and scale.height * scale.width > self.largest_whole

    def __repr__(self) -> str:
        return (
            f"Plan(tiling {self.tiling} in {self.precision}, "
            f"{format_bytes(self.peak_memory_bytes)}, {self.seconds:.0f} s)"
        )

    def to_dict(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Json]) -> "Plan":
        return cls(**facts)


@dataclass(frozen=True, eq=False)
class CostModel:
    backbone: Backbone
    weights: ObjectiveWeights
    optimizer: OptimizerName
    precision: Precision
    scales: tuple[Scale, ...]

    @property
    def pixels(self) -> int:
        return self.scales[-1].height * self.scales[-1].width

    @property
    def can_tile(self) -> bool:
        """Whether no layer depends on a mean over the whole image."""
        return all(self.backbone.reach(name) < WHOLE_IMAGE for name in self.weights.layers)

    def predict_memory(self, tiling: Tiling, pixels: int) -> int:
        fixed = current_memory() + COMPILED_BYTES + self._turned_kernel_bytes
        images = pixels * IMAGE_BYTES * IMAGES[self.optimizer]
        maps = pixels * (self.network_cost.map_bytes + TRANSIENT * self.network_cost.largest)
        if tiling == "on":
            maps = min(maps, TILE_BYTES + pixels * self._bytes_between_stages)
        return int(fixed + images + maps)

    def max_pixels(self, tiling: Tiling, memory: int) -> int:
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
        forward, backward = time_network(self.network_cost.convolutions, self.precision)
        passes = 2 * forward + backward if tiling == "on" else forward + backward
        evaluations = NEWTON_EVALUATIONS if self.optimizer == "newton" else 1
        pixels = sum(scale.height * scale.width * scale.steps for scale in self.scales)
        return WORK_SHARE * passes * evaluations * pixels + COMPILE_SECONDS

    @property
    def _turned_kernel_bytes(self) -> int:
        """Memory of what `prepare_kernels` makes of all kernels."""
        kernels = [each.kernel for each in self.network_cost.convolutions]
        growth = [WINOGRAD_GROWTH if suits_winograd(k, self.precision) else 1 for k in kernels]
        return sum(4 * prod(k) * times for k, times in zip(kernels, growth, strict=True))

    @cached_property
    def _bytes_between_stages(self) -> float:
        """Bytes for each pixel that a tiled run keeps of the network, at most."""
        network = TiledNetwork.of(
            self.backbone, tuple(self.weights.style_layers), tuple(self.weights.content_layers)
        )
        held = [0.0]
        content = 0.0
        for stage in network.stages:
            tensors = stage.model.output
            sizes = {
                name: _cell_bytes(tensors[name]) / (stage.stride * pair[0].stride) ** 2
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
    def network_cost(self) -> NetworkCost:
        return count_flops(self.backbone.tap(self.weights.layers))


def make_plan(
    costs: CostModel, tiling: TilingName, limit: int | None, strength: float | None = None
) -> Plan:
    limit = memory_limit(limit)
    whole = costs.predict_memory("off", costs.pixels)
    fits = limit is None or whole <= limit
    if tiling == "off" or (tiling == "auto" and (fits or not costs.can_tile)):
        chosen: Tiling = "off"
        peak, largest, reason = whole, None, "the whole image fits in memory"
    else:
        chosen, peak = "on", costs.predict_memory("on", costs.pixels)
        largest = costs.max_pixels("off", peak if tiling == "auto" else 0)
        reason = f"the whole image at once would need {format_bytes(whole)}"
    if tiling != "auto":
        reason = f"tiling {tiling} was requested"
    check_memory(costs, chosen, limit)
    seconds = costs.predict_seconds(chosen)
    return Plan(chosen, costs.precision, peak, seconds, reason, largest, strength)


def memory_limit(limit: int | None) -> int | None:
    """Return the bytes this process may use: the limit, or a share of the available memory."""
    free = available_memory()
    if limit is None and free is not None:
        return current_memory() + int(SHARE_OF_MEMORY * free)
    return limit


def check_memory(costs: CostModel, tiling: Tiling, limit: int | None) -> None:
    peak = costs.predict_memory(tiling, costs.pixels)
    if limit is None or peak <= limit:
        return
    scale = costs.scales[-1]
    best: Tiling = "on" if costs.can_tile else tiling
    share = costs.max_pixels(best, limit) / costs.pixels
    size = int(scale.longer_side * share**0.5)
    advice = f"choose `size={size}`" if size >= SMALLEST_ADVICE else "choose a smaller `backbone`"
    if best != tiling:
        advice += " and `tiling='auto'`"
    raise SettingsError(
        f"{scale.width}×{scale.height} pixels need {format_bytes(peak)} with this network, and "
        f"{format_bytes(limit)} may be used: {advice}, or raise `max_memory`."
    )


def format_bytes(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _cell_bytes(tensor: Tensor) -> int:
    return int(tensor.shape[-1]) * (2 if tensor.dtype == "bfloat16" else 4)
