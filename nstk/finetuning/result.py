"""What comes out of fine-tuning: a classifier, and how it came about."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.datasets.folders import LabeledFolder
from nstk.datasets.listing import SkippedFile
from nstk.finetuning.unfreezing.stage import SecondStage
from nstk.heads.calibration import Calibration
from nstk.heads.learning_curve import LearningCurve
from nstk.heads.metrics import Evaluation, Interval
from nstk.heads.predictions import SplitPredictions
from nstk.heads.reliability import Reliability
from nstk.heads.selection import Selection
from nstk.heads.splits import UsedFile


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """A classifier and how it came about.

    Attributes:
        classifier: The result; its head is fitted on the training images alone, so that an
            accuracy on another part is that of this very classifier.
        evaluations: How it fares on each part that it was not fitted on: ``"validation"`` and,
            where the folder has one, ``"test"``; and under ``"folds"`` how heads made in the same
            way fare on training images that they were not fitted on.
        answers: What was said there about every image, by the same names.
        selection: What was chosen from, and what.
        learning_curve: How accuracy grows with images, where that was asked for.
        second_stage: How the last blocks of the network learned and whether that was kept; None
            where nothing was unfrozen.
        train_images: How many images the head is fitted on.
        validation_images: How many images the validation part has.
        test_images: How many images the test part has.
        folds: How many folds were left out in turn; 0 where none were.
        data: The folder, as it was given; None where images came from memory.
        folder: What was found in it; images of a zip are files for as long as this lives.
        files: Every image that was used, with its digest, its label and its part.
        skipped: The files that were left out, and why.
        notices: What the reader of the folder should know, one sentence each.
        forward_passes: How many squares went through the network: images × views, less what
            the cache had.
        seconds: Wall time of the stages ``scan``, ``features`` and ``head``, of ``second stage``
            where there was one, and in ``total``.
    """

    classifier: Classifier
    evaluations: Mapping[str, Evaluation]
    answers: Mapping[str, SplitPredictions]
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
    seconds: Mapping[str, float]

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
        """From which probability on each label is given; None where every image has one."""
        values = self.classifier.decision.thresholds
        return None if values is None else dict(zip(self.classes, values, strict=True))

    @property
    def measured_on(self) -> str:
        """What `evaluation` is about: ``"test"``, ``"validation"`` or ``"folds"``."""
        return next(split for split in _BY_WORTH if split in self.evaluations)

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation to report."""
        return self.evaluations[self.measured_on]

    @property
    def calibration(self) -> Calibration:
        """The temperature, and what it does to training images left out."""
        return self.selection.calibration

    @property
    def reliability(self) -> Reliability:
        """How far the probabilities on that part are from the truth."""
        return self.answers[self.measured_on].reliability

    @property
    def reliability_before(self) -> Reliability:
        """The same at temperature 1."""
        return self.answers[self.measured_on].reliability_before

    @property
    def accuracy(self) -> float:
        """Share of the images of that part that were given exactly their labels."""
        return self.evaluation.accuracy

    @property
    def accuracy_interval(self) -> Interval:
        """Wilson interval of the accuracy, 95 %."""
        return self.evaluation.accuracy_interval


_BY_WORTH = ("test", "validation", "folds")
