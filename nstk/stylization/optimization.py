"""The optimization of an image's pixels."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nstk.errors import DivergenceError
from nstk.images.image import Image
from nstk.optimizers import Optimizer
from nstk.progress import Progress, Reporter
from nstk.stylization.objective import LossWeights, Objective
from nstk.types import OptimizerState, Tensor

PATIENCE = 20
"""Steps over which the loss has to improve by the tolerance."""


class Step(NamedTuple):
    """One step.

    Attributes:
        loss: The loss before the step.
        terms: Its terms by name.
    """

    loss: float
    terms: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class OptimizationState:
    """Everything the rest of an optimization depends on.

    Attributes:
        x: The image, a float32 tensor ``(height, width, 3)``.
        optimizer_state: The optimizer's state.
        last_finite: The last image known to have a finite loss.
        steps: Steps taken at each scale so far, the current one last.
        divergence_note: A remark on the first loss that was not finite; None until then.
    """

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

    Attributes:
        optimizer: The optimizer.
        fallback: The optimizer after a loss that was not finite, with smaller steps.
        state: The current state.
        history: Every step so far, over all scales.
        step_seconds: The duration of every step at the current scale.
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
        """Start at an image, with no step taken."""
        x = tf.constant(image)
        return cls(optimizer, fallback or optimizer, OptimizationState(x, optimizer.init(x), x))

    @property
    def active_optimizer(self) -> Optimizer:
        """The optimizer of the next step."""
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
        """The terms of the loss at the last step."""
        return self.history[self.steps - 1].terms if self.steps else {}

    def image(self) -> Image:
        """Return the result if the optimization ended now."""
        state = self.state
        result: Image = self.active_optimizer.result(state.x, state.optimizer_state).numpy()
        return np.clip(result, 0.0, 1.0, out=result)

    def resize(
        self, height: int, width: int, restore_kept: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        """Continue at another scale, from the current result.

        Args:
            height: New height of the image.
            width: New width of the image.
            restore_kept: Restores the pixels that have to stay unchanged.
        """

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
        """Minimize an objective until the given number of steps is taken at this scale.

        Args:
            objective: The objective.
            steps: Most steps at this scale.
            on_progress: Called with a `Progress` at every step.
            loss_weights: α, β and γ, if other than those of the objective.
            tolerance: Stop when the loss improved by less than this fraction over 20 steps;
                0 disables.
            on_step: Called after every step.

        Raises:
            DivergenceError: If the loss is not finite for the second time.
        """
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
        # Only the image: a second optimizer state would exceed the memory of the feature maps.
        last_finite = self.active_optimizer.result(state.x, state.optimizer_state)
        steps = (*state.steps[:-1], state.steps[-1] + 1)
        self.state = replace(
            state, x=x, optimizer_state=optimizer_state, last_finite=last_finite, steps=steps
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
