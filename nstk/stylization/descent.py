"""The descent on the pixels of one scale."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.errors import DivergenceError
from nstk.media.pictures import Picture
from nstk.minimizers import Minimizer
from nstk.progress import Progress, Reporter
from nstk.stylization.objective import Balance, Objective

WINDOW = 20


@dataclass
class Descent:
    """A picture on its way down; the loop moves it on, and whoever holds it can look at it.

    Attributes:
        minimizer: The rule.
        x: The picture being moved, a float32 tensor ``(height, width, 3)``.
        state: The minimizer's state.
        steps: Steps taken so far, over all scales.
        loss: The loss at the last step.
        terms: Its parts.
        durations: Seconds of every step at the present scale.
    """

    minimizer: Minimizer
    x: Any
    state: Any
    steps: int
    loss: float
    terms: Mapping[str, float]
    durations: list[float]

    @classmethod
    def start(cls, minimizer: Minimizer, picture: Picture) -> "Descent":
        """Stand at ``picture``, with no step taken."""
        x = tf.constant(picture)
        return cls(minimizer, x, minimizer.init(x), 0, math.nan, {}, [])

    def picture(self) -> Picture:
        """The picture to keep, should the descent end here."""
        result: Picture = self.minimizer.result(self.x, self.state).numpy()
        return np.clip(result, 0.0, 1.0)

    def move_to(self, height: int, width: int, pin: Callable[[Any], Any] | None = None) -> None:
        """Go on at another scale, from the picture that would be kept now.

        Args:
            height: Of the picture from now on.
            width: Of the picture from now on.
            pin: Puts back what is to stay as it is.
        """

        def resize(tensor: Any) -> Any:
            return tf.image.resize(tensor, [height, width], method="bicubic")

        if self.x.shape[:2] != (height, width):
            kept = tf.clip_by_value(resize(self.minimizer.result(self.x, self.state)), 0.0, 1.0)
            self.x, self.state = kept, self.minimizer.rescale(kept, self.state, resize)
        if pin is not None:
            self.x = pin(self.x)
        self.durations = []

    def run(
        self,
        objective: Objective,
        steps: int,
        on_progress: Reporter,
        *,
        balance: Balance | None = None,
        tolerance: float = 0.0,
    ) -> None:
        """Take ``steps`` steps towards one objective, reporting each.

        Args:
            objective: What the picture is to agree with.
            steps: How many at most.
            on_progress: Told of every step.
            balance: α, β and γ, where they are not those of the objective.
            tolerance: Stop when the loss fell by less than this share in 20 steps; 0 is never.

        Raises:
            DivergenceError: If the loss is no longer a finite number.
        """
        advance = objective.compile(self.minimizer)
        shares = Balance(*map(tf.constant, balance or objective.weights.balance))
        stage = f"{self.x.shape[1]}×{self.x.shape[0]}"
        on_progress(Progress(stage=stage, step=0, total=steps, preview=self.picture))
        losses: list[float] = []
        good = self.x
        for step in range(1, steps + 1):
            before = time.perf_counter()
            x, state, evaluation = advance(self.x, self.state, shares)
            loss = float(evaluation.loss)
            terms = {name: float(term) for name, term in evaluation.terms.items()}
            if not math.isfinite(loss):
                self.x, self.state = good, self.minimizer.init(good)
                raise _diverged(loss, terms, stage, step)
            # The picture alone: a second state would take more memory than the network's own maps.
            good = self.minimizer.result(self.x, self.state)
            self.loss, self.terms = loss, terms
            self.x, self.state = x, state
            self.durations.append(time.perf_counter() - before)
            self.steps += 1
            on_progress(
                Progress(
                    stage=stage,
                    step=step,
                    total=steps,
                    loss=self.loss,
                    terms=self.terms,
                    preview=self.picture,
                )
            )
            losses.append(self.loss)
            if tolerance and _settled(losses, tolerance):
                break


def _diverged(loss: float, terms: Mapping[str, float], stage: str, step: int) -> DivergenceError:
    broken = [name for name, term in terms.items() if not math.isfinite(term)]
    return DivergenceError(
        f"The loss is {loss} at step {step} of {stage}, in {', '.join(broken)}; "
        "it must be finite: lower --learning-rate, or check the weights of the backbone."
    )


def _settled(losses: list[float], tolerance: float) -> bool:
    """Whether the best of the last 20 losses is hardly better than the best before them."""
    if len(losses) <= WINDOW:
        return False
    before, lately = min(losses[:-WINDOW]), min(losses[-WINDOW:])
    return before - lately < tolerance * abs(before)
