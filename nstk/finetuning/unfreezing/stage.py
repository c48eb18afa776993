"""Unfreezing as a whole: from a solved head to a fine-tuned network, if that is better.

The head is solved again on four fifths of the training images, and the last blocks are trained
from there (LP-FT, Kumar et al. 2022); the remaining fifth decides when to stop. The validation
images, which neither stage was fitted on, decide what is kept: of two unbiased estimates of the
expected log-loss, the smaller one.
"""

import time
from dataclasses import asdict, dataclass, replace
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
from nstk.finetuning.unfreezing.activations import Activations, precompute
from nstk.finetuning.unfreezing.augmentation import PIXEL_RECIPES
from nstk.finetuning.unfreezing.model import PartiallyFrozenModel, normalization_weights
from nstk.finetuning.unfreezing.planning import NO_UNFREEZING, Deadline, Plan, choose_depth
from nstk.finetuning.unfreezing.result import McNemarTest, SecondStage
from nstk.finetuning.unfreezing.training import Training, TrainingStep
from nstk.heads.calibration import calibrate
from nstk.heads.decisions import choose_decision
from nstk.heads.head import assign_folds, fit_head
from nstk.heads.logistic import sample_weights
from nstk.heads.selection import Selection
from nstk.heads.splits import Samples, Splits
from nstk.progress import Reporter, no_progress
from nstk.settings import FinetuneSettings
from nstk.storage.checkpoints import (
    CheckpointFolder,
    RunIdentity,
    State,
    list_versions,
    reraise_as_checkpoint_error,
)
from nstk.types import Labels, Matrix

_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Unfreezing:
    """Trains the last blocks of a network, starting from a solved head."""

    extractor: FeatureExtractor
    selection: Selection
    splits: Splits
    settings: FinetuneSettings
    workers: Workers
    checkpoints: CheckpointFolder

    def run(
        self, deadline: Deadline, plan: Plan | None = None, on_progress: Reporter = no_progress
    ) -> SecondStage | str:
        """Train, and compare the result with the head alone; or say why that was skipped.

        With the plan of an earlier run, that is repeated.
        """
        began = time.perf_counter()
        held_out = self.splits.samples["validation"]
        if not len(held_out) or not (self._folds == 0).any():
            return "Unfreezing was skipped: too few images are held out; add images."
        if plan == NO_UNFREEZING:
            return "Unfreezing was skipped, as in the run that is repeated."
        found = self.checkpoints.find(self._identify(plan))
        if found:
            with reraise_as_checkpoint_error():
                plan, deadline = Plan(**found.facts["plan"]), Deadline(None)
        if self.workers.all_reduce_max(-deadline.remaining) >= 0:
            return "Unfreezing was skipped: the head alone used up the `budget`."
        plan = plan or self._plan(deadline)
        training = self._train(plan, self._reserve(deadline), found, on_progress)
        if training is None or not training.plan.taken:
            return "Unfreezing was skipped: the `budget` left no time for a step."
        backbone, selection = self._finish(training)
        samples, known = self._extract(backbone, "validation")
        probe = _judge(self.selection, held_out.subset(known), self.settings.balance)
        finetuned = _judge(selection, samples, self.settings.balance)
        stage = SecondStage(
            plan=training.plan,
            log_losses=tuple(training.log_losses),
            best=training.best,
            backbone=backbone,
            selection=selection,
            mcnemar=McNemarTest.compare(probe[0], finetuned[0]),
            accuracies=(float(probe[0].mean()), float(finetuned[0].mean())),
            expected_losses=(probe[1], finetuned[1]),
            pinned=_check_pinned(self.extractor.backbone, backbone),
            seconds=time.perf_counter() - began,
        )
        return replace(stage, splits=self._extract_all(backbone)) if stage.kept else stage

    @cached_property
    def _folds(self) -> Labels:
        """Fold of each training image; those of fold 0 are for evaluation."""
        train = self.splits.samples["train"]
        return assign_folds(train.strata, _FOLDS, self.settings.seed, train.groups)

    def _identify(self, plan: Plan | None) -> RunIdentity:
        options = asdict(self.settings) | {
            "size": self.extractor.size,
            "plan": plan and asdict(plan),
        }
        images = {
            f"image {file.path}": f"{file.sha256} {file.split} {file.label}"
            for file in self.splits.files
        }
        inputs = {"network": self.extractor.backbone.digest, **images}
        return RunIdentity("finetune", {**options, **list_versions()}, inputs)

    def _plan(self, deadline: Deadline) -> Plan:
        backbone = self.extractor.backbone
        timed = deadline.end is not None
        blocks, augmentation = choose_depth(
            self.settings.unfreeze_depth or "auto",
            self.settings.augment,
            find_blocks(backbone.model),
            backbone.model,
            int((self._folds != 0).sum()),
            -self.workers.all_reduce_max(-deadline.remaining),
            self.workers.all_reduce_max(self._seconds_per_image()) if timed else 0.0,
        )
        chosen = choose_precision("auto", backbone, backbone.taps[-1:])
        slow = self.workers.all_reduce_max(float(chosen == "float32"))
        precision: Precision = "float32" if slow else "bfloat16"
        return Plan(blocks, augmentation, precision, 0, 0)

    def _reserve(self, deadline: Deadline) -> Deadline:
        """Leave time for the features of all images after training."""
        if deadline.end is None:
            return deadline
        images = sum(map(len, self.splits.paths.values()))
        return Deadline(deadline.end - images * self._seconds_per_image())

    def _train(
        self, plan: Plan, deadline: Deadline, found: State | None, on_progress: Reporter
    ) -> Training | None:
        """Train; None if the deadline came before the first step."""
        head, features = self.selection.head, self.selection.features
        samples = self.splits.samples["train"].subset(self._folds != 0)
        start = fit_head(
            samples.vectors[features],
            samples.targets,
            self.settings.seed,
            link=head.link,
            groups=samples.groups,
            balance=self.settings.balance,
        )
        with self.workers.strategy.scope():
            network = PartiallyFrozenModel(
                self.extractor.backbone, plan.blocks, features, start, plan.precision
            )
        from_pixels = plan.augmentation in PIXEL_RECIPES
        until = deadline if plan.steps == 0 else Deadline(None)
        lower = None if from_pixels else network
        train = self._precompute(lower, self._folds != 0, until, on_progress)
        held_out = train and self._precompute(network, self._folds == 0, until, on_progress)
        missing = train is None or held_out is None
        if self.workers.all_reduce_max(float(missing)) or train is None or held_out is None:
            return None
        step = TrainingStep(network, head.link, self.workers, from_pixels=from_pixels)
        training = Training(step, plan, train, held_out, self.settings.seed, len(samples))
        if not found:
            training.start(deadline)
        with self.checkpoints.run(training, found) as on_step:
            training.run(deadline, on_progress, self.checkpoints, on_step)
        return training

    def _finish(self, training: Training) -> tuple[Backbone, Selection]:
        """The fine-tuned network and its head, calibrated on the images of the evaluations."""
        head = self.selection.head
        _, logits, targets = training.evaluate()
        backbone, (kernel, bias) = training.step.network.to_backbone()
        known = targets > 0
        decision = choose_decision(head.link, head.link.probabilities(logits), known)
        head = replace(
            head,
            kernel=kernel,
            bias=bias,
            oof_logits=np.full_like(head.oof_logits, np.nan),
            decision=decision,
        )
        weights = sample_weights(known, head.link, self.settings.balance)
        calibration = calibrate(logits, known, weights, decision)
        return backbone, replace(self.selection, head=head, calibration=calibration)

    def _precompute(
        self,
        network: PartiallyFrozenModel | None,
        which: npt.NDArray[np.bool_],
        deadline: Deadline,
        on_progress: Reporter,
    ) -> Activations | None:
        targets = self.splits.samples["train"].targets[which]
        weights = sample_weights(targets, self.selection.head.link, self.settings.balance)
        shard, paths = self.workers.shard, self.splits.paths["train"]
        return precompute(
            network,
            self.extractor,
            [paths[index] for index in shard(np.flatnonzero(which))],
            (shard(targets.astype(np.float32)), shard(weights.astype(np.float32))),
            deadline,
            on_progress,
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


def _judge(
    selection: Selection, samples: Samples, balance: bool
) -> tuple[npt.NDArray[np.bool_], float]:
    """Which images are given exactly their labels, and the mean log-loss in nats."""
    head, vectors = selection.calibrated, samples.vectors[selection.features]
    correct = (head.decision.predict(head.predict_proba(vectors)) == samples.targets).all(axis=1)
    losses: Matrix = head.link.losses(samples.targets, head.logits(vectors).astype(np.float64))
    weights = sample_weights(samples.targets, head.link, balance)
    return correct, float(np.average(losses, weights=weights))


def _check_pinned(before: Backbone, after: Backbone) -> int:
    """Assert that batch normalization is bit-identical; count its arrays."""
    old, new = (normalization_weights(each.model) for each in (before, after))
    pairs = zip(old, new, strict=True)
    assert all(one.tobytes() == other.tobytes() for one, other in pairs), (
        "batch normalization moved"
    )
    return len(old)
