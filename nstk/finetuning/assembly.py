"""From features and a fitted head to a classifier and its metrics."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.inference import attach_head
from nstk.datasets.folders import LabeledFolder
from nstk.datasets.listing import SkippedFile
from nstk.datasets.sources import Data
from nstk.features.extractor import FeatureExtractor, Features
from nstk.features.networks import build_extractor
from nstk.finetuning.backbone_trials import BackboneTrial
from nstk.finetuning.result import FinetuneResult
from nstk.finetuning.unfreezing.result import SecondStage
from nstk.heads.learning_curve import LearningCurve
from nstk.heads.metrics import Evaluation, evaluate
from nstk.heads.out_of_distribution import fit_ood_detector
from nstk.heads.selection import Selection, SplitPredictions, predict_splits
from nstk.heads.splits import Splits
from nstk.progress import Stopwatch
from nstk.settings import FinetuneSettings
from nstk.types import Json


@dataclass(frozen=True, eq=False)
class Extracted:
    """The data and its features."""

    folder: LabeledFolder
    extractor: FeatureExtractor
    features: Features
    splits: Splits
    trials: tuple[BackboneTrial, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The network and its head, and how they were chosen."""

    backbone: Backbone
    selection: Selection
    splits: Splits
    fold_predictions: dict[str, SplitPredictions]
    folds: int
    curve: LearningCurve | None
    stage: SecondStage | None
    notices: tuple[str, ...]


def assemble_result(
    extracted: Extracted, fitted: Fitted, settings: FinetuneSettings, data: Data, watch: Stopwatch
) -> FinetuneResult:
    """Evaluate the head, and put the classifier and the result together."""
    folder, features = extracted.folder, extracted.features
    selection, splits = fitted.selection, fitted.splits
    train = splits.samples["train"]
    detector = fit_ood_detector(
        train.vectors[selection.features], train.strata, train.groups, settings.seed
    )
    predictions = predict_splits(selection, detector, splits, settings.balance)
    predictions |= fitted.fold_predictions
    evaluations = {
        split: evaluate(each.targets, each.predicted, each.probabilities, folder.classes)
        for split, each in predictions.items()
    }
    extractor, head = extracted.extractor, selection.calibrated
    network = build_extractor(fitted.backbone, extractor.size, selection.features, extractor.crops)
    pretrained = extractor.backbone
    classifier = Classifier(
        model=attach_head(network, head),
        classes=folder.classes,
        size=extractor.size,
        decision=head.decision,
        backbone={
            "name": pretrained.name,
            "digest": pretrained.digest,
            "input_size": pretrained.input_size,
            "source": pretrained.source,
        },
        settings=asdict(settings),
        results=_summarize(fitted, evaluations, predictions),
        temperature=selection.calibration.temperature,
        ood_detector=detector,
    )
    skipped = (
        SkippedFile(folder.display_path(each.path), each.reason) for each in features.skipped
    )
    return FinetuneResult(
        classifier=classifier,
        evaluations=evaluations,
        predictions=predictions,
        backbone_trials=extracted.trials,
        selection=selection,
        learning_curve=fitted.curve,
        second_stage=fitted.stage,
        train_images=len(train),
        validation_images=len(splits.samples["validation"]),
        test_images=len(splits.samples["test"]),
        folds=fitted.folds,
        data=Path(data) if isinstance(data, str | Path) else None,
        folder=folder,
        files=splits.files,
        skipped=(*folder.skipped, *skipped),
        notices=(*folder.notices, *splits.notices, *extracted.notices, *fitted.notices),
        forward_passes=features.forward_passes,
        executor=extractor.chosen_executor,
        seconds={**watch.seconds, "total": watch.total},
    )


def _summarize(
    fitted: Fitted,
    evaluations: Mapping[str, Evaluation],
    predictions: Mapping[str, SplitPredictions],
) -> dict[str, Json]:
    """The results in the classifier's file."""
    selection = fitted.selection
    return {
        "features": selection.features,
        "l2": selection.head.l2,
        "trials": {
            name: {key: value if isfinite(value) else None for key, value in asdict(trial).items()}
            for name, trial in selection.trials.items()
        },
        "images": {split: len(samples) for split, samples in fitted.splits.samples.items()},
        "accuracy": {split: each.accuracy for split, each in evaluations.items()},
        "accuracy_interval": {
            split: list(each.accuracy_interval) for split, each in evaluations.items()
        },
        "ece": {split: each.reliability.ece for split, each in predictions.items()},
        "ece_interval": {
            split: list(each.reliability.ece_interval) for split, each in predictions.items()
        },
        "ece_before": {split: each.reliability_before.ece for split, each in predictions.items()},
        "second_stage": fitted.stage and fitted.stage.to_dict(),
    }
