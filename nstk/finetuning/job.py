"""Transfer learning: features of a frozen network, a solved head, an honest number."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.classifiers.classifier import Classifier
from nstk.datasets.folders import scan_folder
from nstk.datasets.listing import SkippedFile
from nstk.datasets.sources import Data
from nstk.errors import SettingsError, WeightsError
from nstk.features.cache import FeatureCache
from nstk.features.crops import VIEWS
from nstk.features.extractor import FeatureExtractor, Features
from nstk.features.networks import BLOCKS, attach_head, build_extractor
from nstk.features.sharding import extract_together
from nstk.features.sizes import choose_size
from nstk.features.workers import Workers
from nstk.finetuning.result import FinetuneResult
from nstk.finetuning.unfreezing.planning import Deadline, Plan
from nstk.finetuning.unfreezing.stage import SecondStage, Skipped, run_second_stage
from nstk.heads.binary_problems import cross_val_predict, predict_splits
from nstk.heads.learning_curve import trace_learning_curve
from nstk.heads.links import SIGMOID, SOFTMAX
from nstk.heads.metrics import Evaluation, evaluate
from nstk.heads.out_of_distribution import OODDetector, fit_ood_detector
from nstk.heads.predictions import SplitPredictions
from nstk.heads.selection import Selection, select_head
from nstk.heads.splits import Splits, split_samples
from nstk.progress import Reporter, no_progress
from nstk.settings import CheckpointSettings, FinetuneSettings
from nstk.storage.checkpoints import CheckpointFolder

_NO_CURVE = "There is no learning curve: no class has enough images to leave some out; add some."
_JUDGED = (
    "The validation images have also decided that the network that learned is kept, so the "
    "accuracy on them may be a little too good; a test part would tell."
)


def finetune(
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    backbone: Backbone | str | Path = "compact",
    weights: str | Path | None = None,
    settings: FinetuneSettings | None = None,
    cache: str | Path | None = None,
    strategy: Any = None,
    plan: Plan | None = None,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
) -> FinetuneResult:
    """Make a classifier from a folder of labeled images, on a frozen pretrained network.

    Every image passes through the network once in each view; on these features a linear head is
    solved, its strength and, if asked, its features chosen by the training images alone. Where
    images have several labels, each has a strength and a threshold of its own. The same input
    gives the same bytes.

    Args:
        data: A folder, a manifest or a zip, as `nstk.scan_folder` reads it. Or images from
            memory: arrays ``(images, labels)``; a ``tf.data.Dataset`` of ``(image, label)``,
            batched or not; or a mapping of ``"train"``, ``"validation"`` and ``"test"`` to such.
            Images are ``(height, width, 3)``, uint8 or floats from 0 to 255; labels are whole
            numbers, or rows of 0 and 1, with several 1s where images have several labels. They
            stream by into a private folder for temporary files.
        class_names: Of images from memory, in the order of their labels; without them those of
            the dataset, or numbers.
        backbone: A `Backbone`, or what `nstk.load_backbone` takes.
        weights: A local weights file for a backbone given by name.
        settings: What to do otherwise than by default.
        cache: A folder in which features are kept for the next time, such as
            `nstk.find_cache_folder` gives; None keeps none.
        strategy: A ``tf.distribute`` strategy whose workers share the feature pass and, with its
            replicas, the second stage; each of them gets the same result. None takes the strategy
            in whose scope this is called, if any.
        plan: What an earlier second stage did, to do the same whatever the time.
        checkpoints: Where and how often the state of a second stage is kept, and whether to go on
            from it to the same bytes; without a cache, features are kept there, too. Nowhere when
            None.
        on_progress: Told about the stages ``"store"`` (from memory), ``"scan"``, ``"features"``,
            ``"head"``, ``"folds"``, ``"learning curve"``, ``"border"`` and ``"second stage"``, and
            about fetching weights where that is needed.

    Raises:
        BackboneError: If no network goes by that name.
        CheckpointError: If the checkpoints are another run's, or their folder is in use.
        FolderError: If the folder cannot be used, or changed while it was read.
        SettingsError: If the size is too small for the network, or several processes are to keep
            checkpoints.
        WeightsError: If the weights do not belong to the network, or are no numbers.
    """
    workers = Workers(strategy or tf.distribute.get_strategy())
    if checkpoints and checkpoints.checkpoint and workers.count > 1:
        raise SettingsError(
            f"--checkpoint was given to {workers.count} processes that work together; leave it out."
        )
    with CheckpointFolder(checkpoints or CheckpointSettings()) as folder:
        return _finetune(
            data,
            class_names,
            backbone,
            weights,
            settings or FinetuneSettings(),
            cache or folder.place("features"),
            workers,
            plan,
            folder,
            on_progress,
        )


def _finetune(
    data: Data,
    class_names: Sequence[str] | None,
    backbone: Backbone | str | Path,
    weights: str | Path | None,
    settings: FinetuneSettings,
    cache: str | Path | None,
    workers: Workers,
    plan: Plan | None,
    checkpoints: CheckpointFolder,
    on_progress: Reporter,
) -> FinetuneResult:
    """See `finetune`."""
    began = time.perf_counter()
    clock = Deadline(None if settings.budget is None or plan else began + settings.budget)
    if not isinstance(backbone, Backbone):
        backbone = load_backbone(backbone, weights=weights, on_progress=on_progress)
    ready = time.perf_counter()
    folder = scan_folder(
        data,
        class_names=class_names,
        validation_share=settings.validation_share,
        seed=settings.seed,
        whole=False,
        on_progress=on_progress,
    )
    paths = [image.path for image in folder.images]
    size = choose_size(backbone, paths) if settings.size == "auto" else settings.size
    observer = build_observer(backbone, size, settings)
    scanned = time.perf_counter()
    store = FeatureCache(cache)
    features = extract_together(observer, paths, workers, cache=store, on_progress=on_progress)
    _check_numbers(features, backbone)
    choices = tuple(BLOCKS) if settings.features == "auto" else (settings.features,)
    # What is unfrozen needs a judge: with folds, too, the held-out share is not learned from.
    splits = split_samples(folder, features, choices, 0 if settings.opening else settings.folds)
    seen = time.perf_counter()
    train, link = splits.samples["train"], SIGMOID if folder.multi_label else SOFTMAX
    selection = select_head(train, settings, link=link, on_progress=on_progress)
    folded, folds = {}, 0
    if settings.folds:
        folded["folds"], folds = cross_val_predict(splits, settings, link, on_progress)
    curve = (
        trace_learning_curve(train, selection, folder.classes, settings, on_progress=on_progress)
        if settings.learning_curve
        else None
    )
    solved = time.perf_counter()
    stage = (
        run_second_stage(
            observer,
            selection,
            splits,
            settings,
            clock=clock,
            workers=workers,
            checkpoints=checkpoints,
            plan=plan,
            on_progress=on_progress,
        )
        if settings.opening
        else None
    )
    remarks, stage = ([stage.reason], None) if isinstance(stage, Skipped) else ([], stage)
    network = backbone
    if settings.learning_curve and curve is None:
        remarks.append(_NO_CURVE)
    if stage and stage.splits:
        network, selection, splits, folded = stage.backbone, stage.selection, stage.splits, {}
        if not len(splits.samples["test"]):
            remarks.append(_JUDGED)
    ood_detector = _familiarize(selection, splits, settings)
    answers = predict_splits(selection, ood_detector, splits) | folded
    evaluations = {
        split: evaluate(each.targets, each.assigned, each.probabilities, folder.classes)
        for split, each in answers.items()
    }
    extractor = build_extractor(network, size, selection.features, observer.views)
    classifier = Classifier(
        model=attach_head(extractor, selection.calibrated),
        classes=folder.classes,
        size=size,
        decision=selection.calibrated.decision,
        backbone={
            "name": backbone.name,
            "digest": backbone.digest,
            "input_size": backbone.input_size,
            "source": backbone.source,
        },
        settings=asdict(settings),
        results=_summarize(selection, splits, evaluations, answers, stage),
        temperature=selection.calibration.temperature,
        ood_detector=ood_detector,
    )
    ended = time.perf_counter()
    return FinetuneResult(
        classifier=classifier,
        evaluations=evaluations,
        answers=answers,
        selection=selection,
        learning_curve=curve,
        second_stage=stage,
        train_images=len(train),
        validation_images=len(splits.samples["validation"]),
        test_images=len(splits.samples["test"]),
        folds=folds,
        data=Path(data) if isinstance(data, str | Path) else None,
        folder=folder,
        files=splits.files,
        skipped=(
            *folder.skipped,
            *(SkippedFile(folder.name(file.path), file.reason) for file in features.skipped),
        ),
        notices=(*folder.notices, *splits.notices, *store.notices, *remarks),
        forward_passes=features.forward_passes,
        seconds={
            "scan": scanned - ready,
            "features": seen - scanned,
            "head": solved - seen,
            **({"second stage": stage.seconds} if stage else {}),
            "total": ended - began,
        },
    )


def build_observer(backbone: Backbone, size: int, settings: FinetuneSettings) -> FeatureExtractor:
    """Say what must be seen of every image, and refuse a size that the network cannot see.

    Raises:
        SettingsError: If the network cannot see a square this small.
    """
    blocks = BLOCKS["pooled+statistics" if settings.features == "auto" else settings.features]
    observer = FeatureExtractor(backbone, size, blocks, VIEWS[: settings.views])
    _ = observer.network
    return observer


def _check_numbers(features: Features, backbone: Backbone) -> None:
    if not all(np.isfinite(rows).all() for rows in features.blocks.values()):
        raise WeightsError(
            f"'{backbone.name}' answers with infinite or undefined numbers; "
            f"its weights ({backbone.source}) are damaged, use others."
        )


def _familiarize(
    selection: Selection, splits: Splits, settings: FinetuneSettings
) -> OODDetector | None:
    samples = splits.samples["train"]
    vectors = samples.vectors[selection.features]
    return fit_ood_detector(vectors, samples.strata, samples.groups, settings.seed)


def _summarize(
    selection: Selection,
    splits: Splits,
    evaluations: Mapping[str, Evaluation],
    answers: Mapping[str, SplitPredictions],
    stage: SecondStage | None,
) -> dict[str, Any]:
    """What the classifier's file says about its making."""
    return {
        "features": selection.features,
        "strength": selection.head.strength,
        "trials": {
            name: {key: value if isfinite(value) else None for key, value in asdict(trial).items()}
            for name, trial in selection.trials.items()
        },
        "images": {split: len(samples) for split, samples in splits.samples.items()},
        "accuracy": {split: each.accuracy for split, each in evaluations.items()},
        "accuracy_interval": {
            split: list(each.accuracy_interval) for split, each in evaluations.items()
        },
        "ece": {split: each.reliability.ece for split, each in answers.items()},
        "ece_interval": {
            split: list(each.reliability.ece_interval) for split, each in answers.items()
        },
        "ece_before": {split: each.reliability_before.ece for split, each in answers.items()},
        "second_stage": stage and stage.describe(),
    }
