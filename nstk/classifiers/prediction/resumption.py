"""Predictions of a run in a checkpoint folder, which a resumed run repeats."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.layouts import MAX_RECORD, JsonLinesLayout
from nstk.classifiers.prediction.prediction import Prediction
from nstk.classifiers.prediction.results import ResultsFile
from nstk.settings import CheckpointSettings
from nstk.storage.checkpoints import CheckpointFolder, RunIdentity, State, list_versions

NAME = "predictions.jsonl"


class SavedPredictions:
    """The predictions of a run, saved as they are made in a file of the checkpoint folder.

    Every prediction is written immediately and so survives the end of the process; a checkpoint
    syncs the file to disk, so that they survive a power failure, too.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        classifier: Classifier,
        top: int,
        abstain_below: float | None,
    ) -> None:
        self.known: dict[tuple[Path, str], Prediction] = {}
        self.completed = 0
        self._folder = folder
        self._layout = JsonLinesLayout(top, classifier.multi_label)
        self._open_results = partial(
            ResultsFile,
            classifier=classifier,
            top=top,
            abstain_below=abstain_below,
            advice="give another `checkpoint` folder",
        )
        self._path = folder.file_path(NAME)
        self._results: ResultsFile | None = None

    def append(self, prediction: Prediction) -> None:
        """Save a prediction, unless it is saved already."""
        if not self._path or (prediction.path, prediction.digest) in self.known:
            return
        with self._folder.log_failure("A prediction could not be saved"):
            if not self._results:
                self._path.unlink(missing_ok=True)  # of a run that was killed at its first line
                self._results = self._open_results(self._path)
            self._results.append(prediction)
            self.completed += 1
            self._folder.save(self)

    def capture(self) -> State:
        if self._results:
            self._results.sync()
        return State({}, {})

    def restore(self, state: State) -> None:
        if not self._path or not self._path.exists():
            return
        self._results = self._open_results(self._path, resume=True)
        with self._path.open("rb") as file:
            records = self._layout.split(iter(partial(file.readline, MAX_RECORD), b""))
            predictions = map(self._layout.parse, records)
            self.known = {(each.path, each.digest): each for each in predictions}
        self.completed = len(self.known)

    def close(self) -> None:
        """Close the file."""
        if self._results:
            with self._folder.log_failure("Predictions could not be saved"):
                self._results.close()


@contextmanager
def saved_predictions(
    settings: CheckpointSettings,
    classifier: Classifier,
    *,
    top: int = 5,
    abstain_below: float | None = None,
) -> Iterator[SavedPredictions]:
    """Save the predictions that are appended in the block, and restore those of the resumed run."""
    with CheckpointFolder(settings, also=NAME) as folder:
        job = SavedPredictions(folder, classifier, top, abstain_below)
        if not folder.is_enabled:
            yield job
            return
        options = {"top": top, "abstain_below": abstain_below, **list_versions()}
        identity = RunIdentity("predict", options, {"classifier": classifier.digest})
        found = folder.find(identity)
        try:
            with folder.run(job, found or State({}, {})):
                folder.save(job, now=True)
                yield job
        finally:
            job.close()
