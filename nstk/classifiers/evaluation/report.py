"""The results of an evaluation: metrics, confused pairs, worst predictions, abstention."""

import html
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.label_matching import LabeledFiles
from nstk.classifiers.prediction.prediction import html_table
from nstk.datasets.listing import SkippedFile
from nstk.heads.calibration import Reliability
from nstk.heads.metrics import Evaluation, Interval, wilson_interval
from nstk.heads.selection import SplitPredictions
from nstk.types import Json, Probabilities, Targets

_JSON_KEYS = {"name": "class", "support": "images"}
_THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class ConfusedPair:
    """A class predicted as another."""

    actual: str
    predicted: str
    images: int
    share: float
    """Fraction of the images of the true class."""


@dataclass(frozen=True)
class ImageLoss:
    """The loss of one image; several labels are joined by |."""

    path: Path
    actual: str
    predicted: str
    probability: float
    """That of exactly the true labels."""
    loss: float
    """−log of the probability, in nats."""


@dataclass(frozen=True)
class Coverage:
    """How many images get a prediction at an abstention threshold, and how many rightly.

    An image that is out of distribution gets no prediction. The accuracy is None if none gets one.
    """

    abstain_below: float
    images: int
    share: float
    accuracy: float | None
    accuracy_interval: Interval | None


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

    def _repr_html_(self) -> str:
        names = ("recall", "precision", "f1")
        rows = [
            (score.name, score.support, *(_percent(getattr(score, name)) for name in names))
            for score in self.evaluation.per_class
        ]
        table = html_table(("class", "images", "recall", "precision", "F1"), rows)
        return f"<p>{html.escape(repr(self))}</p>{table}"

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
            return self.data.catalog.notices
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
            *self.data.catalog.notices,
            f"The classifier was trained on {which} images, so these metrics are optimistic; "
            f"{rest}.",
        )

    def to_dict(self) -> dict[str, Json]:
        """Convert to JSON values, as ``nstk evaluate --json`` prints them."""
        evaluation = self.evaluation
        return {
            "accuracy": evaluation.accuracy,
            "accuracy_interval": evaluation.accuracy_interval,
            "majority_share": evaluation.majority_share,
            "per_class": [
                {_JSON_KEYS.get(name, name): value for name, value in asdict(score).items()}
                for score in evaluation.per_class
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


def measure_coverage(predictions: SplitPredictions) -> tuple[Coverage, ...]:
    confidence = predictions.decision.confidence(predictions.probabilities)
    coverage = []
    for threshold in _THRESHOLDS:
        covered = (confidence >= threshold) & ~predictions.is_ood
        count, correct = int(covered.sum()), int(predictions.correct[covered].sum())
        coverage.append(
            Coverage(
                abstain_below=threshold,
                images=count,
                share=count / len(covered),
                accuracy=correct / count if count else None,
                accuracy_interval=wilson_interval(correct, count) if count else None,
            )
        )
    return tuple(coverage)


def find_confused_pairs(evaluation: Evaluation) -> tuple[ConfusedPair, ...]:
    """List pairs of a true and a wrongly predicted class, most frequent first."""
    pairs = [
        ConfusedPair(actual.name, predicted.name, count, count / actual.support)
        for actual, row in zip(evaluation.per_class, evaluation.confusion, strict=True)
        for predicted, count in zip(evaluation.per_class, row, strict=True)
        if count and actual is not predicted
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.images))


def rank_losses(
    predictions: SplitPredictions,
    classes: Sequence[str],
    count: int,
    display_path: Callable[[Path], Path] = lambda path: path,
) -> tuple[ImageLoss, ...]:
    """List the images with the largest losses, worst first, by the paths that users know."""
    probabilities, labels = predictions.decision.as_binary_problems(
        predictions.probabilities, predictions.targets
    )
    # The probability that all problems of an image are solved is the product.
    of_truth = probabilities[np.arange(len(labels)), labels]
    of_truth = of_truth.reshape(len(predictions.paths), -1).prod(axis=1)
    return find_top_losses(
        [display_path(path) for path in predictions.paths],
        of_truth,
        _format_labels(predictions.targets, classes),
        _format_labels(predictions.predicted, classes),
        count,
    )


def find_top_losses(
    paths: Sequence[Path],
    probabilities: Probabilities,
    actual: Sequence[str],
    predicted: Sequence[str],
    count: int,
) -> tuple[ImageLoss, ...]:
    """List the files with the least probable true labels, worst first."""
    return tuple(
        ImageLoss(
            path=paths[index],
            actual=actual[index],
            predicted=predicted[index],
            probability=float(probabilities[index]),
            loss=float(-np.log(max(probabilities[index], np.finfo(np.float32).tiny))),
        )
        for index in np.argsort(probabilities, kind="stable")[:count]
    )


def _format_labels(labels: Targets, classes: Sequence[str]) -> list[str]:
    """The labels of every image in the format of manifests."""
    return ["|".join(np.array(classes)[row]) for row in labels]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
