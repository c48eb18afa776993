"""The descent on the pixels of an image."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from nstk.errors import DivergenceError
from nstk.images.image import Image
from nstk.optimizers import Optimizer
from nstk.progress import Progress, Reporter
from nstk.stylization.objective import LossWeights, Objective

WINDOW = 20


class Step(NamedTuple):
    """What one step was told.

    Attributes:
        loss: The loss before it.
        terms: Its parts by name.
    """

    loss: float
    terms: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class OptimizationState:
    """Where a descent stands: all that the rest of it depends on.

    Attributes:
        x: The image being moved, a float32 tensor ``(height, width, 3)``.
        state: The optimizer's state.
        good: The last image known to have a finite loss.
        taken: Steps taken at each scale so far, the present one last.
        divergence_note: What became of the first loss that was no number, in words; None until then.
    """

    x: Any
    state: Any
    good: Any
    taken: tuple[int, ...] = (0,)
    divergence_note: str | None = None


class StepCallback(Protocol):
    """Whoever keeps where a descent stands."""

    def __call__(self, optimization: "Optimization", *, now: bool = False) -> None:
        """Look at a descent after a step, and keep it if it is time to, or in any case ``now``."""


def no_op(optimization: "Optimization", *, now: bool = False) -> None:
    """Keep nothing: the keeper of those who need none."""


@dataclass
class Optimization:
    """An image on its way down; the loop moves it on, and whoever holds it can look at it.

    A loss that is no number sends it back, once, to the last good image, with the cautious rule
    from there on. Every move is one assignment, so wherever it is interrupted it stands at a
    `OptimizationState` that was reached.

    Attributes:
        optimizer: The rule.
        cautious: The rule after a loss that was no number, of smaller steps.
        point: Where it stands.
        history: Every step so far, over all scales.
        durations: Seconds of every step at the present scale.
    """

    optimizer: Optimizer
    cautious: Optimizer
    point: OptimizationState
    history: list[Step] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)

    @classmethod
    def start(
        cls, optimizer: Optimizer, image: Any, cautious: Optimizer | None = None
    ) -> "Optimization":
        """Stand at ``image``, with no step taken."""
        x = tf.constant(image)
        return cls(optimizer, cautious or optimizer, OptimizationState(x, optimizer.init(x), x))

    @property
    def rule(self) -> Optimizer:
        """The optimizer in force."""
        return self.optimizer if self.point.divergence_note is None else self.cautious

    @property
    def steps(self) -> int:
        """Steps taken so far, over all scales."""
        return sum(self.point.taken)

    @property
    def loss(self) -> float:
        """The loss at the last step, NaN before the first."""
        return self.history[self.steps - 1].loss if self.steps else math.nan

    @property
    def terms(self) -> Mapping[str, float]:
        """Its parts."""
        return self.history[self.steps - 1].terms if self.steps else {}

    def image(self) -> Image:
        """The image to keep, should the descent end here."""
        point = self.point
        result: Image = self.rule.result(point.x, point.state).numpy()
        return np.clip(result, 0.0, 1.0, out=result)

    def move_to(self, height: int, width: int, pin: Callable[[Any], Any] | None = None) -> None:
        """Go on at another scale, from the image that would be kept now.

        Args:
            height: Of the image from now on.
            width: Of the image from now on.
            pin: Puts back what is to stay as it is.
        """

        def resize(tensor: Any) -> Any:
            return tf.image.resize(tensor, [height, width], method="bicubic")

        x, state = self.point.x, self.point.state
        if x.shape[:2] != (height, width):
            kept = tf.clip_by_value(resize(self.rule.result(x, state)), 0.0, 1.0)
            x, state = kept, self.rule.rescale(kept, state, resize)
        if pin is not None:
            x = pin(x)
        self.durations = []
        self.point = replace(self.point, x=x, state=state, good=x, taken=(*self.point.taken, 0))

    def run(
        self,
        objective: Objective,
        steps: int,
        on_progress: Reporter,
        *,
        balance: LossWeights | None = None,
        tolerance: float = 0.0,
        keep: StepCallback = no_op,
    ) -> None:
        """Go on towards one objective until so many steps are taken at this scale.

        Args:
            objective: What the image is to agree with.
            steps: How many at most.
            on_progress: Told of every step.
            balance: α, β and γ, where they are not those of the objective.
            tolerance: Stop when the loss fell by less than this share in 20 steps; 0 is never.
            keep: Called with the descent after every step.

        Raises:
            DivergenceError: If the loss is no longer a finite number, for the second time.
        """
        stage = f"{self.point.x.shape[1]}×{self.point.x.shape[0]}"
        report = partial(Progress, stage=stage, total=steps, preview=self.image)
        on_progress(report(step=self.point.taken[-1]))
        shares = LossWeights(*map(tf.constant, balance or objective.weights.balance))
        while self.point.taken[-1] < steps and not self._is_settled(tolerance):
            before = time.perf_counter()
            advance = objective.compile(self.rule)
            x, state, evaluation = advance(self.point.x, self.point.state, shares)
            step = Step(
                float(evaluation.loss),
                {name: float(term) for name, term in evaluation.terms.items()},
            )
            if not math.isfinite(step.loss):
                broken = [name for name, term in step.terms.items() if not math.isfinite(term)]
                where = f"at step {self.point.taken[-1] + 1} of {stage}"
                parts = f", in {', '.join(broken)}" if broken else ""
                self._fall_back(f"The loss is {step.loss} {where}{parts}")
                continue
            self._take(x, state, step)
            self.durations.append(time.perf_counter() - before)
            on_progress(report(step=self.point.taken[-1], loss=step.loss, terms=step.terms))
            keep(self)
        if not np.isfinite(self.image()).all():  # no loss has looked at what the last step made
            where = f"after step {self.point.taken[-1]} of {stage}"
            self._fall_back(f"The image holds what is no number {where}")

    def _take(self, x: Any, state: Any, step: Step) -> None:
        point = self.point
        self.history[self.steps :] = [step]
        # The image alone: a second state would take more memory than the network's own maps.
        good = self.rule.result(point.x, point.state)
        taken = (*point.taken[:-1], point.taken[-1] + 1)
        self.point = replace(point, x=x, state=state, good=good, taken=taken)

    def _fall_back(self, found: str) -> None:
        """Go back to the last good image, the first time to go on from there."""
        point = self.point
        setback = f"{found}; went on from the last good image with smaller steps."
        self.point = replace(
            point,
            x=point.good,
            state=self.cautious.init(point.good),
            divergence_note=point.divergence_note or setback,
        )
        if point.divergence_note is not None:
            raise DivergenceError(
                f"{found}, with smaller steps, too; it must be finite: lower --learning-rate, or "
                "check the weights of the backbone."
            )

    def _is_settled(self, tolerance: float) -> bool:
        """Whether the best of the last 20 losses is hardly better than the best before them."""
        here = self.point.taken[-1]
        if not tolerance or here <= WINDOW:
            return False
        losses = [step.loss for step in self.history[self.steps - here : self.steps]]
        before, lately = min(losses[:-WINDOW]), min(losses[-WINDOW:])
        return before - lately < tolerance * abs(before)
