"""Labels for pictures: what a classifier says about files and folders."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.finetuning.classifier import Classifier
from nstk.finetuning.passes import BATCH, run_passes
from nstk.media.folders import find_pictures
from nstk.media.listing import SkippedFile
from nstk.progress import Reporter, ignore
from nstk.settings import check_range


@dataclass(frozen=True)
class Prediction:
    """What a classifier says about one picture.

    Attributes:
        path: The file.
        label: The likeliest class.
        probability: Its probability.
        labels: The classes that it is given, likeliest first: ``label`` alone, or, where pictures
            may have several, those whose probability reaches their threshold.
        top: The likeliest classes and their probabilities, likeliest first.
    """

    path: Path
    label: str
    probability: float
    labels: tuple[str, ...]
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about many files.

    Attributes:
        predictions: One `Prediction` for every picture, in the order given.
        skipped: The files that could not be read, and why.
    """

    predictions: tuple[Prediction, ...]
    skipped: tuple[SkippedFile, ...]


def predict(
    classifier: Classifier,
    paths: str | Path | Iterable[str | Path],
    *,
    top: int = 5,
    batch: int = BATCH,
    on_progress: Reporter = ignore,
) -> Predictions:
    """Classify picture files; what cannot be read is listed.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        paths: Files and folders; folders are searched to the bottom.
        top: How many of the likeliest classes each prediction names, at most all of them.
        batch: How many pictures go through the network together; the scores do not depend on it.
        on_progress: Told how many files are done.

    Raises:
        PictureError: If a path does not exist.
        SettingsError: If ``top`` or ``batch`` is less than 1.
    """
    check_range("top", top, 1)
    check_range("batch", batch, 1)
    files, skipped = find_pictures([paths] if isinstance(paths, str | Path) else paths, whole=False)
    predictions: list[Prediction] = []
    for seen in run_passes(
        classifier.passage, files, stage="predict", batch=batch, on_progress=on_progress
    ):
        predictions += [
            _name(files[index], probabilities, classifier, top)
            for index, probabilities in zip(seen.indices, seen.outputs, strict=True)
        ]
        skipped += seen.skipped
    return Predictions(tuple(predictions), skipped)


def _name(
    path: Path, probabilities: npt.NDArray[np.float32], classifier: Classifier, top: int
) -> Prediction:
    classes, falling = classifier.classes, np.argsort(-probabilities, kind="stable")
    given = classifier.decision.assign(probabilities)
    named = tuple((classes[index], float(probabilities[index])) for index in falling[:top])
    labels = tuple(classes[index] for index in falling if given[index])
    return Prediction(path, *named[0], labels, named)
