"""The loop: steps in a seeded order, a check after every epoch, the best point kept."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.features.workers import Workers
from nstk.finetuning.unfreezing.augmentation import Augmentation, Batch
from nstk.finetuning.unfreezing.model import Arrays, PartiallyFrozenModel
from nstk.finetuning.unfreezing.planning import Deadline, count_steps
from nstk.finetuning.unfreezing.precomputing import PrecomputedActivations
from nstk.finetuning.unfreezing.training_step import RATE, TrainingStep, schedule_rate
from nstk.heads.links import Link, Matrix
from nstk.progress import Progress, Reporter

STAGE = "second stage"

BATCH = 32
"""Images of one step, over all workers."""

PATIENCE = 10
"""How many epochs without a better check end the descent."""


@dataclass(frozen=True)
class History:
    """How a descent went.

    Attributes:
        steps: How many steps the schedule was made for.
        taken: How many were taken.
        losses: Log-loss of the images it is checked with: before, and after each epoch.
        best: Which of these was the smallest; the network is as it was then.
    """

    steps: int
    taken: int
    losses: tuple[float, ...]
    best: int


@dataclass(eq=False)
class TrainingState:
    """Where a descent stands, apart from what its parts remember themselves.

    Attributes:
        steps: How many steps the schedule is made for.
        last: How many are to be taken.
        taken: How many were taken.
        losses: See `History`.
        best: See `History`.
        kept: The network as it was at the best point.
        reserve: Seconds that must be left for a check.
    """

    steps: int
    last: int
    taken: int
    losses: list[float]
    best: int
    kept: Arrays
    reserve: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do, or nothing better has come for long."""
        return self.taken >= self.last or len(self.losses) - 1 - self.best >= PATIENCE


Keep = Callable[[TrainingState], None]
"""Told after every step, when everything stands still."""


@dataclass(frozen=True, eq=False)
class Training:
    """What it takes to go down.

    Attributes:
        network: What learns.
        link: What makes probabilities of its logits.
        descent: Its steps.
        augmentation: What batches go through first.
        learned: This worker's images to learn from.
        checked: This worker's images to check with.
        workers: All that take part.
        seed: Of the order of the images.
        images: How many there are to learn from, over all workers.
    """

    network: PartiallyFrozenModel
    link: Link
    training_step: TrainingStep
    augmentation: Augmentation
    learned: PrecomputedActivations
    checked: PrecomputedActivations
    workers: Workers
    seed: int
    images: int

    @property
    def batch(self) -> int:
        """Images of one step that are this worker's, as many for each of its replicas."""
        share = min(BATCH, self.images) // self.workers.count
        replicas = self.workers.replicas
        return max(1, share // replicas) * replicas

    @property
    def per_epoch(self) -> int:
        """Steps in which every image is about once."""
        return max(1, round(self.images / (self.batch * self.workers.count)))

    def begin(self, clock: Deadline, planned: tuple[int, int] | None) -> TrainingState:
        """Look where the descent starts, and how many steps it may take.

        Args:
            clock: Says how much time there is.
            planned: Steps of the schedule and steps to take, where both are known beforehand.
        """
        loss = self.check()[0]
        step, check = self._warm_up()
        if planned:
            steps, last = planned
        else:
            left = -self.workers.all_reduce_max(-clock.left)
            steps = last = count_steps(self.per_epoch, left, step, check)
        return TrainingState(steps, last, 0, [loss], 0, self.network.read(), check)

    def run(
        self,
        standing: TrainingState,
        clock: Deadline,
        on_progress: Reporter,
        *,
        keep: Keep = lambda standing: None,
        whole: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> History:
        """Go down as far as time allows, and back to the best point.

        Args:
            standing: From where; it goes along.
            clock: Says how much time there is.
            on_progress: Told after each step.
            keep: Told after each step, before `on_progress` is.
            whole: Put around each step, for which everything moves at once.
        """
        batches = self._deal(standing.taken)
        on_progress(Progress(stage=STAGE, step=standing.taken, total=standing.last))
        while not standing.is_over:
            with whole():
                event = self._advance(standing, batches, clock.left <= standing.reserve)
                keep(standing)
            on_progress(event)
        self.network.write(standing.kept)
        return History(standing.steps, standing.taken, tuple(standing.losses), standing.best)

    def check(self) -> tuple[float, Matrix, Matrix]:
        """Ask about the images to check with, those of all workers.

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
        return float(self.link.losses(targets, logits).mean()), logits, targets

    @cached_property
    def describe(self) -> Callable[[Any, Any], Any]:
        """From rows at the border to the features that the head sees, compiled."""
        compiled: Callable[[Any, Any], Any] = tf.function(
            self.network.describe, autograph=False, reduce_retracing=True
        )
        return compiled

    def _advance(
        self, standing: TrainingState, batches: Iterator[Batch], is_late: bool
    ) -> Progress:
        """Take one step, and look where it led where an epoch or the descent ends with it."""
        rate, total = schedule_rate(standing.taken, standing.steps), standing.last
        loss, late = self.training_step.step(next(batches), rate, standing.taken, is_late)
        standing.taken += 1
        terms = {"learning rate": rate * RATE}
        if late:
            standing.last = standing.taken
        if standing.taken % self.per_epoch == 0 or standing.taken == standing.last:
            standing.losses.append(self.check()[0])
            terms["log-loss of left-out images"] = standing.losses[-1]
            if standing.losses[-1] < standing.losses[standing.best]:
                standing.best, standing.kept = len(standing.losses) - 1, self.network.read()
        return Progress(stage=STAGE, step=standing.taken, total=total, loss=loss, terms=terms)

    def _warm_up(self) -> tuple[float, float]:
        """Seconds of a step and of a check, each done before, so that it is compiled.

        The rehearsal is part of every run, timed or not, as it takes from what is random.
        """
        batches = self._deal(0)
        seconds = 0.0
        for _ in range(2):
            began = time.perf_counter()
            self.training_step.step(next(batches), 0.0, 0, False)
            seconds = time.perf_counter() - began
        self.training_step.forget()
        began = time.perf_counter()
        self.check()
        return self.workers.all_reduce_max(seconds), self.workers.all_reduce_max(
            time.perf_counter() - began
        )

    def _deal(self, taken: int) -> Iterator[Batch]:
        """Batches without end: each epoch in an order of its own, each image in one view.

        Args:
            taken: How many batches of the first epochs are left out.
        """
        count = self.per_epoch * self.batch
        for epoch in itertools.count(taken // self.per_epoch):
            random = np.random.default_rng([self.seed, epoch, self.workers.index])
            order = np.resize(random.permutation(len(self.learned)), count)
            views = random.integers(self.learned.views, size=count)
            known = taken % self.per_epoch if epoch == taken // self.per_epoch else 0
            for first in range(known * self.batch, count, self.batch):
                some = slice(first, first + self.batch)
                yield self.augmentation(
                    *map(tf.constant, self.learned.take(order[some], views[some]))
                )
