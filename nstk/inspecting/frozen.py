"""What frozen pretrained weights are worth, compared with random weights."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone, activated_taps
from nstk.backbones.loading import load_backbone
from nstk.datasets.folders import LabeledFolder, scan_folder
from nstk.datasets.listing import SkippedFile
from nstk.errors import FolderError
from nstk.features.extractor import FeatureExtractor, Features, extract_features
from nstk.features.networks import POOLED
from nstk.heads.learning_curve import SHARES, rank_images
from nstk.heads.metrics import Evaluation, evaluate
from nstk.heads.selection import select_head
from nstk.heads.splits import Samples, Splits, split_samples
from nstk.inspecting.frozen_study import BlockScore, DataScore, FrozenStudy
from nstk.inspecting.scratch import Dataset, randomize_backbone, read_crops, train_from_scratch
from nstk.progress import Progress, Reporter, Stopwatch, no_progress
from nstk.settings import FinetuneSettings, FrozenSettings, resolve_settings
from nstk.types import SettingValue


def study_frozen(
    data: str | Path,
    *,
    backbone: Backbone | str | Path = "compact",
    settings: FrozenSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> FrozenStudy:
    """Measure what transfer learning saves: accuracy by block, by images and by time.

    Three classifiers are compared on the same held-out images. Transfer: a linear head on the
    channel means of the frozen backbone. Frozen random weights: the same, with random kernels.
    Trained random weights: the same network with all weights trainable, trained with Adam for as
    many epochs and seconds as the settings allow.

    Args:
        data: A folder, as `nstk.scan_folder` reads it.
        backbone: A `Backbone`, or what `nstk.load_backbone` takes.
        settings: All settings as one object; or give them as keyword arguments.
        on_progress: Called for the stages ``"scan"``, ``"features"``, ``"random features"``,
            ``"heads"`` and ``"random weights, trained"``.
        **options: Fields of `FrozenSettings`, instead of ``settings``.

    Raises:
        FolderError: If the folder cannot be used, or images have several labels.
        NstkError: As `nstk.finetune`.
    """
    chosen = resolve_settings(FrozenSettings, settings, options)
    backbone = load_backbone(backbone, on_progress=on_progress)
    size = backbone.input_size if chosen.size == "auto" else chosen.size
    layers = _choose_layers(backbone)
    extractors = _build_extractors(backbone, size, layers, chosen.seed)
    folder = scan_folder(
        data,
        label_pattern=chosen.label_pattern,
        validation_share=chosen.validation_share,
        seed=chosen.seed,
        min_images=chosen.min_images,
        whole=False,
        on_progress=on_progress,
    )
    if folder.multi_label:
        raise FolderError(
            f"{data}: images have several labels; this study compares accuracies of one label "
            "per image: give every image one label."
        )
    return _study(folder, backbone, extractors, layers, chosen, on_progress)


def _study(
    folder: LabeledFolder,
    backbone: Backbone,
    extractors: Mapping[str, FeatureExtractor],
    layers: Sequence[str],
    settings: FrozenSettings,
    on_progress: Reporter,
) -> FrozenStudy:
    watch, extracted, size = Stopwatch(), {}, extractors["features"].size
    for stage, extractor in extractors.items():
        extracted[stage] = _extract(folder, extractor, stage, on_progress)
        watch.lap(stage.replace(" ", "_"))
    (features, splits), (_, random_splits) = extracted.values()
    held_out = "test" if len(splits.samples["test"]) else "validation"
    heads = _Heads(splits, random_splits, held_out, folder.classes, settings.seed)
    blocks, curve, fitting = _fit_all(heads, backbone, layers, on_progress)
    datasets = _read_datasets(folder, features, splits, held_out, size)
    scratch = train_from_scratch(backbone, *datasets, folder.classes, settings, on_progress)
    train = len(splits.samples["train"])
    own = watch.seconds["features"] * train / len(features.indices)
    skipped = (
        SkippedFile(folder.display_path(file.path), file.reason) for file in features.skipped
    )
    return FrozenStudy(
        backbone=backbone.name,
        source=backbone.source,
        size=size,
        classes=folder.classes,
        train_images=train,
        held_out=held_out,
        held_out_images=len(splits.samples[held_out]),
        frozen_parameters=backbone.model.count_params(),
        learned_parameters=(blocks[-1].channels + 1) * len(folder.classes),
        blocks=blocks,
        curve=curve,
        scratch=scratch,
        seconds={
            **watch.seconds,
            "features_of_training": own,
            "head": fitting,
            "transfer": own + fitting,
            "scratch": scratch[-1].seconds,
        },
        skipped=(*folder.skipped, *skipped),
        notices=(*folder.notices, *splits.notices),
    )


def _choose_layers(backbone: Backbone) -> tuple[str, ...]:
    """The last activation at every stride, and at the deepest the network's last map."""
    taps = sorted(activated_taps(backbone).items())
    return (*(names[-1] for _, names in taps[:-1]), backbone.taps[-1])


def _build_extractors(
    backbone: Backbone, size: int, layers: Sequence[str], seed: int
) -> Mapping[str, FeatureExtractor]:
    blocks = (POOLED, *layers[:-1])
    extractors = {
        "features": FeatureExtractor(backbone, size, blocks),
        "random features": FeatureExtractor(randomize_backbone(backbone, seed), size, blocks),
    }
    for extractor in extractors.values():
        _ = extractor.network  # raises an error if the size is too small
    return extractors


def _extract(
    folder: LabeledFolder, extractor: FeatureExtractor, stage: str, on_progress: Reporter
) -> tuple[Features, Splits]:
    """Features of all images, by split."""

    def report(progress: Progress) -> None:
        on_progress(replace(progress, stage=stage))

    paths = [image.path for image in folder.images]
    features = extract_features(extractor, paths, on_progress=report)
    return features, split_samples(folder, features, extractor.blocks, 0)


@dataclass(frozen=True, eq=False)
class _Heads:
    """Heads on either network, all evaluated on the same images."""

    pretrained: Splits
    random: Splits
    held_out: str
    classes: tuple[str, ...]
    seed: int

    def evaluate(self, splits: Splits, block: str, share: float = 1.0) -> Evaluation:
        """Fit a head on a share of the training images and evaluate it."""
        train, check = (
            Samples({block: each.vectors[block]}, each.targets, each.groups)
            for each in (splits.samples["train"], splits.samples[self.held_out])
        )
        used = self.ranks < share
        head = select_head(train.subset(used), FinetuneSettings(seed=self.seed)).head
        probabilities = head.predict_proba(check.vectors[block])
        predicted = head.decision.predict(probabilities)
        return evaluate(check.targets, predicted, probabilities, self.classes)

    def evaluate_both(self, block: str, share: float = 1.0) -> tuple[Evaluation, Evaluation]:
        """With pretrained and with random weights."""
        one, other = (self.evaluate(each, block, share) for each in (self.pretrained, self.random))
        return one, other

    @cached_property
    def ranks(self) -> npt.NDArray[np.float64]:
        """Rank of every training image in its class, in [0, 1)."""
        strata = self.pretrained.samples["train"].strata
        return rank_images(strata, np.ones(len(strata), bool), self.seed)


def _fit_all(
    heads: _Heads, backbone: Backbone, layers: Sequence[str], on_progress: Reporter
) -> tuple[tuple[BlockScore, ...], tuple[DataScore, ...], float]:
    """All heads, and the seconds of fitting the one of transfer."""
    total = len(layers) + len(SHARES) - 1

    def report(step: int) -> None:
        on_progress(Progress(stage="heads", step=step, total=total))

    report(0)
    heads.evaluate(heads.pretrained, POOLED)  # the first fit also compiles
    began = time.perf_counter()
    heads.evaluate(heads.pretrained, POOLED)
    fitting = time.perf_counter() - began
    scores, before = [], 0
    for step, layer in enumerate(layers, 1):
        block = POOLED if layer == layers[-1] else layer
        parameters = backbone.tap([layer]).count_params()
        channels = heads.pretrained.samples["train"].vectors[block].shape[1]
        pair = heads.evaluate_both(block)
        stride = backbone.stride(layer)
        scores.append(BlockScore(layer, stride, channels, parameters - before, *pair))
        before = parameters
        report(step)
    curve = []
    for step, share in enumerate(SHARES[:-1], len(layers) + 1):
        images = int((heads.ranks < share).sum())
        curve.append(DataScore(images, *heads.evaluate_both(POOLED, share)))
        report(step)
    last = scores[-1]
    curve.append(DataScore(len(heads.ranks), last.pretrained, last.random))
    return tuple(scores), tuple(curve), fitting


def _read_datasets(
    folder: LabeledFolder, features: Features, splits: Splits, held_out: str, size: int
) -> tuple[Dataset, Dataset]:
    """Training and held-out crops, in the order of the samples."""
    paths = [folder.images[index].path for index in features.indices]
    names = [file.split for file in splits.files]

    def dataset(split: str) -> Dataset:
        own = [path for path, name in zip(paths, names, strict=True) if name == split]
        return Dataset(read_crops(own, size), splits.samples[split].targets)

    return dataset("train"), dataset(held_out)
