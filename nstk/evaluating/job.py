"""Evaluating: a classifier meets labelled pictures, and every figure comes with its interval."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.errors import FolderError
from nstk.evaluating.figures import (
    ConfusedPair,
    Coverage,
    PictureLoss,
    find_confused_pairs,
    measure_coverage,
    rank_losses,
)
from nstk.evaluating.labelled import LabelledFiles, match_data
from nstk.finetuning.answers import Answers
from nstk.finetuning.classifier import Classifier
from nstk.finetuning.evaluation import Evaluation
from nstk.finetuning.evaluation import evaluate as compare
from nstk.finetuning.links import Matrix, Targets
from nstk.finetuning.reliability import Reliability
from nstk.media.listing import SkippedFile
from nstk.media.sources import Data
from nstk.predicting.job import Prediction, predict
from nstk.progress import Reporter, ignore
from nstk.settings import check_whole


@dataclass(frozen=True)
class Examination:
    """How a classifier fared on a folder of labelled pictures.

    Attributes:
        classifier: The classifier.
        evaluation: Accuracy, scores of each class and confusion matrix, with 95 % intervals.
        answers: What was said about every picture.
        coverage: For several least probabilities, how many pictures get an answer, and how many
            of them a right one.
        confused_pairs: What was taken for what, most frequent first.
        top_losses: The pictures whose truth was thought least likely, worst first.
        data: What was found; pictures of a zip are files for as long as this lives.
        place: Where the pictures were found: the folder with the classes, a manifest or a zip.
        missing: Classes of the classifier that no picture is said to show.
        extra: Classes that the classifier does not know; their pictures do not count.
        skipped: The files that were left out, and why.
        seconds: Wall time.
        images_per_second: Pictures read and classified in each second.
    """

    classifier: Classifier
    evaluation: Evaluation
    answers: Answers
    coverage: tuple[Coverage, ...]
    confused_pairs: tuple[ConfusedPair, ...]
    top_losses: tuple[PictureLoss, ...]
    data: LabelledFiles
    place: Path
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    seconds: float
    images_per_second: float

    @property
    def reliability(self) -> Reliability:
        """How far probabilities are from the truth; where pictures may have several labels, of
        the answers to "this label?" for every picture and label."""
        return self.answers.reliability

    @property
    def reliability_before(self) -> Reliability:
        """The same without the classifier's temperature."""
        return self.answers.reliability_before

    @property
    def ece(self) -> float:
        """Expected calibration error, in [0, 1]."""
        return self.reliability.ece

    @property
    def strange(self) -> int:
        """How many pictures are like nothing in training."""
        return int(self.answers.strange.sum())


def evaluate(
    classifier: Classifier,
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    losses: int = 10,
    on_progress: Reporter = ignore,
) -> Examination:
    """Measure a classifier on labelled pictures; classes are matched by name, never by place.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        data: A folder with one subfolder per class, or with parts of such, or a manifest or
            zip as `nstk.finetune` reads them; of parts ``test`` is taken, or ``val`` where
            there is none, or else ``train``. Or pictures from memory, as `nstk.finetune` takes
            them.
        class_names: Of pictures from memory, in the order of their labels; None for the
            classifier's own.
        losses: How many of the worst pictures to list.
        on_progress: Told about the stages ``"unpack"`` (of a zip), ``"store"`` (from
            memory) and ``"predict"``.

    Raises:
        FolderError: If it is no such data, or has no usable picture of a class that is known.
        SettingsError: If ``losses`` is negative.
    """
    check_whole("losses", losses, 0)
    began = time.perf_counter()
    found = match_data(
        data,
        classifier.classes,
        class_names=class_names,
        multi_label=classifier.multi_label,
        on_progress=on_progress,
    )
    truth = dict(found.files)
    started = time.perf_counter()
    predictions = predict(classifier, truth, top=len(classifier.classes), on_progress=on_progress)
    ended = time.perf_counter()
    seen = predictions.predictions
    if not seen:
        raise FolderError(f"{found.place} has no picture that can be read; give another folder.")
    positions = {name: position for position, name in enumerate(classifier.classes)}
    probabilities = np.zeros((len(seen), len(positions)))
    for row, each in zip(probabilities, seen, strict=True):
        for name, probability in each.top:
            row[positions[name]] = probability
    targets = np.zeros(probabilities.shape, bool)
    for row, each in zip(targets, seen, strict=True):
        row[list(truth[each.path])] = True
    answers = _gather(classifier, seen, probabilities, targets)
    counted = compare(targets, answers.assigned, probabilities, classifier.classes)
    return Examination(
        classifier=classifier,
        evaluation=counted,
        answers=answers,
        coverage=measure_coverage(answers),
        confused_pairs=find_confused_pairs(counted),
        top_losses=rank_losses(answers, classifier.classes, losses, found.name),
        data=found,
        place=found.place,
        missing=found.missing,
        extra=found.extra,
        skipped=(
            *found.skipped,
            *(SkippedFile(found.name(each.path), each.reason) for each in predictions.skipped),
        ),
        seconds=time.perf_counter() - began,
        images_per_second=len(seen) / (ended - started),
    )


def _gather(
    classifier: Classifier, seen: Sequence[Prediction], probabilities: Matrix, targets: Targets
) -> Answers:
    """Predictions as answers."""
    decision, temperature = classifier.decision, classifier.temperature
    strangeness = [each.strangeness for each in seen if each.strangeness is not None]
    return Answers(
        paths=tuple(each.path for each in seen),
        targets=targets,
        assigned=decision.assign(probabilities),
        logits=temperature * decision.link.logits(probabilities),
        temperatures=np.full(len(seen), temperature),
        decision=decision,
        strangeness=np.array(strangeness, np.float32) if len(strangeness) == len(seen) else None,
    )
