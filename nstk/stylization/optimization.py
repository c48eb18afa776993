"""The optimization of an image's pixels, from an initial image on."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nstk.errors import DivergenceError
from nstk.images.image import Image, Plane, resize_image
from nstk.images.loading import load_image
from nstk.optimizers import Optimizer
from nstk.progress import Progress, Reporter
from nstk.stylization.objective import LossWeights, Objective
from nstk.types import OptimizerState, Tensor

INITS = ("content", "noise", "gray", "style")
"""The named initial images; any other value is the path of an image."""

PATIENCE = 20
"""Steps over which the loss has to improve by the tolerance."""


class Step(NamedTuple):
    loss: float
    terms: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class OptimizationState:
    """Everything the rest of an optimization depends on."""

    x: Tensor
    optimizer_state: OptimizerState
    last_finite: Tensor
    steps: tuple[int, ...] = (0,)
    divergence_note: str | None = None


@dataclass
class Optimization:
    """An image being optimized; it can be inspected at any moment.

    The first time the loss is not finite, the optimization returns to the last good image and
    continues with smaller steps. The state changes in one assignment, so an interruption always
    leaves a state that was reached.
    """

    optimizer: Optimizer
    fallback: Optimizer
    state: OptimizationState
    history: list[Step] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)

    @classmethod
    def start(
        cls, optimizer: Optimizer, image: Tensor, fallback: Optimizer | None = None
    ) -> "Optimization":
        x = tf.constant(image)
        return cls(optimizer, fallback or optimizer, OptimizationState(x, optimizer.init(x), x))

    @property
    def active_optimizer(self) -> Optimizer:
        return self.optimizer if self.state.divergence_note is None else self.fallback

    @property
    def steps(self) -> int:
        """Steps taken so far, over all scales."""
        return sum(self.state.steps)

    @property
    def loss(self) -> float:
        """The loss at the last step, NaN before the first."""
        return self.history[self.steps - 1].loss if self.steps else math.nan

    @property
    def terms(self) -> Mapping[str, float]:
        return self.history[self.steps - 1].terms if self.steps else {}

    def image(self) -> Image:
        """Return the result if the optimization ended now."""
        state = self.state
        result: Image = self.active_optimizer.result(state.x, state.optimizer_state).numpy()
        return np.clip(result, 0.0, 1.0, out=result)

    def resize(
        self, height: int, width: int, restore_kept: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        def resize(tensor: Tensor) -> Tensor:
            return tf.image.resize(tensor, [height, width], method="bicubic")

        state = self.state
        x, optimizer_state = state.x, state.optimizer_state
        if x.shape[:2] != (height, width):
            result = self.active_optimizer.result(x, optimizer_state)
            x = tf.clip_by_value(resize(result), 0.0, 1.0)
            optimizer_state = self.active_optimizer.rescale(x, optimizer_state, resize)
        if restore_kept is not None:
            x = restore_kept(x)
        self.step_seconds = []
        self.state = replace(
            state,
            x=x,
            optimizer_state=optimizer_state,
            last_finite=x,
            steps=(*state.steps, 0),
        )

    def run(
        self,
        objective: Objective,
        steps: int,
        on_progress: Reporter,
        *,
        loss_weights: LossWeights | None = None,
        tolerance: float = 0.0,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        stage = f"{self.state.x.shape[1]}×{self.state.x.shape[0]}"
        report = partial(Progress, stage=stage, total=steps, preview=self.image)
        on_progress(report(step=self.state.steps[-1]))
        weights = LossWeights(*map(tf.constant, loss_weights or objective.weights.loss_weights))
        while self.state.steps[-1] < steps and not self._has_converged(tolerance):
            before = time.perf_counter()
            compiled_step = objective.compile(self.active_optimizer)
            x, optimizer_state, evaluation = compiled_step(
                self.state.x, self.state.optimizer_state, weights
            )
            step = Step(
                float(evaluation.loss),
                {name: float(term) for name, term in evaluation.terms.items()},
            )
            if not math.isfinite(step.loss):
                broken = [name for name, term in step.terms.items() if not math.isfinite(term)]
                where = f"at step {self.state.steps[-1] + 1} of {stage}"
                parts = f", in {', '.join(broken)}" if broken else ""
                self._fall_back(f"The loss is {step.loss} {where}{parts}")
                continue
            self._advance(x, optimizer_state, step)
            self.step_seconds.append(time.perf_counter() - before)
            on_progress(report(step=self.state.steps[-1], loss=step.loss, terms=step.terms))
            on_step()
        if not np.isfinite(self.image()).all():  # no loss was computed after the last step
            where = f"after step {self.state.steps[-1]} of {stage}"
            self._fall_back(f"The image contains NaN or Inf {where}")

    def _advance(self, x: Tensor, optimizer_state: OptimizerState, step: Step) -> None:
        state = self.state
        self.history[self.steps :] = [step]
        steps = (*state.steps[:-1], state.steps[-1] + 1)
        # Only the image: a second optimizer state would exceed the memory of the feature maps.
        self.state = replace(
            state, x=x, optimizer_state=optimizer_state, last_finite=state.x, steps=steps
        )

    def _fall_back(self, problem: str) -> None:
        """Return to the last good image; raise if this happened before."""
        state = self.state
        note = f"{problem}; continued from the last good image with smaller steps."
        self.state = replace(
            state,
            x=state.last_finite,
            optimizer_state=self.fallback.init(state.last_finite),
            divergence_note=state.divergence_note or note,
        )
        if state.divergence_note is not None:
            raise DivergenceError(
                f"{problem}, again with smaller steps; it must be finite: lower `learning_rate`, "
                "or check the weights of the backbone."
            )

    def _has_converged(self, tolerance: float) -> bool:
        """Whether the best of the last 20 losses is hardly better than the best before them."""
        here = self.state.steps[-1]
        if not tolerance or here <= PATIENCE:
            return False
        losses = [step.loss for step in self.history[self.steps - here : self.steps]]
        before, lately = min(losses[:-PATIENCE]), min(losses[-PATIENCE:])
        return before - lately < tolerance * abs(before)


class Palette(NamedTuple):
    pixels: Image
    weights: Plane
    share: float
    area: Plane | None


def initial_image(
    init: str, content: Image, palettes: Sequence[Palette], generator: np.random.Generator
) -> Image:
    shape = content.shape
    if init == "content":
        return content
    if init == "noise":
        return generator.random(shape, np.float32)
    if init == "gray":
        return (0.5 + (generator.random(shape, np.float32) - 0.5) / 255).astype(np.float32)
    if init == "style":
        return _noise_with_colors(shape, palettes, generator)
    return resize_image(load_image(init).pixels, shape[0], shape[1])


def _noise_with_colors(
    shape: tuple[int, ...], palettes: Sequence[Palette], generator: np.random.Generator
) -> Image:
    """Independent pixels, each from the normal distribution of the colors of its area."""
    noise = generator.standard_normal(shape)
    image = _color_noise(noise, palettes)
    areas = [palette.area for palette in palettes if palette.area is not None]
    if areas:
        # Outside all areas the colors of all styles are used; where areas overlap, they mix.
        covered = np.sum(areas, axis=0)[..., np.newaxis]
        image = image * np.maximum(1 - covered, 0)
        for palette, area in zip(palettes, areas, strict=True):
            image += area[..., np.newaxis] * _color_noise(noise, [palette])
        image /= np.maximum(covered, 1)
    clipped: Image = np.clip(image, 0, 1).astype(np.float32)
    return clipped


def _color_noise(noise: Tensor, palettes: Sequence[Palette]) -> Tensor:
    """Give white noise the mean and the covariance of some palettes together."""
    colors = np.concatenate([each.pixels.reshape(-1, 3) for each in palettes]).astype(np.float64)
    shares = [each.weights * (each.share / each.weights.sum()) for each in palettes]
    weights = np.concatenate([share.ravel() for share in shares])
    mean = np.average(colors, axis=0, weights=weights)
    covariance = np.cov(colors, rowvar=False, aweights=weights)
    return mean + noise @ np.linalg.cholesky(covariance + 1e-8 * np.eye(3)).T
