"""Evaluating: a classifier meets labelled pictures, and every figure comes with its interval."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.errors import FolderError
from nstk.evaluating.figures import (
    ConfusedPair,
    PictureLoss,
    ReliabilityBin,
    expected_calibration_error,
    find_confused_pairs,
    find_top_losses,
    sort_by_confidence,
)
from nstk.evaluating.labelled import match_data
from nstk.finetuning.classifier import Classifier
from nstk.finetuning.evaluation import Evaluation
from nstk.finetuning.evaluation import evaluate as compare
from nstk.finetuning.links import Targets
from nstk.media.listing import SkippedFile
from nstk.media.sources import Data
from nstk.predicting.job import predict
from nstk.progress import Reporter, ignore
from nstk.settings import check_range


@dataclass(frozen=True)
class Examination:
    """How a classifier fared on a folder of labelled pictures.

    Attributes:
        evaluation: Accuracy, scores of each class and confusion matrix, with 95 % intervals.
        ece: Expected calibration error, in [0, 1]: how far probabilities are from the truth.
        reliability: Probability against accuracy, in up to 15 bins; where pictures may have
            several labels, of the answers to "this label?" for every picture and label.
        confused_pairs: What was taken for what, most frequent first.
        top_losses: The pictures whose truth was thought least likely, worst first.
        place: Where the pictures were found: the folder with the classes, a manifest or a zip.
        missing: Classes of the classifier that no picture is said to show.
        extra: Classes that the classifier does not know; their pictures do not count.
        skipped: The files that were left out, and why.
        seconds: Wall time.
        images_per_second: Pictures read and classified in each second.
    """

    evaluation: Evaluation
    ece: float
    reliability: tuple[ReliabilityBin, ...]
    confused_pairs: tuple[ConfusedPair, ...]
    top_losses: tuple[PictureLoss, ...]
    place: Path
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    seconds: float
    images_per_second: float


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
    check_range("losses", losses, 0)
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
    decision = classifier.decision
    assigned = decision.assign(probabilities)
    counted = compare(targets, assigned, probabilities, classifier.classes)
    posed, right = decision.pose(probabilities, targets)
    bins = sort_by_confidence(posed, right)
    # The answers to the questions about a picture are all right with the product.
    of_truth = posed[np.arange(len(right)), right].reshape(len(seen), -1).prod(axis=1)
    return Examination(
        evaluation=counted,
        ece=expected_calibration_error(bins),
        reliability=bins,
        confused_pairs=find_confused_pairs(counted),
        top_losses=find_top_losses(
            [found.name(each.path) for each in seen],
            of_truth,
            _spell(targets, classifier.classes),
            _spell(assigned, classifier.classes),
            losses,
        ),
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


def _spell(labels: Targets, classes: Sequence[str]) -> list[str]:
    """The names of the labels of every picture, as a manifest writes them."""
    return ["|".join(np.array(classes)[row]) for row in labels]
