"""Training of the last blocks: one resumable loop over activations that are computed once.

A checkpoint holds only what cannot be recomputed: activations, the initial head and the order of
the images are recomputed, but the plan is saved, as it depends on the clock and on the machine.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from math import cos, pi

import keras
import numpy as np
import tensorflow as tf

from nstk.features.workers import Workers
from nstk.finetuning.unfreezing.activations import Activations
from nstk.finetuning.unfreezing.augmentation import Augmentation, Batch
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel
from nstk.finetuning.unfreezing.planning import Deadline, Plan, count_steps
from nstk.heads.links import SIGMOID, Link
from nstk.optimizers.adam import AdamState, update
from nstk.progress import Progress, Reporter
from nstk.storage.checkpoints import CheckpointFolder, State
from nstk.types import Array, CompiledFunction, Matrix, Tensor, Variable

BATCH = 32
"""Images per step, over all workers."""

PATIENCE = 10
"""Epochs without a better evaluation after which training stops."""

LEARNING_RATE = 3e-5
"""Peak learning rate of the head."""

DECAY = 0.8
"""Factor on the learning rate from each block to the one before it."""

L2_SP = 0.1
"""α of L2-SP: the loss has ½·α·‖w − w⁰‖², with pretrained weights w⁰ (Li et al. 2018)."""

_WARM_UP = 0.1
_EPSILON = 1e-8
_BETAS = 0.9, 0.999


def schedule_rate(step: int, steps: int) -> float:
    """The share of `LEARNING_RATE` at a step: linear warm-up, then cosine decay to 0."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return (1 + cos(pi * (step - warm) / max(1, steps - warm))) / 2


class TrainingStep:
    """The compiled step, the same in all replicas, and its Adam moments."""

    def __init__(
        self, network: PartiallyFrozenModel, link: Link, workers: Workers, *, from_pixels: bool
    ) -> None:
        self.network, self.link, self.workers = network, link, workers
        self._from_pixels = from_pixels
        self._variables = [variable.value for variable in network.variables]
        self.rates = [DECAY**depth for depth, group in enumerate(network.groups) for _ in group]
        with workers.strategy.scope():
            self._first, self._second, self._start = (
                [tf.Variable(make(each), trainable=False) for each in self._variables]
                for make in (tf.zeros_like, tf.zeros_like, tf.convert_to_tensor)
            )
        self.moments = [*self._first, *self._second]
        self._compiled = tf.function(self._apply, autograph=False)

    def __call__(self, batch: Batch, rate: float, count: int) -> float:
        rows = tuple(map(self._distribute, batch))
        counted = tf.constant(rate, tf.float32), tf.constant(count, tf.float32)
        return float(self._compiled(rows, *counted))

    def _distribute(self, rows: Tensor) -> Tensor:
        """Split rows over the replicas of this process."""
        replicas = self.workers.replicas

        def rows_of(context: tf.distribute.experimental.ValueContext) -> Tensor:
            index = context.replica_id_in_sync_group % replicas
            return tf.convert_to_tensor(rows[index::replicas])

        return self.workers.strategy.experimental_distribute_values_from_function(rows_of)

    def _apply(self, batch: Batch, rate: Tensor, count: Tensor) -> Tensor:
        strategy = self.workers.strategy
        losses, sizes, gradients = strategy.run(self._differentiate, args=(batch,))
        size = strategy.reduce("SUM", sizes, axis=None)
        for index, variable in enumerate(self._variables):
            gradient = strategy.reduce("SUM", gradients[index], axis=None) / size
            gradient += L2_SP * (variable - self._start[index])
            moments = AdamState(count, self._first[index], self._second[index])
            change, moments = update(
                gradient, moments, rate * LEARNING_RATE * self.rates[index], *_BETAS, _EPSILON
            )
            variable.assign(variable + change)
            self._first[index].assign(moments.first)
            self._second[index].assign(moments.second)
        return strategy.reduce("SUM", losses, axis=None) / size

    def _differentiate(self, batch: Batch) -> tuple[Tensor, Tensor, list[Tensor]]:
        maps, features, targets, weights = batch
        if self._from_pixels:
            maps, features = self.network.activations(maps)
        with tf.GradientTape() as tape:
            logits = self.network.logits(self.network.features(maps, features))
            loss = tf.reduce_sum(weights * self.link.cross_entropy(targets, logits))
        size = tf.cast(tf.shape(targets)[0], tf.float32)
        return loss, size, tape.gradient(loss, self._variables)


class Training:
    """The loop: seeded order, an evaluation after every epoch, the best weights kept.

    ``train`` and ``held_out`` are this worker's data, ``images`` the number of training images of
    all workers. The plan's steps are those of the schedule; its ``taken`` is how many are to be
    taken. ``log_losses`` are those of the held-out images, before training and after each epoch.
    """

    def __init__(
        self,
        step: TrainingStep,
        plan: Plan,
        train: Activations,
        held_out: Activations,
        seed: int,
        images: int,
    ) -> None:
        workers = step.workers
        self.step, self.plan, self.train, self.held_out = step, plan, train, held_out
        uniform = 0.5 if step.link == SIGMOID else 1 / train.targets.shape[1]
        self._augment = Augmentation(plan.augmentation, seed + 100 * workers.index, uniform)
        share = min(BATCH, images) // workers.count
        self._batch_size = max(1, share // workers.replicas) * workers.replicas
        self._per_epoch = max(1, round(images / (self._batch_size * workers.count)))
        self._seed, self._reserve = seed, 0.0
        self.completed, self.best = 0, 0
        self.log_losses: list[float] = []
        self._best_weights = step.network.get_weights()

    def start(self, deadline: Deadline) -> None:
        """Evaluate the initial weights, and count the steps unless they are planned."""
        self.log_losses = [self.evaluate()[0]]
        seconds, self._reserve = self._warm_up()
        if not self.plan.steps:
            remaining = -self.step.workers.all_reduce_max(-deadline.remaining)
            steps = count_steps(self._per_epoch, remaining, seconds, self._reserve)
            self.plan = replace(self.plan, steps=steps, taken=steps)

    def run(
        self,
        deadline: Deadline,
        on_progress: Reporter,
        checkpoints: CheckpointFolder,
        on_step: Callable[[], None],
    ) -> None:
        """Train until the deadline at most, then restore the best weights."""
        batches = self._batches(self.completed)
        on_progress(Progress(stage="second stage", step=self.completed, total=self.plan.taken))
        while self.completed < self.plan.taken and len(self.log_losses) - 1 - self.best < PATIENCE:
            with checkpoints.uninterrupted():
                event = self._advance(next(batches), deadline)
                on_step()
            on_progress(event)
        self.step.network.set_weights(self._best_weights)
        self.plan = replace(self.plan, taken=self.completed)

    def evaluate(self) -> tuple[float, Matrix, Matrix]:
        """Mean log-loss, logits and targets ``(n, C)`` of the held-out images of all workers."""
        images, step = self.held_out, self.step
        rows = np.arange(len(images.targets) * images.views)
        features = [
            self._features(*images.rows(some))
            for some in np.array_split(rows, max(1, -(-len(rows) // BATCH)))
        ]
        vectors = np.concatenate(features).reshape(len(images.targets), images.views, -1)
        outputs = step.network.logits(tf.constant(vectors.mean(axis=1))).numpy()
        known = np.hstack([outputs, images.targets]).astype(np.float64)
        logits, targets = np.hsplit(step.workers.gather_rows(known), 2)
        return float(step.link.losses(targets, logits).mean()), logits, targets

    def capture(self) -> State:
        arrays = {
            name: keras.ops.convert_to_numpy(variable) for name, variable in self._variables.items()
        }
        arrays |= _number("best", self._best_weights)
        arrays["losses/0"] = np.array(self.log_losses, np.float64)
        facts = {"plan": asdict(self.plan), "taken": self.completed, "best": self.best}
        return State(facts, arrays)

    def restore(self, state: State) -> None:
        known = {
            name: keras.ops.convert_to_numpy(variable) for name, variable in self._variables.items()
        }
        known |= _number("best", self._best_weights)
        for name, array in known.items():
            found = state.arrays[name]
            if found.shape != array.shape or found.dtype != array.dtype:
                raise ValueError(f"an array is {found.dtype} of shape {found.shape}")
        for name, variable in self._variables.items():
            variable.assign(state.arrays[name])
        self._best_weights = [state.arrays[name] for name in _number("best", self._best_weights)]
        self.log_losses = [float(loss) for loss in state.arrays["losses/0"]]
        self.completed, self.best = int(state.facts["taken"]), int(state.facts["best"])
        if not 0 <= self.completed <= self.plan.taken <= self.plan.steps:
            raise ValueError("its steps are inconsistent")
        if not 0 <= self.best < len(self.log_losses):
            raise ValueError("its best state is missing")

    @property
    def _variables(self) -> dict[str, Variable]:
        """All that training changes, by the name in checkpoints."""
        return {
            **_number("network", self.step.network.variables),
            **_number("moments", self.step.moments),
            **_number("random", self._augment.generators),
        }

    @cached_property
    def _features(self) -> CompiledFunction:
        features = self.step.network.features
        return tf.function(features, autograph=False, reduce_retracing=True)

    def _advance(self, batch: Batch, deadline: Deadline) -> Progress:
        """Take one step; evaluate at the end of an epoch and at the end of training."""
        late = self.step.workers.all_reduce_max(self._reserve - deadline.remaining) >= 0
        rate, total = schedule_rate(self.completed, self.plan.steps), self.plan.taken
        loss = self.step(batch, rate, self.completed)
        self.completed += 1
        terms = {"learning rate": rate * LEARNING_RATE}
        if late:
            self.plan = replace(self.plan, taken=self.completed)
        if self.completed % self._per_epoch == 0 or self.completed == self.plan.taken:
            self.log_losses.append(self.evaluate()[0])
            terms["validation log-loss"] = self.log_losses[-1]
            if self.log_losses[-1] < self.log_losses[self.best]:
                self.best = len(self.log_losses) - 1
                self._best_weights = self.step.network.get_weights()
        stage = "second stage"
        return Progress(stage=stage, step=self.completed, total=total, loss=loss, terms=terms)

    def _warm_up(self) -> tuple[float, float]:
        """Measure the seconds of a step and of an evaluation, once both are compiled.

        Every run does this, with or without a deadline, as it advances the random generators.
        """
        batches = self._batches(0)
        seconds = 0.0
        for _ in range(2):
            began = time.perf_counter()
            self.step(next(batches), 0.0, 0)
            seconds = time.perf_counter() - began
        for moment in self.step.moments:
            moment.assign(tf.zeros_like(moment))
        began = time.perf_counter()
        self.evaluate()
        reduce = self.step.workers.all_reduce_max
        return reduce(seconds), reduce(time.perf_counter() - began)

    def _batches(self, taken: int) -> Iterator[Batch]:
        """Endless batches: each epoch in its own order, each image in one random view."""
        count = self._per_epoch * self._batch_size
        for epoch in itertools.count(taken // self._per_epoch):
            random = np.random.default_rng([self._seed, epoch, self.step.workers.index])
            order = np.resize(random.permutation(len(self.train.targets)), count)
            views = random.integers(self.train.views, size=count)
            skipped = taken % self._per_epoch if epoch == taken // self._per_epoch else 0
            for first in range(skipped * self._batch_size, count, self._batch_size):
                some = slice(first, first + self._batch_size)
                batch = self.train.batch(order[some], views[some])
                yield self._augment(*map(tf.constant, batch))


def _number(name: str, values: Sequence[Array | Variable]) -> dict[str, Array | Variable]:
    return {f"{name}/{number}": value for number, value in enumerate(values)}
