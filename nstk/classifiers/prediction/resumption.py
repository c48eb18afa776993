"""The answers of a run in a folder, so that a run that goes on gives them again."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.job import Prediction
from nstk.classifiers.prediction.layouts import LONGEST, JsonLinesLayout
from nstk.classifiers.prediction.results import ResultsFile
from nstk.errors import CheckpointError, OutputError
from nstk.settings import CheckpointSettings
from nstk.storage.checkpoints import Schedule, format_earlier, reraise_as_checkpoint_error
from nstk.storage.files import make_folder
from nstk.storage.locks import FolderLock

NAME = "predictions.jsonl"

_log = logging.getLogger("nstk")


class KeptPredictions:
    """The answers of a run, kept as they come, until it is closed.

    Every answer is written at once and survives whatever ends the process; that it has reached
    the disk, and survives a power cut too, is made sure of as often as the settings say. Without
    a folder in the settings nothing is kept or known. A disk that is full ends no run: the first
    failure in a row is logged.

    Args:
        settings: Where, how often, and whether to go on from what is there.
        classifier: Whose answers these are.
        top: How many of the likeliest classes each names.
        abstain_below: See `nstk.predict`.

    Raises:
        CheckpointError: If another run uses the folder, or it holds the answers of an earlier
            run that is not to be gone on with.
        OutputError: If the folder cannot be made or written, or the answers there are of another
            classifier or were made otherwise.
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
                raise CheckpointError(format_earlier(folder))
            self._results = ResultsFile(
                path,
                classifier,
                top=top,
                abstain_below=abstain_below,
                resume=settings.resume,
                advice="give another --checkpoint folder",
            )
            stack.enter_context(self._results)
            if self._results.done:
                self._known = _recall(path, JsonLinesLayout(top, classifier.multi_label))
            self._stack = stack.pop_all()

    @property
    def known(self) -> Mapping[tuple[Path, str], Prediction]:
        """What is answered already, by the path and the digest of the image."""
        return self._known

    def keep(self, prediction: Prediction) -> None:
        """Keep an answer, unless it is known."""
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
            self._tell(error)

    def close(self) -> None:
        """Let go of the folder."""
        try:
            self._stack.close()
        except OutputError as error:
            self._tell(error)

    def _tell(self, error: OutputError) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        _log.log(level, "An answer could not be kept: %s", error)
        self._failing = True


def _recall(path: Path, layout: JsonLinesLayout) -> dict[tuple[Path, str], Prediction]:
    with reraise_as_checkpoint_error(), path.open("rb") as file:
        records = layout.split(iter(partial(file.readline, LONGEST), b""))
        answers = map(layout.recall, records)
        return {(each.path, each.digest): each for each in answers}
