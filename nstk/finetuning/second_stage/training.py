"""The loop: steps in a seeded order, a check after every epoch, the best point kept."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.finetuning.links import Link, Matrix
from nstk.finetuning.second_stage.augmentation import Augmentation, Batch
from nstk.finetuning.second_stage.descent import RATE, Descent, schedule_rate
from nstk.finetuning.second_stage.exposure import Exposure
from nstk.finetuning.second_stage.opening import OpenedNetwork
from nstk.finetuning.second_stage.planning import Clock, count_steps
from nstk.finetuning.workers import Workers
from nstk.progress import Progress, Reporter

STAGE = "second stage"

BATCH = 32
"""Pictures of one step, over all workers."""

PATIENCE = 10
"""How many epochs without a better check end the descent."""


@dataclass(frozen=True)
class Course:
    """How a descent went.

    Attributes:
        steps: How many steps the schedule was made for.
        taken: How many were taken.
        losses: Log-loss of the pictures it is checked with: before, and after each epoch.
        best: Which of these was the smallest; the network is as it was then.
    """

    steps: int
    taken: int
    losses: tuple[float, ...]
    best: int


@dataclass(frozen=True, eq=False)
class Training:
    """What it takes to go down.

    Attributes:
        network: What learns.
        link: What makes probabilities of its logits.
        descent: Its steps.
        augmentation: What batches go through first.
        learned: This worker's pictures to learn from.
        checked: This worker's pictures to check with.
        workers: All that take part.
        seed: Of the order of the pictures.
        pictures: How many there are to learn from, over all workers.
    """

    network: OpenedNetwork
    link: Link
    descent: Descent
    augmentation: Augmentation
    learned: Exposure
    checked: Exposure
    workers: Workers
    seed: int
    pictures: int

    @property
    def batch(self) -> int:
        """Pictures of one step that are this worker's, as many for each of its replicas."""
        share = min(BATCH, self.pictures) // self.workers.count
        replicas = self.workers.replicas
        return max(1, share // replicas) * replicas

    @property
    def per_epoch(self) -> int:
        """Steps in which every picture is about once."""
        return max(1, round(self.pictures / (self.batch * self.workers.count)))

    def run(self, clock: Clock, planned: tuple[int, int] | None, on_progress: Reporter) -> Course:
        """Go down as far as time allows, and back to the best point.

        Args:
            clock: Says how much time there is.
            planned: Steps of the schedule and steps to take, where both are known beforehand.
            on_progress: Told after each step.
        """
        losses = [self.check()[0]]
        step, check = self._rehearse()
        if planned:
            steps, last = planned
        else:
            left = -self.workers.agree(-clock.left)
            steps = last = count_steps(self.per_epoch, left, step, check)
        best, kept = 0, self.network.read()
        late, taken = False, 0
        batches = self._deal()
        on_progress(Progress(stage=STAGE, step=0, total=last))
        while taken < last and not late and len(losses) - 1 - best < PATIENCE:
            is_late = not planned and clock.left <= check
            rate = schedule_rate(taken, steps)
            loss, late = self.descent.step(next(batches), rate, taken, is_late)
            taken += 1
            terms = {"learning rate": rate * RATE}
            if taken % self.per_epoch == 0 or taken == last or late:
                losses.append(self.check()[0])
                terms["log-loss of left-out pictures"] = losses[-1]
                if losses[-1] < losses[best]:
                    best, kept = len(losses) - 1, self.network.read()
            on_progress(Progress(stage=STAGE, step=taken, total=last, loss=loss, terms=terms))
        self.network.write(kept)
        return Course(steps, taken, tuple(losses), best)

    def check(self) -> tuple[float, Matrix, Matrix]:
        """Ask about the pictures to check with, those of all workers.

        Returns:
            The mean log-loss of a question in nats, the logits ``(n, C)`` and targets ``(n, C)``.
        """
        rows = np.arange(len(self.checked) * self.checked.views)
        described = [
            self.describe(self.checked.maps.take(some), self.checked.features.take(some))
            for some in np.array_split(rows, max(1, -(-len(rows) // BATCH)))
        ]
        vectors = np.concatenate(described).reshape(len(self.checked), self.checked.views, -1)
        answers = self.network.judge(tf.constant(vectors.mean(axis=1))).numpy()
        known = self.workers.join(np.hstack([answers, self.checked.targets]).astype(np.float64))
        logits, targets = np.hsplit(known, 2)
        return float(tf.reduce_mean(self.link.losses(targets, logits))), logits, targets

    @cached_property
    def describe(self) -> Callable[[Any, Any], Any]:
        """From rows at the border to the features that the head sees, compiled."""
        compiled: Callable[[Any, Any], Any] = tf.function(
            self.network.describe, autograph=False, reduce_retracing=True
        )
        return compiled

    def _rehearse(self) -> tuple[float, float]:
        """Seconds of a step and of a check, each done before, so that it is compiled.

        The rehearsal is part of every run, timed or not, as it takes from what is random.
        """
        batches = self._deal()
        seconds = 0.0
        for _ in range(2):
            began = time.perf_counter()
            self.descent.step(next(batches), 0.0, 0, False)
            seconds = time.perf_counter() - began
        self.descent.forget()
        began = time.perf_counter()
        self.check()
        return self.workers.agree(seconds), self.workers.agree(time.perf_counter() - began)

    def _deal(self) -> Iterator[Batch]:
        """Batches without end: each epoch in an order of its own, each picture in one view."""
        epoch = 0
        while True:
            random = np.random.default_rng([self.seed, epoch, self.workers.index])
            count = self.per_epoch * self.batch
            order = np.resize(random.permutation(len(self.learned)), count)
            views = random.integers(self.learned.views, size=count)
            for first in range(0, count, self.batch):
                some = slice(first, first + self.batch)
                yield self.augmentation(
                    *map(tf.constant, self.learned.take(order[some], views[some]))
                )
            epoch += 1
