"""The training loop: seeded order, an evaluation after every epoch, the best weights kept."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import tensorflow as tf

from nstk.finetuning.unfreezing.activations import PrecomputedActivations
from nstk.finetuning.unfreezing.augmentation import Augmentation, Batch
from nstk.finetuning.unfreezing.model import Arrays
from nstk.finetuning.unfreezing.planning import Deadline, count_steps
from nstk.finetuning.unfreezing.step import LEARNING_RATE, TrainingStep, schedule_rate
from nstk.progress import Progress, Reporter
from nstk.types import CompiledFunction, Matrix

STAGE = "second stage"

BATCH = 32
"""Images per step, over all workers."""

PATIENCE = 10
"""Epochs without a better evaluation after which training stops."""


@dataclass(frozen=True)
class History:
    """How training went.

    Attributes:
        steps: Steps of the learning-rate schedule.
        taken: Steps taken.
        losses: Log-loss of the evaluation images, before training and after each epoch.
        best: Index of the smallest loss, whose weights are kept.
    """

    steps: int
    taken: int
    losses: tuple[float, ...]
    best: int


@dataclass(eq=False)
class TrainingState:
    """A `History` in the making; ``last`` steps are to be taken, ``reserve`` seconds are kept."""

    steps: int = 0
    last: int = 0
    taken: int = 0
    losses: list[float] = field(default_factory=list)
    best: int = 0
    best_weights: Arrays = field(default_factory=list)
    reserve: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether all steps are taken or patience has run out."""
        return self.taken >= self.last or len(self.losses) - 1 - self.best >= PATIENCE


@dataclass(frozen=True, eq=False)
class Training:
    """Step, augmentation and this worker's data, with the number of images of all workers."""

    step: TrainingStep
    augmentation: Augmentation
    train: PrecomputedActivations
    held_out: PrecomputedActivations
    seed: int
    images: int

    @property
    def batch_size(self) -> int:
        """Images per step of this worker, the same number for each of its replicas."""
        workers = self.step.workers
        share = min(BATCH, self.images) // workers.count
        return max(1, share // workers.replicas) * workers.replicas

    @property
    def per_epoch(self) -> int:
        """Steps per epoch."""
        return max(1, round(self.images / (self.batch_size * self.step.workers.count)))

    def start(self, deadline: Deadline, planned: tuple[int, int] | None) -> TrainingState:
        """Evaluate the initial weights and count the steps."""
        loss = self.evaluate()[0]
        step, check = self._warm_up()
        if planned:
            steps, last = planned
        else:
            remaining = -self.step.workers.all_reduce_max(-deadline.remaining)
            steps = last = count_steps(self.per_epoch, remaining, step, check)
        return TrainingState(steps, last, 0, [loss], 0, self.step.network.get_weights(), check)

    def run(
        self,
        state: TrainingState,
        deadline: Deadline,
        on_progress: Reporter,
        *,
        on_step: Callable[[], None] = lambda: None,
        uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> History:
        """Train until the deadline at most, then restore the best weights.

        Args:
            state: Where to start; updated in place.
            deadline: The end of the time budget.
            on_progress: Called after each step.
            on_step: Called before it.
            uninterrupted: A context for each step, during which the state is inconsistent.
        """
        batches = self._batches(state.taken)
        on_progress(Progress(stage=STAGE, step=state.taken, total=state.last))
        while not state.is_over:
            with uninterrupted():
                event = self._advance(state, batches, deadline.remaining <= state.reserve)
                on_step()
            on_progress(event)
        self.step.network.set_weights(state.best_weights)
        return History(state.steps, state.taken, tuple(state.losses), state.best)

    def evaluate(self) -> tuple[float, Matrix, Matrix]:
        """Evaluate on the held-out images of all workers.

        Returns:
            The mean log-loss in nats, the logits ``(n, C)`` and the targets ``(n, C)``.
        """
        images, network = self.held_out, self.step.network
        rows = np.arange(len(images) * images.views)
        features = [
            self._features(images.maps.take_rows(some), images.features.take_rows(some))
            for some in np.array_split(rows, max(1, -(-len(rows) // BATCH)))
        ]
        vectors = np.concatenate(features).reshape(len(images), images.views, -1)
        outputs = network.logits(tf.constant(vectors.mean(axis=1))).numpy()
        known = np.hstack([outputs, images.targets]).astype(np.float64)
        logits, targets = np.hsplit(self.step.workers.gather_rows(known), 2)
        return float(self.step.link.losses(targets, logits).mean()), logits, targets

    @cached_property
    def _features(self) -> CompiledFunction:
        features = self.step.network.features
        return tf.function(features, autograph=False, reduce_retracing=True)

    def _advance(self, state: TrainingState, batches: Iterator[Batch], is_late: bool) -> Progress:
        """Take one step; evaluate at the end of an epoch and at the end of training."""
        rate, total = schedule_rate(state.taken, state.steps), state.last
        loss, late = self.step(next(batches), rate, state.taken, is_late)
        state.taken += 1
        terms = {"learning rate": rate * LEARNING_RATE}
        if late:
            state.last = state.taken
        if state.taken % self.per_epoch == 0 or state.taken == state.last:
            state.losses.append(self.evaluate()[0])
            terms["validation log-loss"] = state.losses[-1]
            if state.losses[-1] < state.losses[state.best]:
                state.best = len(state.losses) - 1
                state.best_weights = self.step.network.get_weights()
        return Progress(stage=STAGE, step=state.taken, total=total, loss=loss, terms=terms)

    def _warm_up(self) -> tuple[float, float]:
        """Measure the seconds of a step and of an evaluation, once both are compiled.

        Every run does this, with or without a deadline, as it advances the random generators.
        """
        batches = self._batches(0)
        seconds = 0.0
        for _ in range(2):
            began = time.perf_counter()
            self.step(next(batches), 0.0, 0, False)
            seconds = time.perf_counter() - began
        self.step.reset()
        began = time.perf_counter()
        self.evaluate()
        reduce = self.step.workers.all_reduce_max
        return reduce(seconds), reduce(time.perf_counter() - began)

    def _batches(self, taken: int) -> Iterator[Batch]:
        """Endless batches: each epoch in its own order, each image in one random view."""
        count = self.per_epoch * self.batch_size
        for epoch in itertools.count(taken // self.per_epoch):
            random = np.random.default_rng([self.seed, epoch, self.step.workers.index])
            order = np.resize(random.permutation(len(self.train)), count)
            views = random.integers(self.train.views, size=count)
            skipped = taken % self.per_epoch if epoch == taken // self.per_epoch else 0
            for first in range(skipped * self.batch_size, count, self.batch_size):
                some = slice(first, first + self.batch_size)
                batch = self.train.batch(order[some], views[some])
                yield self.augmentation(*map(tf.constant, batch))
