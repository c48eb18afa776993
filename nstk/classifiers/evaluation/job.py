"""Evaluating: a classifier meets labeled images, and every figure comes with its interval."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.figures import (
    ConfusedPair,
    Coverage,
    ImageLoss,
    find_confused_pairs,
    measure_coverage,
    rank_losses,
)
from nstk.classifiers.evaluation.labeled import LabeledFiles, match_data
from nstk.classifiers.prediction.job import Prediction, stream_predictions
from nstk.classifiers.run_records import find_record
from nstk.datasets.listing import SkippedFile
from nstk.datasets.sources import Data
from nstk.errors import FolderError
from nstk.heads.links import Matrix
from nstk.heads.metrics import Evaluation
from nstk.heads.metrics import evaluate as compare
from nstk.heads.predictions import SplitPredictions
from nstk.heads.reliability import Reliability
from nstk.progress import Reporter, no_progress
from nstk.settings import check_whole


@dataclass(frozen=True)
class EvaluationReport:
    """How a classifier fared on a folder of labeled images.

    Attributes:
        classifier: The classifier.
        evaluation: Accuracy, scores of each class and confusion matrix, with 95 % intervals.
        answers: What was said about every image.
        coverage: For several least probabilities, how many images get an answer, and how many
            of them a right one.
        confused_pairs: What was taken for what, most frequent first.
        top_losses: The images whose truth was thought least likely, worst first.
        data: What was found; images of a zip are files for as long as this lives.
        place: Where the images were found: the folder with the classes, a manifest or a zip.
        missing: Classes of the classifier that no image is said to show.
        extra: Classes that the classifier does not know; their images do not count.
        learned: How many of the images the classifier has learned from; None where no record
            says.
        others: The same as `evaluation` for the others, where it has learned from some but not
            from all; None elsewhere.
        skipped: The files that were left out, and why.
        seconds: Wall time.
        images_per_second: Images read and classified in each second.
    """

    classifier: Classifier
    evaluation: Evaluation
    answers: SplitPredictions
    coverage: tuple[Coverage, ...]
    confused_pairs: tuple[ConfusedPair, ...]
    top_losses: tuple[ImageLoss, ...]
    data: LabeledFiles
    place: Path
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    learned: int | None
    others: Evaluation | None
    skipped: tuple[SkippedFile, ...]
    seconds: float
    images_per_second: float

    @property
    def reliability(self) -> Reliability:
        """How far probabilities are from the truth; where images may have several labels, of
        the answers to "this label?" for every image and label."""
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
    def strange(self) -> int | None:
        """How many images are like nothing in training; None where that is not known."""
        return None if self.answers.ood_score is None else int(self.answers.strange.sum())

    @property
    def notices(self) -> tuple[str, ...]:
        """What the reader should know, one sentence each."""
        if not self.learned:
            return ()
        if self.others is None:
            which, rest = f"all {self.learned} of these", "evaluate it on images that it has not"
        else:
            low, high = self.others.accuracy_interval
            which = f"{self.learned} of these {self.evaluation.images}"
            rest = (
                f"on the {self.others.images} that it has not learned from the accuracy is "
                f"{100 * self.others.accuracy:.1f} % ({100 * low:.1f}–{100 * high:.1f} %)"
            )
        return (
            f"The classifier has learned from {which} images, so its figures are better here "
            f"than elsewhere; {rest}.",
        )


def evaluate(
    classifier: Classifier,
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    losses: int = 10,
    record: str | Path | None = None,
    on_progress: Reporter = no_progress,
) -> EvaluationReport:
    """Measure a classifier on labeled images; classes are matched by name, never by place.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        data: A folder with one subfolder per class, or with parts of such, or a manifest or
            zip as `nstk.finetune` reads them; of parts ``test`` is taken, or ``val`` where
            there is none, or else ``train``. Or images from memory, as `nstk.finetune` takes
            them.
        class_names: Of images from memory, in the order of their labels; None for the
            classifier's own.
        losses: How many of the worst images to list.
        record: The file that `nstk.save_manifest` wrote when the classifier was made; it says
            which images the classifier has learned from, by their content. None leaves that
            open, and so does the record of another classifier.
        on_progress: Told about the stages ``"unpack"`` (of a zip), ``"store"`` (from
            memory) and ``"predict"``.

    Raises:
        FolderError: If it is no such data, or has no usable image of a class that is known.
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
    heard = _ask(classifier, truth, on_progress)
    ended = time.perf_counter()
    count = len(heard.digests)
    if not count:
        raise FolderError(f"{found.place} has no image that can be read; give another folder.")
    answers, counted = heard.answers, heard.count(np.ones(count, bool))
    known = None if record is None else _recall(record, classifier, heard.digests)
    learned = None if known is None else int(known.sum())
    return EvaluationReport(
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
        learned=learned,
        others=heard.count(~known) if known is not None and 0 < (learned or 0) < count else None,
        skipped=(
            *found.skipped,
            *(SkippedFile(found.name(each.path), each.reason) for each in heard.unread),
        ),
        seconds=time.perf_counter() - began,
        images_per_second=count / (ended - started),
    )


@dataclass(frozen=True, eq=False)
class _Heard:
    """What a classifier said about images.

    Attributes:
        classifier: Who said it.
        probabilities: As they were said, ``(n, C)``.
        answers: The same with the truth.
        digests: SHA-256 of each image.
        unread: The images that cannot be read, and why.
    """

    classifier: Classifier
    probabilities: Matrix
    answers: SplitPredictions
    digests: Sequence[str]
    unread: Sequence[SkippedFile]

    def count(self, which: npt.NDArray[np.bool_]) -> Evaluation:
        """Count those of the images for which ``which`` ``(n,)`` is true."""
        targets, assigned = self.answers.targets[which], self.answers.assigned[which]
        return compare(targets, assigned, self.probabilities[which], self.classifier.classes)


def _ask(
    classifier: Classifier, truth: Mapping[Path, Sequence[int]], on_progress: Reporter
) -> _Heard:
    """Ask about every image; of each answer only its numbers are kept."""
    decision, temperature = classifier.decision, classifier.temperature
    positions = {name: position for position, name in enumerate(classifier.classes)}
    paths: list[Path] = []
    digests: list[str] = []
    rows: list[Matrix] = []
    ood_score: list[float] = []
    unread: list[SkippedFile] = []
    stream = stream_predictions(classifier, truth, top=len(positions), on_progress=on_progress)
    for each in stream:
        if not isinstance(each, Prediction):
            unread.append(each)
            continue
        row = np.zeros(len(positions))
        for name, probability in each.top:
            row[positions[name]] = probability
        paths.append(each.path)
        digests.append(each.digest)
        rows.append(row)
        if each.ood_score is not None:
            ood_score.append(each.ood_score)
    probabilities = np.array(rows).reshape(-1, len(positions))
    targets = np.zeros(probabilities.shape, bool)
    for target, path in zip(targets, paths, strict=True):
        target[list(truth[path])] = True
    answers = SplitPredictions(
        paths=tuple(paths),
        targets=targets,
        assigned=decision.assign(probabilities),
        logits=temperature * decision.link.logits(probabilities),
        temperatures=np.full(len(paths), temperature),
        decision=decision,
        ood_score=np.array(ood_score, np.float32) if len(ood_score) == len(paths) else None,
    )
    return _Heard(classifier, probabilities, answers, digests, unread)


def _recall(
    record: str | Path, classifier: Classifier, digests: Sequence[str]
) -> npt.NDArray[np.bool_] | None:
    """Which images it has learned from, ``(n,)``; None where its record is not there."""
    card = find_record(record, classifier)
    if card is None:
        return None
    learned = {file["sha256"] for file in card["files"] if file["split"] == "train"}
    return np.array([digest in learned for digest in digests], bool)
