"""What a report is about, whether the classifier was just made or met other images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.figures import Coverage, ImageLoss, measure_coverage, rank_losses
from nstk.classifiers.evaluation.job import EvaluationReport
from nstk.datasets.listing import SkippedFile
from nstk.finetuning.result import FinetuneResult
from nstk.finetuning.unfreezing.stage import SecondStage
from nstk.heads.learning_curve import LearningCurve
from nstk.heads.metrics import Evaluation
from nstk.heads.predictions import SplitPredictions

LOSSES = 8


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier and how it fared on some images.

    Attributes:
        classifier: The classifier.
        data: Where the images are from; None where they came from memory.
        measured_on: Which of them it was measured on, in words.
        evaluation: How it fared.
        answers: What it said about every image.
        learned_from: How many images it learned from; None where that is not known.
        learned: How many of the images that it was measured on are among these; None where that
            is not known.
        others: How it fared on the rest of them, where it has learned from some.
        folds: In how many folds the images were left out in turn, each asked of a head that had
            not learned from it; 0 where the classifier itself was asked.
        learning_curve: How accuracy grows with images, where that was measured.
        second_stage: What came out where blocks of the network learned in the run that made it.
        notices: What the reader should know, one sentence each.
        skipped: The files that were left out, and why.
        facts: Other facts about the images.
        seconds: Wall time.
        name: Gives the path of an image as its owner knows it.
    """

    classifier: Classifier
    data: Path | None
    measured_on: str
    evaluation: Evaluation
    answers: SplitPredictions
    learned_from: int | None
    learned: int | None
    others: Evaluation | None
    folds: int
    learning_curve: LearningCurve | None
    second_stage: SecondStage | None
    notices: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    facts: Mapping[str, str | int | None]
    seconds: float
    name: Callable[[Path], Path]

    @property
    def place(self) -> str:
        """Where the images are from, in words."""
        return "images from memory" if self.data is None else str(self.data)

    @property
    def name_of_data(self) -> str:
        """The last part of that place."""
        return self.place if self.data is None else self.data.resolve().name

    @property
    def strange(self) -> int | None:
        """How many images are like nothing in training; None where that is not known."""
        return None if self.answers.ood_score is None else int(self.answers.strange.sum())

    @property
    def coverage(self) -> tuple[Coverage, ...]:
        """What it brings to say nothing about some images."""
        return measure_coverage(self.answers)

    @property
    def losses(self) -> tuple[ImageLoss, ...]:
        """The images whose truth was thought least likely, worst first."""
        return rank_losses(self.answers, self.classifier.classes, LOSSES)


def describe_finetuning(made: FinetuneResult) -> Subject:
    """A classifier that was just made, on what it was not fitted on."""
    split = made.measured_on
    folds = made.folds if split == "folds" else 0
    return Subject(
        classifier=made.classifier,
        data=made.data,
        measured_on=f"the training images, each left out once in {folds} folds"
        if folds
        else f"the {split} part",
        evaluation=made.evaluation,
        answers=made.answers[split],
        learned_from=made.train_images,
        learned=made.evaluation.images if folds else 0,
        others=None,
        folds=folds,
        learning_curve=made.learning_curve,
        second_stage=made.second_stage,
        notices=made.notices,
        skipped=made.skipped,
        facts={
            "images learned from": made.train_images,
            "validation images": made.validation_images,
            "test images": made.test_images,
        },
        seconds=made.seconds["total"],
        name=made.folder.name,
    )


def describe_examination(made: EvaluationReport) -> Subject:
    """A classifier that met labeled images."""
    images = made.classifier.results.get("images", {})
    return Subject(
        classifier=made.classifier,
        data=made.place,
        measured_on="all of its images",
        evaluation=made.evaluation,
        answers=made.answers,
        learned_from=images.get("train"),
        learned=made.learned,
        others=made.others,
        folds=0,
        learning_curve=None,
        second_stage=None,
        notices=made.notices,
        skipped=made.skipped,
        facts={
            "classes without an image": ", ".join(made.missing) or None,
            "classes that it does not know": ", ".join(made.extra) or None,
            "images a second": round(made.images_per_second),
        },
        seconds=made.seconds,
        name=made.data.name,
    )
