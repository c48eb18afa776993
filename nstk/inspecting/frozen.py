"""Why transfer learning: what frozen weights are worth, against the same network without them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nstk.backbones.activations import activated_taps
from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.datasets.folders import LabeledFolder, scan_folder
from nstk.datasets.listing import SkippedFile
from nstk.errors import FolderError
from nstk.features.extractor import FeatureExtractor, Features, extract_features
from nstk.features.networks import POOLED
from nstk.heads.learning_curve import SHARES, rank_images
from nstk.heads.metrics import Evaluation, evaluate
from nstk.heads.selection import Samples, select_head
from nstk.heads.splits import Splits, split_samples
from nstk.inspecting.frozen_study import BlockScore, DataScore, FrozenStudy
from nstk.inspecting.random_weights import randomize_backbone
from nstk.inspecting.scratch import Dataset, read_squares, train_from_scratch
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import FinetuneSettings, FrozenSettings


def study_frozen(
    data: str | Path,
    *,
    backbone: Backbone | str | Path = "compact",
    weights: str | Path | None = None,
    settings: FrozenSettings | None = None,
    on_progress: Reporter = no_progress,
) -> FrozenStudy:
    """Measure what transfer learning saves: accuracy by block, by images and by time.

    Three ways to a classifier are compared on the same held-out images. Transfer: the backbone
    stays frozen, a linear head is solved on the means of its maps. Frozen random weights: the
    same, with every kernel drawn anew. Trained random weights: the same network with all weights
    free, by Adam, for as many passes and seconds as the settings allow.

    Args:
        data: A folder, as `nstk.scan_folder` reads it.
        backbone: A `Backbone`, or what `nstk.load_backbone` takes.
        weights: A local weights file for a backbone given by name.
        settings: What to do otherwise than by default.
        on_progress: Told about the stages ``"scan"``, ``"features"``, ``"random features"``,
            ``"heads"`` and ``"random weights, trained"``.

    Raises:
        FolderError: If the folder cannot be used, or images have several labels.
        NstkError: What `nstk.finetune` would raise.
    """
    settings = settings or FrozenSettings()
    if not isinstance(backbone, Backbone):
        backbone = load_backbone(backbone, weights=weights, on_progress=on_progress)
    size = backbone.input_size if settings.size == "auto" else settings.size
    layers = _choose_layers(backbone)
    blocks = (POOLED, *layers[:-1])
    twins = {
        "features": FeatureExtractor(backbone, size, blocks),
        "random features": FeatureExtractor(
            randomize_backbone(backbone, settings.seed), size, blocks
        ),
    }
    for observer in twins.values():
        _ = observer.describe
    folder = scan_folder(
        data,
        validation_share=settings.validation_share,
        seed=settings.seed,
        whole=False,
        on_progress=on_progress,
    )
    if folder.multi_label:
        raise FolderError(
            f"{data}: its images may have several labels; nstk inspect frozen compares "
            "accuracies of one label each: give one label an image."
        )
    seconds: dict[str, float] = {}
    seen: dict[str, tuple[Features, Splits]] = {}
    for stage, observer in twins.items():
        begun = time.perf_counter()
        seen[stage] = _look(folder, observer, stage, on_progress)
        seconds[stage.replace(" ", "_")] = time.perf_counter() - begun
    (features, splits), (_, random_splits) = seen.values()
    held_out = "test" if len(splits.samples["test"]) else "validation"
    heads = _Heads(splits, random_splits, held_out, folder.classes, settings.seed)
    scores, curve, fitting = _fit_all(heads, backbone, layers, on_progress)
    lessons = _read_lessons(folder, features, splits, held_out, size)
    scratch = train_from_scratch(
        backbone,
        *lessons,
        folder.classes,
        passes=settings.scratch_passes,
        seconds=settings.scratch_seconds,
        seed=settings.seed,
        on_progress=on_progress,
    )
    train = len(splits.samples["train"])
    own = seconds["features"] * train / len(features.indices)
    seconds |= {"features_of_training": own, "head": fitting, "transfer": own + fitting}
    return FrozenStudy(
        backbone=backbone.name,
        source=backbone.source,
        size=size,
        classes=folder.classes,
        train_images=train,
        held_out=held_out,
        held_out_images=len(splits.samples[held_out]),
        frozen_parameters=backbone.model.count_params(),
        learned_parameters=(scores[-1].channels + 1) * len(folder.classes),
        blocks=scores,
        curve=curve,
        scratch=scratch,
        seconds={**seconds, "scratch": scratch[-1].seconds},
        skipped=(
            *folder.skipped,
            *(SkippedFile(folder.name(file.path), file.reason) for file in features.skipped),
        ),
        notices=(*folder.notices, *splits.notices),
    )


def _choose_layers(backbone: Backbone) -> tuple[str, ...]:
    """The last activation at every stride, and at the deepest the network's last map."""
    taps = sorted(activated_taps(backbone).items())
    return (*(names[-1] for _, names in taps[:-1]), backbone.taps[-1])


def _look(
    folder: LabeledFolder, observer: FeatureExtractor, stage: str, on_progress: Reporter
) -> tuple[Features, Splits]:
    """Look at all images through one of the networks."""

    def report(progress: Progress) -> None:
        on_progress(replace(progress, stage=stage))

    paths = [image.path for image in folder.images]
    features = extract_features(observer, paths, on_progress=report)
    return features, split_samples(folder, features, observer.blocks, 0)


@dataclass(frozen=True, eq=False)
class _Heads:
    """Heads on either network, all checked with the same images."""

    pretrained: Splits
    random: Splits
    held_out: str
    classes: tuple[str, ...]
    seed: int

    def judge(self, splits: Splits, block: str, share: float = 1.0) -> Evaluation:
        """Fit a head on a share of the training images and check it."""
        train, check = (
            Samples({block: each.vectors[block]}, each.targets, each.groups)
            for each in (splits.samples["train"], splits.samples[self.held_out])
        )
        used = self.ranks < share
        head = select_head(train.take(used), FinetuneSettings(seed=self.seed)).head
        answers = head.predict(check.vectors[block])
        return evaluate(check.targets, head.decision.assign(answers), answers, self.classes)

    def pair(self, block: str, share: float = 1.0) -> tuple[Evaluation, Evaluation]:
        """On pretrained and on random weights."""
        return self.judge(self.pretrained, block, share), self.judge(self.random, block, share)

    @property
    def ranks(self) -> Any:
        """Where every training image stands in its class, from 0 below 1."""
        kinds = self.pretrained.samples["train"].strata
        return rank_images(kinds, np.ones(len(kinds), bool), self.seed)


def _fit_all(
    heads: _Heads, backbone: Backbone, layers: Sequence[str], on_progress: Reporter
) -> tuple[tuple[BlockScore, ...], tuple[DataScore, ...], float]:
    """All heads, and the seconds that the one of transfer took."""
    total = len(layers) + len(SHARES) - 1

    def report(step: int) -> None:
        on_progress(Progress(stage="heads", step=step, total=total))

    report(0)
    heads.judge(heads.pretrained, POOLED)  # the first fit also compiles
    begun = time.perf_counter()
    heads.judge(heads.pretrained, POOLED)
    fitting = time.perf_counter() - begun
    scores, before = [], 0
    for step, layer in enumerate(layers, 1):
        block = POOLED if layer == layers[-1] else layer
        part = backbone.tap([layer])
        parameters = part.count_params()
        pair = heads.pair(block)
        scores.append(
            BlockScore(
                layer,
                backbone.stride(layer),
                heads.pretrained.samples["train"].vectors[block].shape[1],
                parameters - before,
                *pair,
            )
        )
        before = parameters
        report(step)
    curve = []
    for step, share in enumerate(SHARES[:-1], len(layers) + 1):
        curve.append(DataScore(int((heads.ranks < share).sum()), *heads.pair(POOLED, share)))
        report(step)
    last = scores[-1]
    curve.append(DataScore(len(heads.ranks), last.pretrained, last.random))
    return tuple(scores), tuple(curve), fitting


def _read_lessons(
    folder: LabeledFolder, features: Features, splits: Splits, held_out: str, size: int
) -> tuple[Dataset, Dataset]:
    """The squares to learn from and those to check with, in the order of the samples."""
    paths = [folder.images[index].path for index in features.indices]
    names = [file.split for file in splits.files]

    def lesson(split: str) -> Dataset:
        own = [path for path, name in zip(paths, names, strict=True) if name == split]
        return Dataset(read_squares(own, size), splits.samples[split].targets)

    return lesson("train"), lesson(held_out)
