"""Predicting: labels for pictures, one after the other, in memory that does not grow."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.finetuning.classifier import Classifier
from nstk.finetuning.passes import BATCH, read_ahead
from nstk.finetuning.views import Squares
from nstk.media.listing import SkippedFile
from nstk.predicting.reading import Entry, Reader, Sight, Source, list_entries
from nstk.progress import Progress, Reporter, ignore
from nstk.settings import check_range


@dataclass(frozen=True)
class Prediction:
    """What a classifier says about one picture.

    Attributes:
        path: The file; for bytes and arrays their place in what was given, as in ``picture 3``.
        label: The likeliest class.
        probability: Its probability.
        labels: The classes that it is given, likeliest first: ``label`` alone, or, where pictures
            may have several, those whose probability reaches their threshold.
        top: The likeliest classes and their probabilities, likeliest first.
        digest: SHA-256 of the content.
    """

    path: Path
    label: str
    probability: float
    labels: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    digest: str

    def describe(self, *, several: bool = False) -> dict[str, Any]:
        """What JSON says about it.

        Args:
            several: Whether a picture may have several labels, or none; then it says which.
        """
        return {
            "path": str(self.path),
            "label": self.label,
            "probability": self.probability,
            **({"labels": list(self.labels)} if several else {}),
            "top": [{"label": label, "probability": share} for label, share in self.top],
        }


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about many pictures.

    Attributes:
        predictions: One `Prediction` for every picture, in the order given.
        skipped: The files that could not be read, and why.
    """

    predictions: tuple[Prediction, ...]
    skipped: tuple[SkippedFile, ...]


def predict(
    classifier: Classifier,
    pictures: Source | Iterable[Source],
    *,
    top: int = 5,
    batch: int = BATCH,
    on_progress: Reporter = ignore,
) -> Predictions:
    """Classify pictures and keep all answers; what cannot be read is listed.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        pictures: Files and folders, which are searched to the bottom; the bytes of files; and
            arrays ``(height, width, 3)``, sRGB, uint8 or floats in ``[0, 1]``. However the same
            picture comes, it gets the same score.
        top: How many of the likeliest classes each prediction names, at most all of them.
        batch: How many pictures go through the network together; the scores depend on it by no
            more than rounding, 1e-6.
        on_progress: Told how many pictures are done, stage ``"predict"``.

    Raises:
        PictureError: If a path does not exist.
        SettingsError: If ``top`` or ``batch`` is less than 1.
    """
    predictions: list[Prediction] = []
    skipped: list[SkippedFile] = []
    for each in stream_predictions(
        classifier, pictures, top=top, batch=batch, on_progress=on_progress
    ):
        if isinstance(each, Prediction):
            predictions.append(each)
        else:
            skipped.append(each)
    return Predictions(tuple(predictions), tuple(skipped))


def stream_predictions(
    classifier: Classifier,
    pictures: Source | Iterable[Source],
    *,
    top: int = 5,
    batch: int = BATCH,
    done: Collection[tuple[Path, str]] = (),
    on_progress: Reporter = ignore,
) -> Iterator[Prediction | SkippedFile]:
    """Classify one picture after the other; memory does not grow with their number.

    Threads read ahead while the network works. Pictures go through the network with the same
    neighbours whichever of them are done already, so that a run that was interrupted goes on to
    exactly the numbers of one that was not.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        pictures: As `predict` takes them.
        top: How many of the likeliest classes each prediction names, at most all of them.
        batch: How many pictures go through the network together.
        done: Paths and SHA-256 digests of the pictures that need no answer any more.
        on_progress: Told how many pictures are done, stage ``"predict"``.

    Returns:
        For every picture, in the order given, what it shows, or why it was left out; last the
        folders that could not be searched.

    Raises:
        PictureError: If a path does not exist.
        SettingsError: If ``top`` or ``batch`` is less than 1.
    """
    check_range("top", top, 1)
    check_range("batch", batch, 1)
    entries, unsearched = list_entries(pictures)
    reader = Reader(classifier.passage, done)
    return _stream(classifier, reader, entries, unsearched, top, batch, on_progress)


def _stream(
    classifier: Classifier,
    reader: Reader,
    entries: Sequence[Entry],
    unsearched: Sequence[SkippedFile],
    top: int,
    batch: int,
    on_progress: Reporter,
) -> Iterator[Prediction | SkippedFile]:
    # Built here, before threads ask for it.
    _ = classifier.passage.prepare
    step = 0
    on_progress(Progress(stage="predict", step=step, total=len(entries)))
    with closing(read_ahead(entries, reader.read, ahead=2 * batch)) as outcomes:
        while together := list(islice(outcomes, batch)):
            yield from _answer(classifier, together, top)
            step += len(together)
            on_progress(Progress(stage="predict", step=step, total=len(entries)))
    yield from unsearched


def _answer(
    classifier: Classifier, together: Sequence[Sight | SkippedFile], top: int
) -> Iterator[Prediction | SkippedFile]:
    """Classify what goes through the network together, unless all of it is known."""
    sights = [each for each in together if isinstance(each, Sight)]
    scores: dict[Path, npt.NDArray[np.float32]] = {}
    if any(each.square is not None for each in sights):
        squares = dict(_find_squares(classifier, sights))
        answers = classifier.passage.finish([*squares.values()])
        scores = dict(zip(squares, answers, strict=True))
    for each in together:
        if isinstance(each, SkippedFile):
            yield each
        elif each.square is not None:
            yield _name(each, scores[each.entry.path], classifier, top)


def _find_squares(
    classifier: Classifier, sights: Sequence[Sight]
) -> Iterator[tuple[Path, Squares]]:
    """The squares of all, so that the others have the neighbours that they would have anyway."""
    reader = Reader(classifier.passage)
    for each in sights:
        sight = reader.read(each.entry) if each.square is None else each
        if isinstance(sight, Sight) and sight.square is not None:
            yield each.entry.path, sight.square


def _name(
    sight: Sight, probabilities: npt.NDArray[np.float32], classifier: Classifier, top: int
) -> Prediction:
    classes, falling = classifier.classes, np.argsort(-probabilities, kind="stable")
    given = classifier.decision.assign(probabilities)
    # As many digits as a single number has: 0.1, not 0.10000000149011612.
    named = tuple((classes[index], float(str(probabilities[index]))) for index in falling[:top])
    labels = tuple(classes[index] for index in falling if given[index])
    return Prediction(sight.entry.path, *named[0], labels, named, sight.digest)
