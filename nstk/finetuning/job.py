"""Transfer learning: features of a frozen network, a solved head, an unbiased accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.candidates import BackboneChoice, list_candidates
from nstk.datasets.folders import LabeledFolder, scan_folder
from nstk.datasets.sources import Data
from nstk.errors import SettingsError, WeightsError
from nstk.features.cache import FeatureCache
from nstk.features.crops import CROPS, choose_size
from nstk.features.extractor import FeatureExtractor, Features
from nstk.features.networks import BLOCKS
from nstk.features.workers import Workers, extract_features_sharded
from nstk.finetuning.assembly import Extracted, Fitted, assemble_result
from nstk.finetuning.backbone_trials import BackboneTrial, try_backbones
from nstk.finetuning.result import FinetuneResult
from nstk.finetuning.unfreezing.planning import Deadline, Plan
from nstk.finetuning.unfreezing.stage import Unfreezing
from nstk.heads.learning_curve import trace_learning_curve
from nstk.heads.links import SIGMOID, SOFTMAX
from nstk.heads.selection import SplitPredictions, cross_val_predict, select_head
from nstk.heads.splits import split_samples
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.images.loading import ImageReader
from nstk.progress import CallbackReporter, Reporter, Stopwatch, no_progress
from nstk.settings import CheckpointSettings, FinetuneSettings, resolve_settings
from nstk.storage.checkpoints import CheckpointFolder
from nstk.types import SettingValue

_NO_CURVE = "There is no learning curve: no class has enough images to leave some out; add some."
_OPTIMISTIC = (
    "The validation images also decided that the fine-tuned network is kept, so its accuracy on "
    "them may be slightly too high; a test split would give an unbiased one."
)


def finetune(
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    value_range: ValueRange = VALUE_RANGE,
    backbone: BackboneChoice = "efficientnet-lite0",
    cache: str | Path | None = None,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> FinetuneResult:
    """Train an image classifier on labeled images, with a frozen pretrained network.

    Every image passes through the network once per view. On these features a linear head is
    solved; its ``l2`` and, if asked for, its features are chosen on the training images alone.
    Where images have several labels, each label has its own ``l2`` and threshold. The same input
    gives the same bytes. Workers and replicas of a ``tf.distribute`` strategy share the work.

        nstk.finetune("insects", views=2).classifier.save("insects.keras")

    Args:
        data: A folder, a manifest or a zip, as `nstk.scan_folder` reads it. Or images in memory:
            arrays ``(images, labels)``, a ``tf.data.Dataset`` of ``(image, label)``, or a mapping
            of ``"train"``, ``"validation"`` and ``"test"`` to such. Images are
            ``(height, width, 3)``, uint8 or floats; labels are integers, or rows of 0 and 1.
        class_names: For images in memory: the classes, in the order of their labels.
        value_range: Values of black and white in arrays of floats, as in Keras.
        backbone: A `Backbone`, or what `nstk.load_backbone` takes; or ``"auto"``, the best of the
            networks that need no download, or of a sequence of networks and weights files.
        cache: A folder in which features are kept for later runs; None keeps none.
        checkpoints: Where and how often the state of unfreezing is saved, and whether to resume
            from it, bit-identically; without a cache, features are saved there, too.
        on_progress: Called for the stages ``"store"`` (images in memory), ``"scan"``,
            ``"backbones"``, ``"features"``, ``"head"``, ``"folds"``, ``"learning curve"``,
            ``"activations"`` and ``"second stage"``, and during downloads.
        **options: Fields of `FinetuneSettings`, such as ``views=2``; or all of them as
            ``settings=FinetuneSettings(…)``. And ``callbacks=[…]``: Keras callbacks that see the
            epochs of unfreezing, or else the solved head as one epoch.

    Raises:
        BackboneError: If there is no network of that name.
        CheckpointError: If the checkpoints are another run's, or their folder is in use.
        FolderError: If the folder cannot be used, or changes during the run.
        SettingsError: If the size is too small for the network, or several processes are to save
            checkpoints.
        WeightsError: If the weights do not fit the network, or are not finite.
    """
    on_progress = CallbackReporter(options.pop("callbacks", ()), on_progress)
    result = FinetuneJob(
        data=data,
        class_names=class_names,
        value_range=value_range,
        backbone=backbone,
        settings=resolve_settings(FinetuneSettings, options.pop("settings", None), options),
        cache=cache,
        checkpoints=checkpoints,
        on_progress=on_progress,
    ).run()
    on_progress.finish({"val_accuracy": result.accuracy})
    return result


@dataclass(frozen=True, eq=False)
class FinetuneJob:
    """What `finetune` was given, and the plan of an earlier run if that is repeated."""

    data: Data
    class_names: Sequence[str] | None
    value_range: ValueRange
    backbone: BackboneChoice
    settings: FinetuneSettings
    cache: str | Path | None
    checkpoints: CheckpointSettings | None
    on_progress: Reporter
    plan: Plan | None = None

    def run(self) -> FinetuneResult:
        """Train; see `finetune`."""
        workers = Workers(tf.distribute.get_strategy())
        checkpoints = self.checkpoints or CheckpointSettings()
        if checkpoints.checkpoint and workers.count > 1:
            raise SettingsError(
                f"`checkpoint` was given to {workers.count} processes that share a run; remove it."
            )
        with CheckpointFolder(checkpoints) as folder:
            watch = Stopwatch()
            extracted = self._extract(workers, self.cache or folder.file_path("features"), watch)
            fitted = self._fit(extracted)
            watch.lap("head")
            if self.settings.unfreeze_depth:
                fitted = self._unfreeze(extracted, fitted, workers, folder, watch)
            return assemble_result(extracted, fitted, self.settings, self.data, watch)

    def _extract(self, workers: Workers, cache: str | Path | None, watch: Stopwatch) -> Extracted:
        """Scan the data and compute its features."""
        settings = self.settings
        folder, extractor, trials = self.prepare(cache, watch)
        paths = [image.path for image in folder.images]
        store = FeatureCache(cache)
        features = extract_features_sharded(
            extractor, paths, workers, cache=store, on_progress=self.on_progress
        )
        _check_finite(features, extractor.backbone)
        choices = tuple(BLOCKS) if settings.features == "auto" else (settings.features,)
        # Unfreezing needs a held-out split: with folds, too, the validation images are held out.
        folds = 0 if settings.unfreeze_depth else settings.folds
        splits = split_samples(folder, features, choices, folds)
        watch.lap("features")
        return Extracted(folder, extractor, features, splits, trials, store.notices)

    def prepare(
        self, cache: str | Path | None, watch: Stopwatch
    ) -> tuple[LabeledFolder, FeatureExtractor, tuple[BackboneTrial, ...]]:
        """Scan the data, choose the network and build the extractor."""
        settings = self.settings
        candidates = list_candidates(self.backbone)
        several = len(candidates) > 1
        if not several:
            backbone = candidates[0].load(self.on_progress)
        watch.lap()
        folder = scan_folder(
            self.data,
            class_names=self.class_names,
            value_range=self.value_range,
            label_pattern=settings.label_pattern,
            validation_share=settings.validation_share,
            seed=settings.seed,
            min_images=settings.min_images,
            whole=False,
            on_progress=self.on_progress,
        )
        trials: tuple[BackboneTrial, ...] = ()
        if several:
            watch.lap("scan")
            backbone, trials = try_backbones(candidates, folder, settings, cache, self.on_progress)
            watch.lap("backbones")
        paths = [image.path for image in folder.images]
        size = choose_size(backbone, paths) if settings.size == "auto" else settings.size
        extractor = _build_extractor(backbone, size, settings, len(paths))
        watch.lap(None if several else "scan")
        return folder, extractor, trials

    def _fit(self, extracted: Extracted) -> Fitted:
        """Solve the head, and what cross-validation is asked for."""
        settings, splits, folder = self.settings, extracted.splits, extracted.folder
        train = splits.samples["train"]
        link = SIGMOID if folder.multi_label else SOFTMAX
        selection = select_head(train, settings, link=link, on_progress=self.on_progress)
        predictions: dict[str, SplitPredictions] = {}
        folds, curve = 0, None
        if settings.folds:
            predictions["folds"], folds = cross_val_predict(
                splits, settings, link, self.on_progress
            )
        if settings.learning_curve:
            curve = trace_learning_curve(
                train, selection, folder.classes, settings, on_progress=self.on_progress
            )
        notices = (_NO_CURVE,) if settings.learning_curve and curve is None else ()
        backbone = extracted.extractor.backbone
        return Fitted(backbone, selection, splits, predictions, folds, curve, None, notices)

    def _unfreeze(
        self,
        extracted: Extracted,
        fitted: Fitted,
        workers: Workers,
        folder: CheckpointFolder,
        watch: Stopwatch,
    ) -> Fitted:
        """Train the last blocks; take the fine-tuned network if it is better."""
        budget = None if self.plan else self.settings.budget
        deadline = Deadline(None if budget is None else watch.began + budget)
        stage = Unfreezing(
            extracted.extractor, fitted.selection, fitted.splits, self.settings, workers, folder
        ).run(deadline, self.plan, self.on_progress)
        if isinstance(stage, str):
            return replace(fitted, notices=(stage, *fitted.notices))
        watch.seconds["second stage"] = stage.seconds
        if stage.splits is None:
            return replace(fitted, stage=stage)
        optimistic = not len(stage.splits.samples["test"])
        return replace(
            fitted,
            backbone=stage.backbone,
            selection=stage.selection,
            splits=stage.splits,
            fold_predictions={},
            stage=stage,
            notices=(*fitted.notices, *([_OPTIMISTIC] if optimistic else [])),
        )


def _build_extractor(
    backbone: Backbone, size: int, settings: FinetuneSettings, images: int
) -> FeatureExtractor:
    """Build the extractor of all features that the settings ask for."""
    blocks = BLOCKS["pooled+statistics" if settings.features == "auto" else settings.features]
    crops = CROPS[: settings.views]
    reader = ImageReader.from_settings(vars(settings))
    extractor = FeatureExtractor(backbone, size, blocks, crops, settings.executor, images, reader)
    _ = extractor.network
    return extractor


def _check_finite(features: Features, backbone: Backbone) -> None:
    if not all(np.isfinite(rows).all() for rows in features.blocks.values()):
        raise WeightsError(
            f"the outputs of '{backbone.name}' are not finite; its weights ({backbone.source}) "
            "are damaged: use others."
        )
