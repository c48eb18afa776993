"""Unfreezing as a whole: from a solved head to a fine-tuned network, if that is better.

The head is solved again on four fifths of the training images, and the last blocks are trained
from there (LP-FT, Kumar et al. 2022); the remaining fifth decides when to stop. The validation
images, which neither stage was fitted on, decide whether the result is kept.
"""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress

import numpy as np
import numpy.typing as npt

from nstk.backbones.arithmetic import choose_precision
from nstk.backbones.backbone import Backbone
from nstk.backbones.blocks import find_blocks
from nstk.backbones.variants import Precision
from nstk.features.extractor import BATCH_SIZE, FeatureExtractor
from nstk.features.networks import BLOCKS
from nstk.features.workers import Workers, extract_features_sharded
from nstk.finetuning.unfreezing.activations import (
    LabeledPaths,
    PrecomputedActivations,
    precompute_activations,
)
from nstk.finetuning.unfreezing.augmentation import PIXEL_RECIPES, Augmentation
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel, normalization_weights
from nstk.finetuning.unfreezing.planning import NO_UNFREEZING, Deadline, Plan, choose_depth
from nstk.finetuning.unfreezing.result import McNemarTest, SecondStage, Skipped
from nstk.finetuning.unfreezing.resumption import ResumableTraining, identify_run, read_plan
from nstk.finetuning.unfreezing.step import TrainingStep
from nstk.finetuning.unfreezing.training import History, Training, TrainingState
from nstk.heads.calibration import calibrate
from nstk.heads.decisions import choose_decision
from nstk.heads.folds import assign_folds
from nstk.heads.head import Head, fit_head
from nstk.heads.links import SIGMOID
from nstk.heads.logistic import sample_weights
from nstk.heads.selection import Samples, Selection
from nstk.heads.splits import Splits
from nstk.progress import Reporter, no_progress
from nstk.settings import FinetuneSettings
from nstk.storage.checkpoints import CheckpointFolder, State
from nstk.types import Labels

_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Unfreezing:
    """Trains the last blocks of a network, starting from a solved head.

    Attributes:
        extractor: The pretrained network, its size and its views.
        selection: The head that was solved on all training images.
        splits: The images.
        settings: ``unfreeze``, ``augment``, ``balance`` and ``seed`` are used.
        workers: The processes that take part.
        checkpoints: Where the state is saved and restored from.
    """

    extractor: FeatureExtractor
    selection: Selection
    splits: Splits
    settings: FinetuneSettings
    workers: Workers
    checkpoints: CheckpointFolder

    def run(
        self, deadline: Deadline, plan: Plan | None = None, on_progress: Reporter = no_progress
    ) -> SecondStage | Skipped:
        """Train the last blocks and compare the result with the head alone.

        Args:
            deadline: The end of the time budget.
            plan: The plan of an earlier run, to repeat it.
            on_progress: Called for the stages ``"activations"`` and ``"second stage"``.

        Raises:
            CheckpointError: If the checkpoints are another run's.
            OutputError: If activations do not fit on the disk.
        """
        began = time.perf_counter()
        extractor, splits = self.extractor, self.splits
        held_out = splits.samples["validation"]
        if not len(held_out) or not (self._folds == 0).any():
            return Skipped("Unfreezing was skipped: too few images are held out; add images.")
        if plan == NO_UNFREEZING:
            return Skipped("Unfreezing was skipped, as in the run that is repeated.")
        identity = identify_run(self.settings, extractor.backbone, extractor.size, splits, plan)
        found = self.checkpoints.find(identity)
        if found:
            plan, deadline = read_plan(found), Deadline(None)
        if self.workers.all_reduce_max(-deadline.remaining) >= 0:
            return Skipped("Unfreezing was skipped: the head alone used up the `budget`.")
        plan = plan or self._plan(deadline)
        trained = self._train(plan, self._reserve(deadline), found, on_progress)
        if trained is None:
            return Skipped("Unfreezing was skipped: the `budget` left no time for a step.")
        history, backbone, selection = trained
        samples, known = self._extract(backbone, "validation")
        first = _classify(self.selection, held_out.subset(known))
        second = _classify(selection, samples)
        mcnemar = McNemarTest.compare(first, second)
        return SecondStage(
            plan=replace(plan, steps=history.steps, taken=history.taken),
            history=history,
            backbone=backbone,
            selection=selection,
            mcnemar=mcnemar,
            probe_accuracy=float(first.mean()),
            finetuned_accuracy=float(second.mean()),
            splits=self._extract_all(backbone) if mcnemar.favors_second else None,
            pinned=_check_pinned(extractor.backbone, backbone),
            seconds=time.perf_counter() - began,
        )

    @cached_property
    def _folds(self) -> Labels:
        """Fold of each training image; those of fold 0 are for evaluation."""
        train = self.splits.samples["train"]
        return assign_folds(train.strata, _FOLDS, self.settings.seed, train.groups)

    def _plan(self, deadline: Deadline) -> Plan:
        network = self.extractor.backbone.model
        timed = deadline.end is not None
        blocks, augmentation = choose_depth(
            self.settings.unfreeze_depth or "auto",
            self.settings.augment,
            find_blocks(network),
            network,
            int((self._folds != 0).sum()),
            -self.workers.all_reduce_max(-deadline.remaining),
            self.workers.all_reduce_max(self._seconds_per_image()) if timed else 0.0,
        )
        return Plan(blocks, augmentation, self._choose_precision(), 0, 0)

    def _reserve(self, deadline: Deadline) -> Deadline:
        """Leave time for the features of all images after training."""
        if deadline.end is None:
            return deadline
        images = sum(map(len, self.splits.paths.values()))
        return Deadline(deadline.end - images * self._seconds_per_image())

    def _train(
        self, plan: Plan, deadline: Deadline, found: State | None, on_progress: Reporter
    ) -> tuple[History, Backbone, Selection] | None:
        """Train; None if the deadline came before the first step."""
        link, from_pixels = self.selection.head.link, plan.augmentation in PIXEL_RECIPES
        backbone, features = self.extractor.backbone, self.selection.features
        start = self._fit_start()
        with self.workers.strategy.scope():
            network = PartiallyFrozenModel(backbone, plan.blocks, features, start, plan.precision)
        until = deadline if plan.steps == 0 else Deadline(None)
        train_set = self._precompute(network, self._folds != 0, from_pixels, until, on_progress)
        held_out = train_set and self._precompute(
            network, self._folds == 0, False, until, on_progress
        )
        missing = not train_set or not held_out
        if self.workers.all_reduce_max(float(missing)) or not train_set or not held_out:
            return None
        uniform_target = 0.5 if link == SIGMOID else 1 / train_set.targets.shape[1]
        seed = self.settings.seed
        training = Training(
            step=TrainingStep(network, link, self.workers, from_pixels=from_pixels),
            augmentation=Augmentation(
                plan.augmentation, seed + 100 * self.workers.index, uniform_target
            ),
            train=train_set,
            held_out=held_out,
            seed=seed,
            images=int((self._folds != 0).sum()),
        )
        planned = (plan.steps, plan.taken) if plan.steps else None
        state = TrainingState() if found else training.start(deadline, planned)
        job = ResumableTraining(training, plan, state)
        with self.checkpoints.run(job, found) as on_step:
            history = training.run(
                job.state,
                deadline,
                on_progress,
                on_step=on_step,
                uninterrupted=self.checkpoints.uninterrupted,
            )
        if not history.taken:
            return None
        _, logits, targets = training.evaluate()
        backbone, (kernel, bias) = network.to_backbone()
        known = targets > 0
        head = replace(
            self.selection.head,
            kernel=kernel,
            bias=bias,
            oof_logits=np.full_like(self.selection.head.oof_logits, np.nan),
            decision=choose_decision(link, link.probabilities(logits), known),
        )
        calibration = calibrate(logits, known, decision=head.decision)
        return history, backbone, replace(self.selection, head=head, calibration=calibration)

    def _fit_start(self) -> Head:
        samples = self.splits.samples["train"].subset(self._folds != 0)
        return fit_head(
            samples.vectors[self.selection.features],
            samples.targets,
            self.settings.seed,
            link=self.selection.head.link,
            groups=samples.groups,
            balance=self.settings.balance,
        )

    def _precompute(
        self,
        network: PartiallyFrozenModel,
        which: npt.NDArray[np.bool_],
        keep_crops: bool,
        deadline: Deadline,
        on_progress: Reporter,
    ) -> PrecomputedActivations | None:
        targets = self.splits.samples["train"].targets[which]
        weights = sample_weights(targets, self.selection.head.link, self.settings.balance)
        shard, paths = self.workers.shard, self.splits.paths["train"]
        images = LabeledPaths(
            [paths[index] for index in shard(np.flatnonzero(which))],
            shard(targets.astype(np.float32)),
            shard(weights.astype(np.float32)),
        )
        return precompute_activations(
            network,
            images,
            self.extractor,
            keep_crops=keep_crops,
            deadline=deadline,
            on_progress=on_progress,
        )

    def _extract(self, backbone: Backbone, split: str) -> tuple[Samples, npt.NDArray[np.bool_]]:
        """Features of a split from another network, and which images can still be read."""
        features, paths = self.selection.features, self.splits.paths[split]
        extractor = replace(self.extractor, backbone=backbone, blocks=BLOCKS[features])
        extracted = extract_features_sharded(extractor, paths, self.workers)
        known = np.isin(np.arange(len(paths)), extracted.indices)
        samples = self.splits.samples[split].subset(known)
        return replace(samples, vectors={features: extracted.vectors(features)}), known

    def _extract_all(self, backbone: Backbone) -> Splits:
        samples, paths = {}, {}
        for split, files in self.splits.paths.items():
            samples[split], known = self._extract(backbone, split)
            paths[split] = tuple(compress(files, known))
        return replace(self.splits, samples=samples, paths=paths)

    def _seconds_per_image(self) -> float:
        crops = np.zeros((BATCH_SIZE, self.extractor.size, self.extractor.size, 3), np.float32)
        seconds = 0.0
        for _ in range(2):  # the first call compiles
            began = time.perf_counter()
            self.extractor.extract(crops)
            seconds = time.perf_counter() - began
        return seconds * len(self.extractor.crops) / BATCH_SIZE

    def _choose_precision(self) -> Precision:
        backbone = self.extractor.backbone
        chosen = choose_precision("auto", backbone, backbone.taps[-1:])
        return "float32" if self.workers.all_reduce_max(float(chosen == "float32")) else "bfloat16"


def _classify(selection: Selection, samples: Samples) -> npt.NDArray[np.bool_]:
    """Which images are given exactly their labels."""
    head = selection.head
    assigned = head.decision.predict(head.predict_proba(samples.vectors[selection.features]))
    correct: npt.NDArray[np.bool_] = (assigned == samples.targets).all(axis=1)
    return correct


def _check_pinned(before: Backbone, after: Backbone) -> int:
    """Assert that batch normalization is bit-identical; count its arrays."""
    pairs = list(
        zip(normalization_weights(before.model), normalization_weights(after.model), strict=True)
    )
    assert all(old.tobytes() == new.tobytes() for old, new in pairs), "batch normalization moved"
    return len(pairs)
