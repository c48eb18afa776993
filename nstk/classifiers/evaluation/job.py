"""Evaluation: a classifier on labeled images, with a confidence interval for every metric."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.label_matching import LabeledFiles, match_classes
from nstk.classifiers.evaluation.metrics import (
    ConfusedPair,
    Coverage,
    ImageLoss,
    find_confused_pairs,
    measure_coverage,
    rank_losses,
)
from nstk.classifiers.prediction.job import Prediction, PredictSettings, stream_predictions
from nstk.classifiers.run_records import find_record
from nstk.datasets.listing import SkippedFile
from nstk.datasets.sources import Data
from nstk.errors import FolderError
from nstk.heads.links import Matrix
from nstk.heads.metrics import Evaluation
from nstk.heads.metrics import evaluate as compute_metrics
from nstk.heads.predictions import SplitPredictions
from nstk.heads.reliability import Reliability
from nstk.progress import Reporter, no_progress
from nstk.settings import check_whole


@dataclass(frozen=True, repr=False)
class EvaluationReport:
    """Results of a classifier on labeled images.

    Attributes:
        classifier: The classifier.
        evaluation: Accuracy, per-class metrics and confusion matrix, with 95 % intervals.
        predictions: The prediction for every image.
        coverage: Coverage and accuracy at several abstention thresholds.
        confused_pairs: Pairs of a true and a predicted class, most frequent first.
        top_losses: The images with the largest losses, worst first.
        data: The labeled files; those of a zip exist as long as this object.
        train_overlap: Number of the images that the classifier was trained on; None without a
            record.
        unseen: Metrics on the other images, if it was trained on some but not on all of them.
        skipped: The skipped files, with reasons.
        seconds: Wall time.
        images_per_second: Images read and classified per second.
    """

    classifier: Classifier
    evaluation: Evaluation
    predictions: SplitPredictions
    coverage: tuple[Coverage, ...]
    confused_pairs: tuple[ConfusedPair, ...]
    top_losses: tuple[ImageLoss, ...]
    data: LabeledFiles
    train_overlap: int | None
    unseen: Evaluation | None
    skipped: tuple[SkippedFile, ...]
    seconds: float
    images_per_second: float

    def __repr__(self) -> str:
        low, high = self.evaluation.accuracy_interval
        return (
            f"EvaluationReport(accuracy {100 * self.accuracy:.1f} % "
            f"({100 * low:.1f}–{100 * high:.1f} %), {self.evaluation.images} images)"
        )

    @property
    def accuracy(self) -> float:
        """Fraction of the images with exactly the right labels."""
        return self.evaluation.accuracy

    @property
    def root(self) -> Path:
        """The folder with the classes, the manifest or the zip."""
        return self.data.root

    @property
    def missing(self) -> tuple[str, ...]:
        """Classes of the classifier without images."""
        return self.data.missing

    @property
    def extra(self) -> tuple[str, ...]:
        """Classes that the classifier does not have; their images are skipped."""
        return self.data.extra

    @property
    def reliability(self) -> Reliability:
        """Calibration of the probabilities; in multi-label data over all labels of all images."""
        return self.predictions.reliability

    @property
    def reliability_before(self) -> Reliability:
        """Calibration without the classifier's temperature."""
        return self.predictions.reliability_before

    @property
    def ece(self) -> float:
        """Expected calibration error, in [0, 1]."""
        return self.reliability.ece

    @property
    def ood_count(self) -> int | None:
        """Number of images out of distribution; None without a detector."""
        return self.predictions.ood_count

    @property
    def notices(self) -> tuple[str, ...]:
        """Warnings, one sentence each."""
        if not self.train_overlap:
            return ()
        if self.unseen is None:
            which, rest = f"all {self.train_overlap} of these", "evaluate it on other images"
        else:
            low, high = self.unseen.accuracy_interval
            which = f"{self.train_overlap} of these {self.evaluation.images}"
            rest = (
                f"on the {self.unseen.images} others the accuracy is "
                f"{100 * self.unseen.accuracy:.1f} % ({100 * low:.1f}–{100 * high:.1f} %)"
            )
        return (
            f"The classifier was trained on {which} images, so these metrics are optimistic; "
            f"{rest}.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values, as ``nstk evaluate --json`` prints them."""
        evaluation = self.evaluation
        return {
            "accuracy": evaluation.accuracy,
            "accuracy_interval": evaluation.accuracy_interval,
            "per_class": [
                {("class" if key == "name" else "images" if key == "support" else key): value}
                for score in evaluation.per_class
                for key, value in asdict(score).items()
            ],
            "confusion": evaluation.confusion,
            "mean_average_precision": evaluation.mean_average_precision,
            "ece": self.ece,
            "images": evaluation.images,
            "skipped": [each.to_dict() for each in self.skipped],
            "seconds": self.seconds,
            "ece_interval": self.reliability.ece_interval,
            "temperature": self.classifier.temperature,
            "calibration": {
                "before": self.reliability_before.to_dict(),
                "after": self.reliability.to_dict(),
            },
            "ood_count": self.ood_count,
            "coverage": [asdict(each) for each in self.coverage],
            "learned_images": self.train_overlap,
            "others": self.unseen
            and {
                "images": self.unseen.images,
                "accuracy": self.unseen.accuracy,
                "accuracy_interval": self.unseen.accuracy_interval,
            },
            "missing": self.missing,
            "extra": self.extra,
            "confused_pairs": [asdict(each) for each in self.confused_pairs],
            "top_losses": [{**asdict(each), "path": str(each.path)} for each in self.top_losses],
            "notices": self.notices,
        }


def evaluate(
    classifier: Classifier,
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    losses: int = 10,
    record: str | Path | None = None,
    on_progress: Reporter = no_progress,
) -> EvaluationReport:
    """Evaluate a classifier on labeled images; classes are matched by name.

    Args:
        classifier: A classifier from `nstk.finetune` or `nstk.Classifier.load`.
        data: A folder with one subfolder per class, or with splits of such folders, a manifest or
            a zip, as for `nstk.finetune`. Of splits, ``test`` is used, or ``val`` without it, or
            else ``train``. Or images from memory, as for `nstk.finetune`.
        class_names: Class names of images from memory, in the order of their labels; None for
            those of the classifier.
        losses: Number of the worst images to list.
        record: The file that `nstk.save_manifest` wrote for the classifier, which identifies the
            training images by content. None skips this check, as does another classifier's file.
        on_progress: Receives the stages ``"unpack"`` (of a zip), ``"store"`` (from memory) and
            ``"predict"``.

    Raises:
        FolderError: If the data are none of these, or have no usable image of the classifier's
            classes.
        SettingsError: If ``losses`` is negative.

    Example:
        >>> nstk.evaluate(classifier, "insects-test/")  # doctest: +SKIP
        EvaluationReport(accuracy 94.1 % (89.2–96.9 %), 153 images)
    """
    check_whole("losses", losses, 0)
    began = time.perf_counter()
    files = match_classes(
        data,
        classifier.classes,
        class_names=class_names,
        multi_label=classifier.multi_label,
        on_progress=on_progress,
    )
    labels = dict(files.files)
    started = time.perf_counter()
    predicted = _predict(classifier, labels, on_progress)
    ended = time.perf_counter()
    count = len(predicted.digests)
    if not count:
        raise FolderError(f"{files.root}: no image can be read; give another folder.")
    predictions, evaluation = predicted.predictions, predicted.evaluate(np.ones(count, bool))
    trained = None if record is None else _find_trained(record, classifier, predicted.digests)
    overlap = None if trained is None else int(trained.sum())
    partial = trained is not None and 0 < int(trained.sum()) < count
    return EvaluationReport(
        classifier=classifier,
        evaluation=evaluation,
        predictions=predictions,
        coverage=measure_coverage(predictions),
        confused_pairs=find_confused_pairs(evaluation),
        top_losses=rank_losses(predictions, classifier.classes, losses, files.display_path),
        data=files,
        train_overlap=overlap,
        unseen=predicted.evaluate(~trained) if trained is not None and partial else None,
        skipped=(
            *files.skipped,
            *(SkippedFile(files.display_path(each.path), each.reason) for each in predicted.unread),
        ),
        seconds=time.perf_counter() - began,
        images_per_second=count / (ended - started),
    )


@dataclass(frozen=True, eq=False)
class _PredictedImages:
    """Predictions for labeled images.

    Attributes:
        classifier: The classifier.
        probabilities: Its outputs, ``(n, C)``.
        predictions: The same with the true labels.
        digests: SHA-256 of each image.
        unread: The unreadable images, with reasons.
    """

    classifier: Classifier
    probabilities: Matrix
    predictions: SplitPredictions
    digests: Sequence[str]
    unread: Sequence[SkippedFile]

    def evaluate(self, mask: npt.NDArray[np.bool_]) -> Evaluation:
        """Metrics on the images for which ``mask`` ``(n,)`` is true."""
        targets, predicted = self.predictions.targets[mask], self.predictions.predicted[mask]
        return compute_metrics(
            targets, predicted, self.probabilities[mask], self.classifier.classes
        )


def _predict(
    classifier: Classifier, labels: Mapping[Path, Sequence[int]], on_progress: Reporter
) -> _PredictedImages:
    decision, temperature = classifier.decision, classifier.temperature
    columns = {name: column for column, name in enumerate(classifier.classes)}
    predictions: list[Prediction] = []
    unread: list[SkippedFile] = []
    settings = PredictSettings(top=len(columns))
    for each in stream_predictions(classifier, [*labels], settings, on_progress=on_progress):
        (predictions if isinstance(each, Prediction) else unread).append(each)  # type: ignore[arg-type]
    probabilities = np.zeros((len(predictions), len(columns)))
    targets = np.zeros(probabilities.shape, bool)
    for row, target, each in zip(probabilities, targets, predictions, strict=True):
        target[list(labels[each.path])] = True
        for name, probability in each.top:
            row[columns[name]] = probability
    scores = [each.ood_score for each in predictions if each.ood_score is not None]
    split = SplitPredictions(
        paths=tuple(each.path for each in predictions),
        targets=targets,
        predicted=decision.predict(probabilities),
        logits=temperature * decision.link.logits(probabilities),
        temperatures=np.full(len(predictions), temperature),
        decision=decision,
        ood_score=np.array(scores, np.float32) if len(scores) == len(predictions) else None,
    )
    digests = [each.digest for each in predictions]
    return _PredictedImages(classifier, probabilities, split, digests, unread)


def _find_trained(
    record: str | Path, classifier: Classifier, digests: Sequence[str]
) -> npt.NDArray[np.bool_] | None:
    """Which images the classifier was trained on, ``(n,)``; None without its record."""
    card = find_record(record, classifier)
    if card is None:
        return None
    trained = {file["sha256"] for file in card["files"] if file["split"] == "train"}
    return np.array([digest in trained for digest in digests], bool)
