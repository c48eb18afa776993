"""What a classifier report shows, the same for `nstk.finetune` and `nstk.evaluate`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.report import (
    Coverage,
    EvaluationReport,
    ImageLoss,
    measure_coverage,
    rank_losses,
)
from nstk.datasets.listing import SkippedFile
from nstk.finetuning.backbone_trials import BackboneTrial
from nstk.finetuning.result import FinetuneResult
from nstk.finetuning.unfreezing.result import SecondStage
from nstk.heads.learning_curve import LearningCurve
from nstk.heads.metrics import ClassScore, Evaluation
from nstk.heads.selection import SplitPredictions
from nstk.reports.pages import render_blocks

LOSSES = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class ReportData:
    """A classifier and its predictions on some images.

    ``train_images`` and ``train_overlap``, how many of the measured images it was trained on, are
    None where that is unknown. ``unseen`` measures the others, where some but not all were.
    ``folds`` is 0 where the classifier itself predicted.
    """

    classifier: Classifier
    data: Path | None
    measured_on: str
    evaluation: Evaluation
    predictions: SplitPredictions
    train_images: int | None
    train_overlap: int | None
    unseen: Evaluation | None = None
    folds: int = 0
    backbone_trials: tuple[BackboneTrial, ...] = ()
    learning_curve: LearningCurve | None = None
    second_stage: SecondStage | None = None
    notices: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    facts: Mapping[str, str | int | None]
    seconds: float
    display_path: Callable[[Path], Path]

    @property
    def place(self) -> str:
        return "images in memory" if self.data is None else str(self.data)

    @property
    def coverage(self) -> tuple[Coverage, ...]:
        """Accuracy at several abstention thresholds."""
        return measure_coverage(self.predictions)

    @property
    def losses(self) -> tuple[ImageLoss, ...]:
        """The images whose true class got the lowest probability, worst first."""
        return rank_losses(self.predictions, self.classifier.classes, LOSSES)

    @property
    def weakest_class(self) -> ClassScore | None:
        scores = [score for score in self.evaluation.per_class if score.recall is not None]
        return min(scores, key=lambda score: score.recall or 0.0) if len(scores) > 1 else None


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
        folds=folds,
        backbone_trials=made.backbone_trials,
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
    return ReportData(
        classifier=made.classifier,
        data=made.root,
        measured_on="all images",
        evaluation=made.evaluation,
        predictions=made.predictions,
        train_images=made.classifier.results.get("images", {}).get("train"),
        train_overlap=made.train_overlap,
        unseen=made.unseen,
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


def compose_model_card(data: ReportData) -> Mapping[str, str]:
    """Return the model card's headings and texts, for the page and the text file."""
    blocks = render_blocks("model-card.txt", data=data)
    return {name.replace("_", " ").capitalize(): text for name, text in blocks.items()}
