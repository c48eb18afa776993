"""Training of the last blocks: one resumable loop over activations that are computed once.

A checkpoint holds only what cannot be recomputed: activations, the initial head and the order of
the images are recomputed, but the plan is saved, as it depends on the clock and on the machine.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.errors import ImageError
from nstk.features.activation_store import ActivationStore
from nstk.features.crops import CropArray, crop_levels, needed_side
from nstk.features.extractor import BATCH_SIZE, FeatureExtractor
from nstk.features.prefetching import prefetch
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel
from nstk.finetuning.unfreezing.planning import Deadline, Plan, count_steps
from nstk.finetuning.unfreezing.step import (
    LEARNING_RATE,
    Augmentation,
    Batch,
    TrainingStep,
    schedule_rate,
)
from nstk.heads.links import SIGMOID
from nstk.progress import Progress, Reporter
from nstk.storage.checkpoints import CheckpointFolder, State
from nstk.types import Array, CompiledFunction, Matrix

BATCH = 32
"""Images per step, over all workers."""

PATIENCE = 10
"""Epochs without a better evaluation after which training stops."""


@dataclass(frozen=True, eq=False)
class Activations:
    """Inputs of the trainable part, one row for each of the views of each image.

    The maps are crops or maps at the split point; the features are those from below it. Targets
    are float32 ``(n, C)``, weights float32 ``(n, q)``.
    """

    maps: ActivationStore
    features: ActivationStore
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    views: int

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, images: npt.NDArray[np.integer], views: npt.NDArray[np.integer]) -> Batch:
        """One view each of some images; both arguments are ``(n,)``."""
        maps, features = self.rows(images * self.views + views)
        return maps, features, self.targets[images], self.weights[images]

    def rows(self, rows: npt.NDArray[np.integer]) -> tuple[Array, Array]:
        return self.maps.take_rows(rows).astype(np.float32), self.features.take_rows(rows)


def precompute(
    network: PartiallyFrozenModel | None,
    extractor: FeatureExtractor,
    paths: Sequence[Path],
    labels: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    deadline: Deadline,
    on_progress: Reporter,
) -> Activations | None:
    """Run the frozen part once over images; without a network, keep their crops.

    Files that have become unreadable are left out. None after the deadline.
    """
    compute = tf.function(network.activations, autograph=False) if network else _keep_crops
    views, total, dtype = len(extractor.crops), len(paths), np.float32 if network else np.float16
    stores: list[ActivationStore] = []
    known: list[int] = []
    waiting: list[CropArray] = []
    on_progress(Progress(stage="activations", step=0, total=total))
    read = partial(_read_crops, extractor)
    for index, crops in enumerate(prefetch(paths, read, ahead=2 * BATCH_SIZE)):
        if crops is not None:
            known.append(index)
            waiting.append(crops)
        if not waiting or (len(waiting) * views < BATCH_SIZE and index + 1 < total):
            continue
        if deadline.remaining <= 0:
            return None
        computed = [np.asarray(each) for each in compute(np.concatenate(waiting))]
        if not stores:
            stores = [
                ActivationStore(total * views, rows.shape[1:], kind)
                for rows, kind in zip(computed, (dtype, np.float32), strict=True)
            ]
        for store, rows in zip(stores, computed, strict=True):
            store.write(rows)
        waiting = []
        on_progress(Progress(stage="activations", step=index + 1, total=total))
    if not stores:
        return None
    targets, weights = (each[known] for each in labels)
    maps, features = stores
    return Activations(maps, features, targets, weights, views)


def _keep_crops(crops: CropArray) -> tuple[CropArray, npt.NDArray[np.float32]]:
    return crops, np.zeros((len(crops), 0), np.float32)


def _read_crops(extractor: FeatureExtractor, path: Path) -> CropArray | None:
    try:
        levels = extractor.reader.load_levels(path, needed_side(extractor.size))
        return crop_levels(levels, extractor.size, extractor.crops)
    except ImageError:
        return None


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
        workers, link = step.workers, step.link
        self.step, self.plan, self.train, self.held_out = step, plan, train, held_out
        uniform = 0.5 if link == SIGMOID else 1 / train.targets.shape[1]
        self.augmentation = Augmentation(plan.augmentation, seed + 100 * workers.index, uniform)
        share = min(BATCH, images) // workers.count
        self._batch_size = max(1, share // workers.replicas) * workers.replicas
        self._per_epoch = max(1, round(images / (self._batch_size * workers.count)))
        self._seed, self._link, self._reserve = seed, link, 0.0
        self.completed, self.best = 0, 0
        self.log_losses: list[float] = []
        self._best_weights: list[Array] = []

    def start(self, deadline: Deadline) -> None:
        """Evaluate the initial weights, and count the steps unless they are planned."""
        self.log_losses = [self.evaluate()[0]]
        self._best_weights = self.step.network.get_weights()
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
        while self.completed < self.plan.taken and self._patience > 0:
            with checkpoints.uninterrupted():
                event = self._advance(next(batches), deadline.remaining <= self._reserve)
                on_step()
            on_progress(event)
        self.step.network.set_weights(self._best_weights)
        self.plan = replace(self.plan, taken=self.completed)

    def evaluate(self) -> tuple[float, Matrix, Matrix]:
        """Mean log-loss, logits and targets ``(n, C)`` of the held-out images of all workers."""
        images, network = self.held_out, self.step.network
        rows = np.arange(len(images) * images.views)
        features = [
            self._features(*images.rows(some))
            for some in np.array_split(rows, max(1, -(-len(rows) // BATCH)))
        ]
        vectors = np.concatenate(features).reshape(len(images), images.views, -1)
        outputs = network.logits(tf.constant(vectors.mean(axis=1))).numpy()
        known = np.hstack([outputs, images.targets]).astype(np.float64)
        logits, targets = np.hsplit(self.step.workers.gather_rows(known), 2)
        return float(self._link.losses(targets, logits).mean()), logits, targets

    def capture(self) -> State:
        lists = self._lists() | {"losses": [np.array(self.log_losses, np.float64)]}
        arrays = {
            f"{name}/{n}": array for name, some in lists.items() for n, array in enumerate(some)
        }
        facts = {"plan": asdict(self.plan), "taken": self.completed, "best": self.best}
        return State(facts, arrays)

    def restore(self, state: State) -> None:
        self._best_weights = self.step.network.get_weights()
        lists = {
            name: [_fitting(state.arrays[f"{name}/{n}"], array) for n, array in enumerate(some)]
            for name, some in self._lists().items()
        }
        self.step.network.set_weights(lists["network"])
        self.step.set_state(lists["moments"])
        self.augmentation.set_state(lists["random"])
        self._best_weights = lists["best"]
        self.log_losses = [float(loss) for loss in state.arrays["losses/0"]]
        self.completed, self.best = int(state.facts["taken"]), int(state.facts["best"])
        if not 0 <= self.completed <= self.plan.taken <= self.plan.steps:
            raise ValueError("its steps are inconsistent")
        if not 0 <= self.best < len(self.log_losses):
            raise ValueError("its best state is missing")

    def _lists(self) -> dict[str, Sequence[Array]]:
        return {
            "network": self.step.network.get_weights(),
            "moments": self.step.get_state(),
            "random": self.augmentation.get_state(),
            "best": self._best_weights,
        }

    @property
    def _patience(self) -> int:
        return PATIENCE - (len(self.log_losses) - 1 - self.best)

    @cached_property
    def _features(self) -> CompiledFunction:
        features = self.step.network.features
        return tf.function(features, autograph=False, reduce_retracing=True)

    def _advance(self, batch: Batch, is_late: bool) -> Progress:
        """Take one step; evaluate at the end of an epoch and at the end of training."""
        rate, total = schedule_rate(self.completed, self.plan.steps), self.plan.taken
        loss, late = self.step(batch, rate, self.completed, is_late)
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
            self.step(next(batches), 0.0, 0, False)
            seconds = time.perf_counter() - began
        self.step.reset()
        began = time.perf_counter()
        self.evaluate()
        reduce = self.step.workers.all_reduce_max
        return reduce(seconds), reduce(time.perf_counter() - began)

    def _batches(self, taken: int) -> Iterator[Batch]:
        """Endless batches: each epoch in its own order, each image in one random view."""
        count = self._per_epoch * self._batch_size
        for epoch in itertools.count(taken // self._per_epoch):
            random = np.random.default_rng([self._seed, epoch, self.step.workers.index])
            order = np.resize(random.permutation(len(self.train)), count)
            views = random.integers(self.train.views, size=count)
            skipped = taken % self._per_epoch if epoch == taken // self._per_epoch else 0
            for first in range(skipped * self._batch_size, count, self._batch_size):
                some = slice(first, first + self._batch_size)
                batch = self.train.batch(order[some], views[some])
                yield self.augmentation(*map(tf.constant, batch))


def _fitting(array: Array, expected: Array) -> Array:
    if array.shape != expected.shape or array.dtype != expected.dtype:
        raise ValueError(f"an array is {array.dtype} of shape {array.shape}")
    return array
