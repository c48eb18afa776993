"""The result of fine-tuning: a classifier, and how it was made."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.datasets.folders import LabeledFolder
from nstk.datasets.listing import SkippedFile
from nstk.finetuning.backbone_trials import BackboneTrial
from nstk.finetuning.unfreezing.result import SecondStage
from nstk.heads.calibration import Calibration, Reliability
from nstk.heads.learning_curve import LearningCurve
from nstk.heads.metrics import Evaluation, Interval
from nstk.heads.selection import Selection, SplitPredictions
from nstk.heads.splits import UsedFile
from nstk.types import Json

_PREFERENCE = ("test", "validation", "folds")


@dataclass(frozen=True, eq=False, repr=False)
class FinetuneResult:
    """A classifier and how it was made.

    Attributes:
        classifier: The classifier. Its head is fitted on the training images alone, so the
            accuracy on another split is that of this very classifier.
        evaluations: Metrics on each split that it was not fitted on: ``"validation"`` and, if the
            data have one, ``"test"``; and under ``"folds"`` the out-of-fold metrics of
            cross-validation.
        predictions: The predictions behind them, by the same names.
        backbone_trials: The networks tried for ``backbone="auto"``; empty if one was given.
        selection: The chosen head, and what it was chosen from.
        learning_curve: Accuracy by number of images, if asked for.
        second_stage: The result of unfreezing; None if nothing was unfrozen.
        train_images: Number of training images.
        validation_images: Number of validation images.
        test_images: Number of test images.
        folds: Number of folds; 0 without cross-validation.
        data: The data's path as given; None for images in memory.
        folder: The scanned data; images of a zip are files for as long as this lives.
        files: Every image used, with its digest, label and split.
        skipped: The files left out, and why.
        notices: Warnings about the data, one sentence each.
        forward_passes: Number of crops that went through the network: images × views, less those
            in the cache.
        executor: What ran the frozen network: ``"tensorflow"`` or ``"litert"``.
        seconds: Wall time of the stages ``scan``, ``features`` and ``head``, of ``backbones`` and
            ``second stage`` if there were any, and in ``total``.
    """

    classifier: Classifier
    evaluations: Mapping[str, Evaluation]
    predictions: Mapping[str, SplitPredictions]
    backbone_trials: tuple[BackboneTrial, ...]
    selection: Selection
    learning_curve: LearningCurve | None
    second_stage: SecondStage | None
    train_images: int
    validation_images: int
    test_images: int
    folds: int
    data: Path | None
    folder: LabeledFolder
    files: tuple[UsedFile, ...]
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]
    forward_passes: int
    executor: str
    seconds: Mapping[str, float]

    def __repr__(self) -> str:
        return (
            f"FinetuneResult({len(self.classes)} classes, accuracy {self.accuracy:.1%} on "
            f"{self.evaluation.images} {self.measured_on} images, {self.seconds['total']:.1f} s)"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(score.name)}</td><td>{score.support}</td>"
            f"<td>{_percent(score.recall)}</td><td>{_percent(score.precision)}</td></tr>"
            for score in self.evaluation.per_class
        )
        head = "<tr><th>class</th><th>images</th><th>recall</th><th>precision</th></tr>"
        return f"<p>{escape(repr(self))}</p><table>{head}{rows}</table>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the outputs."""
        return self.classifier.classes

    @property
    def features(self) -> str:
        """What the head sees: ``"pooled"`` or ``"pooled+statistics"``."""
        return self.selection.features

    @property
    def thresholds(self) -> Mapping[str, float] | None:
        """The probability from which each label is given; None if every image has one label."""
        values = self.classifier.decision.thresholds
        return None if values is None else dict(zip(self.classes, values, strict=True))

    @property
    def measured_on(self) -> str:
        """The split that `evaluation` is about: ``"test"``, ``"validation"`` or ``"folds"``."""
        return next(split for split in _PREFERENCE if split in self.evaluations)

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation to report."""
        return self.evaluations[self.measured_on]

    @property
    def calibration(self) -> Calibration:
        """The temperature, and its effect on out-of-fold training images."""
        return self.selection.calibration

    @property
    def reliability(self) -> Reliability:
        """Calibration error on the reported split."""
        return self.predictions[self.measured_on].reliability

    @property
    def reliability_before(self) -> Reliability:
        """The same at temperature 1."""
        return self.predictions[self.measured_on].reliability_before

    @property
    def accuracy(self) -> float:
        """Share of the images of the reported split that got exactly their labels."""
        return self.evaluation.accuracy

    @property
    def accuracy_interval(self) -> Interval:
        """95 % Wilson interval of the accuracy."""
        return self.evaluation.accuracy_interval

    def to_dict(self) -> dict[str, Json]:
        """All figures as plain values for JSON."""
        stage = self.second_stage and self.second_stage.to_dict()
        return {
            "classes": self.classes,
            "train_images": self.train_images,
            "validation_images": self.validation_images,
            "skipped": [{"path": str(file.path), "reason": file.reason} for file in self.skipped],
            "accuracy": self.accuracy,
            "forward_passes": self.forward_passes,
            "seconds": dict(self.seconds),
            "accuracy_interval": self.accuracy_interval,
            "majority_share": self.evaluation.majority_share,
            "folds": self.folds,
            "features": self.features,
            "backbone": self.classifier.backbone["name"],
            "backbone_trials": [asdict(trial) for trial in self.backbone_trials],
            "executor": self.executor,
            "size": self.classifier.size,
            "probe_accuracy": stage["probe_accuracy"] if stage else self.accuracy,
            "finetuned_accuracy": stage["finetuned_accuracy"] if stage else None,
            "p_value": stage["p_value"] if stage else None,
            "kept": stage["kept"] if stage else "probe",
            "second_stage": stage,
            "trials": {name: asdict(each) for name, each in self.selection.trials.items()},
            "mean_average_precision": self.evaluation.mean_average_precision,
            "thresholds": self.thresholds,
            "per_class": [asdict(score) for score in self.evaluation.per_class],
            "confusion": self.evaluation.confusion,
            "learning_curve": self.learning_curve and asdict(self.learning_curve),
            "ece": self.reliability.ece,
            "ece_interval": self.reliability.ece_interval,
            "temperature": self.calibration.temperature,
            "calibration": {
                "before": asdict(self.reliability_before),
                "after": asdict(self.reliability),
            },
            "calibration_out_of_fold": _describe_calibration(self.calibration),
            "notices": self.notices,
        }


def _describe_calibration(calibration: Calibration) -> dict[str, Json] | None:
    if calibration.before is None or calibration.after is None:
        return None
    return {
        "images": calibration.images,
        "before": asdict(calibration.before),
        "after": asdict(calibration.after),
    }


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
