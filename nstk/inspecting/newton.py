"""Newton's method: on a curve, step by step, and beside other optimizers on the loss of an image.

On a curve, x := x − f(x)/f′(x) goes to where the tangent meets zero. A minimum of a loss is a zero
of its gradient, and the Hessian takes the place of f′.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.inspecting.expressions import Expression
from nstk.inspecting.optimization import Optimization, open_subject, optimize_noise
from nstk.progress import Reporter, Stopwatch, no_progress
from nstk.settings import InspectSettings, NewtonSettings, OptimizerName, resolve_settings
from nstk.stylization.inputs import Source, with_range
from nstk.stylization.losses import content_loss
from nstk.stylization.styles import extract_features
from nstk.types import FeatureMaps, Json, SettingValue, Tensor

COMPARED: tuple[OptimizerName, ...] = ("gradient-descent", "lbfgs", "newton")

_CLOSE = 1e-12
_FAR = 1e9

Ending = Literal["root", "horizontal tangent", "diverged", "not converged"]


@dataclass(frozen=True)
class TangentStep:
    """One step: x, f(x), f′(x), and where the tangent meets zero; NaN if it does not."""

    x: float
    value: float
    slope: float
    following: float


@dataclass(frozen=True, eq=False, repr=False)
class NewtonInspection:
    """Newton's method on a curve, and optimizers on the same loss of an image.

    The loss is the mean over the layers of ½‖a − a*‖² / ½‖a*‖², from the same white noise.
    """

    function: str
    tangents: tuple[TangentStep, ...]
    ending: Ending
    original: Image
    layers: tuple[str, ...]
    runs: dict[str, Optimization]
    backbone: str
    seconds: float

    def __repr__(self) -> str:
        return f"NewtonInspection({self.function}, {len(self.tangents)} steps, {self.ending})"

    def to_dict(self) -> dict[str, Json]:
        """Steps, losses and seconds as plain values for JSON."""
        return {
            "function": self.function,
            "tangents": [asdict(step) for step in self.tangents],
            "ending": self.ending,
            "backbone": self.backbone,
            "layers": self.layers,
            "optimizers": [
                {"optimizer": name, "losses": run.losses, "seconds": run.seconds}
                for name, run in self.runs.items()
            ],
            "seconds": self.seconds,
        }


def inspect_newton(
    image: Source,
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    settings: NewtonSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> NewtonInspection:
    """Follow Newton's method on a curve, and compare optimizers on the content loss of an image.

    Raises:
        SettingsError: If the function is not a formula of x.
        ImageError: If the file is not an image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    watch, chosen = Stopwatch(), resolve_settings(NewtonSettings, settings, options)
    tangents, ending = follow_tangents(Expression(chosen.function), chosen.start, chosen.iterations)
    backbone = load_backbone(backbone, on_progress=on_progress)
    shared = {name: getattr(chosen, name) for name in ("layers", "size", "steps", "seed")}
    runs: dict[str, Optimization] = {}
    for name in COMPARED:
        subject = open_subject(
            with_range(image, value_range), backbone, InspectSettings(optimizer=name, **shared)
        )
        targets = extract_features(subject.network.tap(subject.layers), subject.image)

        def compare(maps: FeatureMaps, targets: FeatureMaps = targets) -> dict[str, Tensor]:
            return {name: content_loss(maps[name], targets[name]) for name in targets}

        runs[name] = optimize_noise(subject, subject.layers, compare, on_progress, stage=name)
    return NewtonInspection(
        function=chosen.function,
        tangents=tangents,
        ending=ending,
        original=subject.image,
        layers=subject.layers,
        runs=runs,
        backbone=backbone.name,
        seconds=watch.total,
    )


def follow_tangents(
    function: Expression, start: float, iterations: int
) -> tuple[tuple[TangentStep, ...], Ending]:
    """Follow Newton's method from a start, and say how it ended."""
    steps: list[TangentStep] = []
    x = start
    for _ in range(iterations):
        value, slope = function(x)
        if not math.isfinite(value) or not math.isfinite(slope) or abs(x) > _FAR:
            return _end(steps, x, value, slope), "diverged"
        if abs(value) <= _CLOSE or (steps and abs(x - steps[-1].x) <= _CLOSE * max(1, abs(x))):
            return _end(steps, x, value, slope), "root"
        if slope == 0:
            return _end(steps, x, value, slope), "horizontal tangent"
        steps.append(TangentStep(x, value, slope, x - value / slope))
        x = steps[-1].following
    return _end(steps, x, *function(x)), "not converged"


def _end(
    steps: Sequence[TangentStep], x: float, value: float, slope: float
) -> tuple[TangentStep, ...]:
    return (*steps, TangentStep(x, value, slope, math.nan))
