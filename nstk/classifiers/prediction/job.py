"""Predicting: labels for images, one after the other, in memory that does not grow."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.reading import (
    InputRow,
    PreparedImage,
    Reader,
    Source,
    list_input_rows,
)
from nstk.datasets.listing import SkippedFile
from nstk.features.crops import Squares
from nstk.features.prefetching import BATCH, read_ahead
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import check_range, check_whole

UNSURE = "unsure"


@dataclass(frozen=True)
class Prediction:
    """What a classifier says about one image.

    Attributes:
        path: The file; for bytes and arrays their place in what was given, as in ``image 3``.
        label: The likeliest class, or ``"unsure"``.
        probability: Of the likeliest class.
        labels: The classes that it is given, likeliest first: ``label`` alone, or, where images
            may have several, those whose probability reaches their threshold; none where it is
            unsure.
        top: The likeliest classes and their probabilities, likeliest first.
        digest: SHA-256 of the content.
        strangeness: How far it is from the training images in the classifier's eyes, over what
            is usual among them; None where the classifier does not know.
    """

    path: Path
    label: str
    probability: float
    labels: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    digest: str
    ood_score: float | None = None

    @property
    def strange(self) -> bool:
        """Whether it is like nothing in training: strangeness above 1."""
        return self.ood_score is not None and self.ood_score > 1

    def describe(self, *, several: bool = False) -> dict[str, Any]:
        """What JSON says about it.

        Args:
            several: Whether an image may have several labels, or none; then it says which.
        """
        return {
            "path": str(self.path),
            "label": self.label,
            "probability": self.probability,
            **({"labels": list(self.labels)} if several else {}),
            "top": [{"label": label, "probability": share} for label, share in self.top],
            "ood_score": self.ood_score,
            "strange": self.strange,
        }


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about many images.

    Attributes:
        predictions: One `Prediction` for every image, in the order given.
        skipped: The files that could not be read, and why.
    """

    predictions: tuple[Prediction, ...]
    skipped: tuple[SkippedFile, ...]


def predict(
    classifier: Classifier,
    images: Source | Iterable[Source],
    *,
    top: int = 5,
    batch: int = BATCH,
    abstain_below: float | None = None,
    on_progress: Reporter = no_progress,
) -> Predictions:
    """Classify images and keep all answers; what cannot be read is listed.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        images: Files and folders, which are searched to the bottom; the bytes of files; and
            arrays ``(height, width, 3)``, sRGB, uint8 or floats in ``[0, 1]``, or what NumPy takes
            for such: tensors, Pillow's images. However the same image comes, it gets the same
            score.
        top: How many of the likeliest classes each prediction names, at most all of them.
        batch: How many images go through the network together; the scores depend on it by no
            more than rounding, 1e-6.
        abstain_below: The label is ``"unsure"`` where the answer, or the least sure of several, has
            a smaller probability than this, or the image is like nothing in training; None
            always names the likeliest class.
        on_progress: Told how many images are done, stage ``"predict"``.

    Raises:
        ImageError: If a path does not exist, or something is no image of any kind.
        SettingsError: If ``top`` or ``batch`` is less than 1, or ``abstain_below`` is no
            probability.
    """
    predictions: list[Prediction] = []
    skipped: list[SkippedFile] = []
    for each in stream_predictions(
        classifier,
        images,
        top=top,
        batch=batch,
        abstain_below=abstain_below,
        on_progress=on_progress,
    ):
        if isinstance(each, Prediction):
            predictions.append(each)
        else:
            skipped.append(each)
    return Predictions(tuple(predictions), tuple(skipped))


def stream_predictions(
    classifier: Classifier,
    images: Source | Iterable[Source],
    *,
    top: int = 5,
    batch: int = BATCH,
    abstain_below: float | None = None,
    done: Collection[tuple[Path, str]] = (),
    known: Mapping[tuple[Path, str], Prediction] | None = None,
    on_progress: Reporter = no_progress,
) -> Iterator[Prediction | SkippedFile]:
    """Classify one image after the other; memory does not grow with their number.

    Threads read ahead while the network works. Images go through the network with the same
    neighbors whichever of them are done already, so that a run that was interrupted goes on to
    exactly the numbers of one that was not.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        images: As `predict` takes them.
        top: How many of the likeliest classes each prediction names, at most all of them.
        batch: How many images go through the network together.
        abstain_below: As `predict` takes it.
        done: Paths and SHA-256 digests of the images that need no answer any more.
        known: Answers that are given again as they are, as `KeptPredictions` has them.
        on_progress: Told how many images are done, stage ``"predict"``.

    Returns:
        For every image, in the order given, what it shows, or why it was left out; last the
        folders that could not be searched.

    Raises:
        ImageError: If a path does not exist, or something is no image of any kind.
        SettingsError: If ``top`` or ``batch`` is less than 1, or ``abstain_below`` is no
            probability.
    """
    check_whole("top", top, 1)
    check_whole("batch", batch, 1)
    if abstain_below is not None:
        check_range("abstain_below", abstain_below, 0, 1)
    entries, unsearched = list_input_rows(images)
    again = {key: each for key, each in (known or {}).items() if key not in done}
    reader = Reader(classifier.inference_model, {*done, *again})
    naming = PredictionDecoder(classifier, top, abstain_below, again)
    return _stream(naming, reader, entries, unsearched, batch, on_progress)


@dataclass(frozen=True, eq=False)
class PredictionDecoder:
    """How what the network gives becomes predictions.

    Attributes:
        classifier: Whose network it is.
        top: How many of the likeliest classes each prediction names.
        abstain_below: As `predict` takes it.
        known: Answers that are given again, by the path and the digest of the image.
    """

    classifier: Classifier
    top: int
    abstain_below: float | None
    known: Mapping[tuple[Path, str], Prediction]

    def name(
        self,
        sight: PreparedImage,
        probabilities: npt.NDArray[np.float32],
        ood_score: float | None,
    ) -> Prediction:
        """Name the classes of one image."""
        classes, decision = self.classifier.classes, self.classifier.decision
        falling = np.argsort(-probabilities, kind="stable")
        given = decision.assign(probabilities)
        # As many digits as a single number has: 0.1, not 0.10000000149011612.
        named = tuple(
            (classes[index], float(str(probabilities[index]))) for index in falling[: self.top]
        )
        labels = tuple(classes[index] for index in falling if given[index])
        told = Prediction(sight.entry.path, *named[0], labels, named, sight.digest, ood_score)
        least = self.abstain_below
        if least is None or (decision.confidence(probabilities) >= least and not told.strange):
            return told
        return replace(told, label=UNSURE, labels=())


def _stream(
    naming: PredictionDecoder,
    reader: Reader,
    entries: Sequence[InputRow],
    unsearched: Sequence[SkippedFile],
    batch: int,
    on_progress: Reporter,
) -> Iterator[Prediction | SkippedFile]:
    passage = reader.passage
    _ = passage.prepare  # Built here, before threads ask for it.
    # Squares are cut where their batch is: one goes through the network, two are read ahead.
    batch = min(batch, max(len(entries), 1))
    batches = np.empty((3, batch, *passage.shape), np.float32)

    def read(numbered: tuple[int, InputRow]) -> PreparedImage | SkippedFile:
        number, entry = numbered
        return reader.read(entry, batches[number // batch % len(batches), number % batch])

    step = 0
    on_progress(Progress(stage="predict", step=step, total=len(entries)))
    with closing(read_ahead(enumerate(entries), read, ahead=2 * batch)) as outcomes:
        while together := list(islice(outcomes, batch)):
            yield from _answer(naming, together, batches[step // batch % len(batches)])
            step += len(together)
            on_progress(Progress(stage="predict", step=step, total=len(entries)))
    yield from unsearched


def _answer(
    naming: PredictionDecoder, together: Sequence[PreparedImage | SkippedFile], squares: Squares
) -> Iterator[Prediction | SkippedFile]:
    """Classify what goes through the network together, unless all of it is known.

    What is known goes along, so that the others have the neighbors that they would have anyway.
    """
    classifier = naming.classifier
    scores: dict[int, tuple[npt.NDArray[np.float32], float | None]] = {}
    if any(isinstance(each, PreparedImage) and each.square is not None for each in together):
        reader = Reader(classifier.inference_model)
        company = [
            reader.read(each.entry, square)
            if isinstance(each, PreparedImage) and each.square is None
            else each
            for each, square in zip(together, squares, strict=False)
        ]
        seen = [place for place, each in enumerate(company) if isinstance(each, PreparedImage)]
        whole = len(seen) == len(together)
        outputs = classifier.inference_model.finish(
            squares[: len(seen)] if whole else squares[seen]
        )
        answers = zip(*classifier.read(outputs), strict=True)
        scores = dict(zip(seen, answers, strict=True))
    for place, each in enumerate(together):
        if isinstance(each, SkippedFile):
            yield each
        elif each.square is not None:
            yield naming.name(each, *scores[place])
        elif (key := (each.entry.path, each.digest)) in naming.known:
            yield naming.known[key]
