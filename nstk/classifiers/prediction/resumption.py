"""Predictions of a run in a checkpoint folder, which a resumed run repeats."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.layouts import MAX_RECORD, JsonLinesLayout
from nstk.classifiers.prediction.prediction import Prediction
from nstk.classifiers.prediction.results import ResultsFile
from nstk.errors import OutputError
from nstk.settings import CheckpointSettings
from nstk.storage.checkpoints import (
    Schedule,
    existing_checkpoints_error,
    reraise_as_checkpoint_error,
)
from nstk.storage.files import make_folder
from nstk.storage.locks import FolderLock

NAME = "predictions.jsonl"

_log = logging.getLogger("nstk")


class PredictionCheckpoint:
    """The predictions of a run, saved as they are made until `close`.

    Every prediction is written immediately and so survives the end of the process; it is synced to
    disk, to survive a power failure too, at the interval in the settings. Without a folder in the
    settings nothing is saved. A full disk does not end the run: the first of several failures in a
    row is logged.

    Args:
        settings: Folder, interval, and whether to resume.
        classifier: The classifier.
        top: Number of the most likely classes in each prediction.
        abstain_below: See `nstk.predict`.

    Raises:
        CheckpointError: If another run uses the folder, or it holds the predictions of an earlier
            run and ``resume`` is not set.
        OutputError: If the folder cannot be created or written, or its predictions are of another
            classifier or other settings.
    """

    def __init__(
        self,
        settings: CheckpointSettings,
        classifier: Classifier,
        *,
        top: int = 5,
        abstain_below: float | None = None,
    ) -> None:
        self._schedule = Schedule(settings)
        self._count = 0
        self._failing = False
        self._known: dict[tuple[Path, str], Prediction] = {}
        self._results: ResultsFile | None = None
        self._stack = ExitStack()
        if settings.checkpoint is None:
            return
        folder = Path(settings.checkpoint)
        make_folder(folder)
        with ExitStack() as stack:
            stack.callback(FolderLock(folder).release)
            path = folder / NAME
            if path.exists() and not settings.resume:
                raise existing_checkpoints_error(folder)
            self._results = ResultsFile(
                path,
                classifier,
                top=top,
                abstain_below=abstain_below,
                resume=settings.resume,
                advice="give another `checkpoint` folder",
            )
            stack.enter_context(self._results)
            if self._results.done:
                self._known = _read_predictions(path, JsonLinesLayout(top, classifier.multi_label))
            self._stack = stack.pop_all()

    @property
    def known(self) -> Mapping[tuple[Path, str], Prediction]:
        """Saved predictions by the path and digest of the image."""
        return self._known

    def append(self, prediction: Prediction) -> None:
        """Save a prediction, unless it is saved already."""
        if self._results is None or (prediction.path, prediction.digest) in self._known:
            return
        self._count += 1
        try:
            self._results.append(prediction)
            if self._schedule.is_due(self._count):
                self._schedule.mark(self._count)
                self._results.sync()
            self._failing = False
        except OutputError as error:
            self._log_failure(error)

    def close(self) -> None:
        """Close the file and release the folder."""
        try:
            self._stack.close()
        except OutputError as error:
            self._log_failure(error)

    def _log_failure(self, error: OutputError) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        _log.log(level, "A prediction could not be saved: %s", error)
        self._failing = True


def _read_predictions(path: Path, layout: JsonLinesLayout) -> dict[tuple[Path, str], Prediction]:
    with reraise_as_checkpoint_error(), path.open("rb") as file:
        records = layout.split(iter(partial(file.readline, MAX_RECORD), b""))
        predictions = map(layout.parse, records)
        return {(each.path, each.digest): each for each in predictions}
