"""The whole of the second stage: from a solved head to a network that learned, if it is better.

The head is solved anew on four fifths of the training images, and the last blocks go on
learning from there (LP-FT, Kumar et al. 2022); the other fifth says when to stop. Whether the
result is kept, the validation images decide, on which neither the head nor the blocks were
fitted.
"""

import time
from dataclasses import asdict, dataclass, replace
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.backbones.arithmetic import choose_arithmetic
from nstk.backbones.backbone import Backbone
from nstk.backbones.blocks import find_blocks
from nstk.backbones.variants import Precision
from nstk.features.extractor import FeatureExtractor
from nstk.features.networks import BLOCKS
from nstk.features.prefetching import BATCH
from nstk.features.sharding import extract_together
from nstk.features.workers import Workers
from nstk.finetuning.unfreezing.augmentation import REACHING_PIXELS, Augmentation
from nstk.finetuning.unfreezing.mcnemar import McNemarTest, mcnemar_test
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel, normalization_weights
from nstk.finetuning.unfreezing.planning import NOTHING, Deadline, Plan, choose_opening
from nstk.finetuning.unfreezing.precomputing import PrecomputedActivations, precompute_activations
from nstk.finetuning.unfreezing.resumption import descend, describe_run, recall_plan
from nstk.finetuning.unfreezing.training import History, Training
from nstk.finetuning.unfreezing.training_step import TrainingStep
from nstk.heads.calibration import calibrate
from nstk.heads.decisions import choose_decision
from nstk.heads.folds import Labels, assign_folds
from nstk.heads.head import Head, fit_head
from nstk.heads.links import SIGMOID
from nstk.heads.logistic import weigh
from nstk.heads.selection import Samples, Selection
from nstk.heads.splits import Splits
from nstk.progress import Reporter, no_progress
from nstk.settings import FinetuneSettings
from nstk.storage.checkpoints import CheckpointFolder, State

_FOLDS = 5


@dataclass(frozen=True)
class Skipped:
    """Why there was no second stage.

    Attributes:
        reason: One sentence.
    """

    reason: str


@dataclass(frozen=True, eq=False)
class SecondStage:
    """What came out of a second stage.

    Attributes:
        plan: What was done.
        course: How the descent went.
        backbone: The network as it was at the best point.
        selection: Its head, as sure as the images that it was checked with say it may be.
        pairing: The head alone and the network that learned, on the validation images.
        probe_accuracy: Share of these that the head alone recognized.
        finetuned_accuracy: Share of these that the network that learned recognized.
        splits: The images as the network that learned sees them; None where it is not kept.
        pinned: How many arrays of batch normalisations are bit for bit as they were: all.
        seconds: Wall time.
    """

    plan: Plan
    course: History
    backbone: Backbone
    selection: Selection
    pairing: McNemarTest
    probe_accuracy: float
    finetuned_accuracy: float
    splits: Splits | None
    pinned: int
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether the network that learned is better by more than luck explains."""
        return self.pairing.favors_second

    def describe(self) -> dict[str, Any]:
        """What it did and what came out, as plain JSON can say it."""
        return {
            **asdict(self.plan),
            "log_losses": list(self.course.losses),
            "best": self.course.best,
            **asdict(self.pairing),
            "probe_accuracy": self.probe_accuracy,
            "finetuned_accuracy": self.finetuned_accuracy,
            "p_value": self.pairing.p_value,
            "kept": "finetuned" if self.kept else "probe",
            "pinned": self.pinned,
            "backbone": self.backbone.digest,
            "head": self.selection.head.digest,
        }


def run_second_stage(
    observer: FeatureExtractor,
    selection: Selection,
    splits: Splits,
    settings: FinetuneSettings,
    *,
    clock: Deadline,
    workers: Workers,
    checkpoints: CheckpointFolder,
    plan: Plan | None = None,
    on_progress: Reporter = no_progress,
) -> SecondStage | Skipped:
    """Let the last blocks learn, and judge the result.

    Args:
        observer: The frozen network, its size and its views.
        selection: The head that was solved on all training images.
        splits: The images.
        settings: Its ``unfreeze``, ``augment``, ``balance`` and ``seed``.
        clock: Says how much time there is.
        workers: The processes that take part.
        checkpoints: Where the state is kept, and looked for.
        plan: What to do, where that is known from an earlier run.
        on_progress: Told about the stages ``"border"`` and ``"second stage"``.

    Raises:
        CheckpointError: If the checkpoints are another run's.
        OutputError: If feature maps cannot be kept on a full disk.
    """
    began = time.perf_counter()
    train, held_out = splits.samples["train"], splits.samples["validation"]
    folds = assign_folds(train.strata, _FOLDS, settings.seed, train.groups)
    if not len(held_out) or not (folds == 0).any():
        return Skipped(
            "There was no second stage: too few images are held out to judge it; add images."
        )
    if plan == NOTHING:
        return Skipped("There was no second stage, as in the run that is repeated.")
    state = checkpoints.find(describe_run(settings, observer.backbone, observer.size, splits, plan))
    if state:
        plan, clock = recall_plan(state), Deadline(None)
    if workers.all_reduce_max(-clock.left) >= 0:
        return Skipped("There was no second stage: the head alone took all of the time.")
    ground = _Ground(observer, selection, splits, settings, folds, workers, checkpoints)
    plan = plan or ground.plan(clock)
    clock = ground.reserve(clock)
    trained = ground.train(plan, clock, state, on_progress)
    if trained is None:
        return Skipped("There was no second stage: no time was left for a step of it.")
    course, backbone, learned = trained
    pinned = _check_pinned(observer.backbone, backbone)
    seen, known = ground.see(backbone, "validation")
    first = _recognize(selection, held_out.take(known))
    second = _recognize(learned, seen)
    pairing = mcnemar_test(first, second)
    return SecondStage(
        plan=replace(plan, steps=course.steps, taken=course.taken),
        course=course,
        backbone=backbone,
        selection=learned,
        pairing=pairing,
        probe_accuracy=float(first.mean()),
        finetuned_accuracy=float(second.mean()),
        splits=ground.see_all(backbone) if pairing.favors_second else None,
        pinned=pinned,
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True, eq=False)
class _Ground:
    """What a second stage stands on; see `run_second_stage`."""

    observer: FeatureExtractor
    selection: Selection
    splits: Splits
    settings: FinetuneSettings
    folds: Labels
    workers: Workers
    checkpoints: CheckpointFolder

    def plan(self, clock: Deadline) -> Plan:
        """Say what to do in the time that is left."""
        network = self.observer.backbone.model
        timed = clock.deadline is not None
        seconds = self.workers.all_reduce_max(self._seconds_per_image()) if timed else 0.0
        asked = self.settings.opening
        blocks, augmentation = choose_opening(
            asked or "auto",
            self.settings.augment,
            find_blocks(network),
            network,
            int((self.folds != 0).sum()),
            -self.workers.all_reduce_max(-clock.left),
            seconds,
        )
        return Plan(blocks, augmentation, self._choose_precision(), 0, 0)

    def reserve(self, clock: Deadline) -> Deadline:
        """Leave time for judging."""
        if clock.deadline is None:
            return clock
        asked = sum(map(len, self.splits.paths.values()))
        return Deadline(clock.deadline - asked * self._seconds_per_image())

    def train(
        self, plan: Plan, clock: Deadline, state: State | None, on_progress: Reporter
    ) -> tuple[History, Backbone, Selection] | None:
        """Learn; None if the time was over before the first step."""
        link = self.selection.head.link
        strategy, reaches = self.workers.strategy, plan.augmentation in REACHING_PIXELS
        backbone, features = self.observer.backbone, self.selection.features
        start = self._fit_start()
        with strategy.scope():
            network = PartiallyFrozenModel(backbone, plan.blocks, features, start, plan.precision)
        timed = plan.steps == 0
        seeing = clock if timed else Deadline(None)
        learned = self._expose(network, self.folds != 0, reaches, seeing, on_progress)
        checked = learned and self._expose(network, self.folds == 0, False, seeing, on_progress)
        if (
            self.workers.all_reduce_max(float(not learned or not checked))
            or not learned
            or not checked
        ):
            return None
        training = Training(
            network=network,
            link=link,
            training_step=TrainingStep(network, link, self.workers, reaches_pixels=reaches),
            augmentation=Augmentation(
                plan.augmentation,
                self.settings.seed + 100 * self.workers.index,
                even=0.5 if link == SIGMOID else 1 / learned.targets.shape[1],
            ),
            learned=learned,
            checked=checked,
            workers=self.workers,
            seed=self.settings.seed,
            images=int((self.folds != 0).sum()),
        )
        course = descend(training, plan, clock, self.checkpoints, state, on_progress)
        if not course.taken:
            return None
        _, logits, targets = training.check()
        backbone, (kernel, bias) = network.close()
        known = targets > 0
        head = replace(
            self.selection.head,
            kernel=kernel,
            bias=bias,
            held_out=np.full_like(self.selection.head.held_out, np.nan),
            decision=choose_decision(link, link.probabilities(logits), known),
        )
        calibration = calibrate(logits, known, decision=head.decision)
        return course, backbone, replace(self.selection, head=head, calibration=calibration)

    def see(self, backbone: Backbone, split: str) -> tuple[Samples, npt.NDArray[np.bool_]]:
        """Look at a part through another network.

        Returns:
            The images that can still be read, and which those are.
        """
        features = self.selection.features
        observer = replace(self.observer, backbone=backbone, blocks=BLOCKS[features])
        seen = extract_together(observer, self.splits.paths[split], self.workers)
        known = np.isin(np.arange(len(self.splits.paths[split])), seen.indices)
        samples = self.splits.samples[split].take(known)
        return replace(samples, vectors={features: seen.vectors(features)}), known

    def see_all(self, backbone: Backbone) -> Splits:
        """Look at all parts through another network."""
        samples, paths = {}, {}
        for split, files in self.splits.paths.items():
            samples[split], known = self.see(backbone, split)
            paths[split] = tuple(compress(files, known))
        return replace(self.splits, samples=samples, paths=paths)

    def _fit_start(self) -> Head:
        learned = self.folds != 0
        samples = self.splits.samples["train"].take(learned)
        return fit_head(
            samples.vectors[self.selection.features],
            samples.targets,
            self.settings.seed,
            link=self.selection.head.link,
            groups=samples.groups,
            balance=self.settings.balance,
        )

    def _expose(
        self,
        network: PartiallyFrozenModel,
        which: Any,
        keep_squares: bool,
        clock: Deadline,
        on_progress: Reporter,
    ) -> PrecomputedActivations | None:
        targets = self.splits.samples["train"].targets[which]
        weights = weigh(targets, self.selection.head.link, self.settings.balance)
        paths = self.splits.paths["train"]
        own = self.workers.share(np.flatnonzero(which))
        return precompute_activations(
            network,
            [paths[place] for place in own],
            self.workers.share(targets.astype(np.float32)),
            self.workers.share(weights.astype(np.float32)),
            self.observer.size,
            self.observer.views,
            keep_squares=keep_squares,
            clock=clock,
            on_progress=on_progress,
        )

    def _seconds_per_image(self) -> float:
        squares = np.zeros((BATCH, self.observer.size, self.observer.size, 3), np.float32)
        seconds = 0.0
        for _ in range(2):
            began = time.perf_counter()
            self.observer.describe(squares)
            seconds = time.perf_counter() - began
        return seconds * len(self.observer.views) / BATCH

    def _choose_precision(self) -> Precision:
        backbone = self.observer.backbone
        chosen = choose_arithmetic("auto", "direct", backbone, backbone.taps[-1:]).precision
        return "float32" if self.workers.all_reduce_max(float(chosen == "float32")) else "bfloat16"


def _recognize(selection: Selection, samples: Samples) -> npt.NDArray[np.bool_]:
    """Which images are given exactly their labels."""
    head = selection.head
    assigned = head.decision.assign(head.predict(samples.vectors[selection.features]))
    right: npt.NDArray[np.bool_] = (assigned == samples.targets).all(axis=1)
    return right


def _check_pinned(before: Backbone, after: Backbone) -> int:
    """Assert that batch normalization is bit for bit as it was; count its arrays."""
    pairs = list(
        zip(normalization_weights(before.model), normalization_weights(after.model), strict=True)
    )
    assert all(old.tobytes() == new.tobytes() for old, new in pairs), "batch normalization moved"
    return len(pairs)
