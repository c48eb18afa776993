"""What a classifier report shows, the same for `nstk.finetune` and `nstk.evaluate`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.metrics import Coverage, ImageLoss, measure_coverage, rank_losses
from nstk.classifiers.evaluation.report import EvaluationReport
from nstk.datasets.listing import SkippedFile
from nstk.finetuning.result import FinetuneResult
from nstk.finetuning.unfreezing.result import SecondStage
from nstk.heads.learning_curve import LearningCurve
from nstk.heads.metrics import Evaluation
from nstk.heads.predictions import SplitPredictions

LOSSES = 8


@dataclass(frozen=True, eq=False)
class ReportData:
    """A classifier and its predictions on some images.

    Attributes:
        classifier: The classifier.
        data: Where the images are; None for images in memory.
        measured_on: Which of them it was measured on, in words.
        evaluation: Its metrics.
        predictions: Its predictions for every image.
        train_images: How many images it was trained on; None where that is unknown.
        train_overlap: How many of the measured images were training images; None where that is
            unknown.
        unseen: Metrics on the other images, where some but not all were training images.
        folds: Number of folds of a cross-validation; 0 where the classifier itself predicted.
        learning_curve: Accuracy by number of training images, where that was measured.
        second_stage: The result of unfreezing blocks, in the run that trained the classifier.
        notices: Remarks for the reader, one sentence each.
        skipped: The files that were skipped, and why.
        facts: Other facts about the images.
        seconds: Wall time.
        display_path: Returns the path of an image as its owner knows it.
    """

    classifier: Classifier
    data: Path | None
    measured_on: str
    evaluation: Evaluation
    predictions: SplitPredictions
    train_images: int | None
    train_overlap: int | None
    unseen: Evaluation | None
    folds: int
    learning_curve: LearningCurve | None
    second_stage: SecondStage | None
    notices: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    facts: Mapping[str, str | int | None]
    seconds: float
    display_path: Callable[[Path], Path]

    @property
    def place(self) -> str:
        """Where the images are, in words."""
        return "images in memory" if self.data is None else str(self.data)

    @property
    def data_name(self) -> str:
        """The last part of that place."""
        return self.place if self.data is None else self.data.resolve().name

    @property
    def coverage(self) -> tuple[Coverage, ...]:
        """Accuracy at several abstention thresholds."""
        return measure_coverage(self.predictions)

    @property
    def losses(self) -> tuple[ImageLoss, ...]:
        """The images whose true class got the lowest probability, worst first."""
        return rank_losses(self.predictions, self.classifier.classes, LOSSES)


def from_finetuning(made: FinetuneResult) -> ReportData:
    """Describe a new classifier, measured on images that it was not trained on."""
    split = made.measured_on
    folds = made.folds if split == "folds" else 0
    return ReportData(
        classifier=made.classifier,
        data=made.data,
        measured_on=f"the training images by {folds}-fold cross-validation"
        if folds
        else f"the {split} split",
        evaluation=made.evaluation,
        predictions=made.predictions[split],
        train_images=made.train_images,
        train_overlap=made.evaluation.images if folds else 0,
        unseen=None,
        folds=folds,
        learning_curve=made.learning_curve,
        second_stage=made.second_stage,
        notices=made.notices,
        skipped=made.skipped,
        facts={
            "training images": made.train_images,
            "validation images": made.validation_images,
            "test images": made.test_images,
        },
        seconds=made.seconds["total"],
        display_path=made.folder.display_path,
    )


def from_evaluation(made: EvaluationReport) -> ReportData:
    """Describe a classifier, measured on labeled images."""
    images = made.classifier.results.get("images", {})
    return ReportData(
        classifier=made.classifier,
        data=made.root,
        measured_on="all images",
        evaluation=made.evaluation,
        predictions=made.predictions,
        train_images=images.get("train"),
        train_overlap=made.train_overlap,
        unseen=made.unseen,
        folds=0,
        learning_curve=None,
        second_stage=None,
        notices=made.notices,
        skipped=made.skipped,
        facts={
            "classes without images": ", ".join(made.missing) or None,
            "classes unknown to the classifier": ", ".join(made.extra) or None,
            "images per second": round(made.images_per_second),
        },
        seconds=made.seconds,
        display_path=made.data.display_path,
    )
