"""Predictions of heads for labeled images that they were not fitted on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.errors import FolderError
from nstk.heads.decisions import ARGMAX, Decision
from nstk.heads.links import Link
from nstk.heads.out_of_distribution import OODDetector
from nstk.heads.reliability import Reliability, measure_reliability
from nstk.heads.selection import Selection, cross_validate
from nstk.heads.splits import Splits
from nstk.progress import Reporter
from nstk.settings import FinetuneSettings
from nstk.types import Logits, Matrix, Targets


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """Predictions and true labels of n images.

    Attributes:
        paths: The files.
        targets: The true labels, ``(n, C)``.
        predicted: The predicted labels, ``(n, C)``.
        logits: At temperature 1, ``(n, C)``.
        temperatures: Temperature that divides each image's logits, ``(n,)``.
        decision: The decision that predicted the labels.
        ood_score: Distance of each image from the training images, ``(n,)``, above 1 where it is
            out of distribution; None without a detector.
    """

    paths: tuple[Path, ...]
    targets: Targets
    predicted: Targets
    logits: Logits
    temperatures: npt.NDArray[np.float64]
    decision: Decision = ARGMAX
    ood_score: npt.NDArray[np.float32] | None = None

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether exactly the true labels were predicted, ``(n,)``."""
        correct: npt.NDArray[np.bool_] = (self.targets == self.predicted).all(axis=1)
        return correct

    @property
    def is_ood(self) -> npt.NDArray[np.bool_]:
        """Whether each image is out of distribution, ``(n,)``."""
        if self.ood_score is None:
            return np.zeros(len(self.targets), bool)
        is_ood: npt.NDArray[np.bool_] = self.ood_score > 1
        return is_ood

    @property
    def ood_count(self) -> int | None:
        """Number of images out of distribution; None without a detector."""
        return None if self.ood_score is None else int(self.is_ood.sum())

    @cached_property
    def probabilities(self) -> Matrix:
        """Calibrated probabilities, ``(n, C)``."""
        return self._probabilities(self.temperatures)

    @cached_property
    def reliability(self) -> Reliability:
        """Reliability of the calibrated probabilities, over all problems of the link."""
        return self._reliability(self.probabilities)

    @cached_property
    def reliability_before(self) -> Reliability:
        """Reliability of the probabilities at temperature 1."""
        return self._reliability(self._probabilities(np.ones(len(self.targets))))

    def _reliability(self, probabilities: Matrix) -> Reliability:
        problems = self.decision.as_binary_problems(probabilities, self.targets)
        return measure_reliability(*problems, images=len(self.targets))

    def _probabilities(self, temperatures: npt.NDArray[np.float64]) -> Matrix:
        logits = np.asarray(self.logits, np.float64) / temperatures[:, np.newaxis]
        probabilities: Matrix = self.decision.link.probabilities(logits)
        return probabilities


def predict_splits(
    selection: Selection, ood_detector: OODDetector | None, splits: Splits
) -> dict[str, SplitPredictions]:
    """Predict every split that the head was not fitted on.

    Args:
        selection: The head and its calibration.
        ood_detector: The detector fitted on the training images.
        splits: All images, by split.
    """
    head, predictions = selection.head, {}
    for split, samples in splits.samples.items():
        if split != "train" and len(samples):
            vectors = samples.vectors[selection.features]
            predictions[split] = SplitPredictions(
                paths=splits.paths[split],
                targets=samples.targets,
                predicted=head.decision.predict(head.predict_proba(vectors)),
                logits=head.logits(vectors),
                temperatures=np.full(len(samples), selection.calibration.temperature),
                decision=selection.calibrated.decision,
                ood_score=None if ood_detector is None else ood_detector.ood_scores(vectors),
            )
    return predictions


def cross_val_predict(
    splits: Splits, settings: FinetuneSettings, link: Link, on_progress: Reporter
) -> tuple[SplitPredictions, int]:
    """Predict every training image by a head that was selected and fitted without its fold.

    Args:
        splits: Its training images are used.
        settings: See `cross_validate`.
        link: The link from logits to probabilities.
        on_progress: See `cross_validate`.

    Returns:
        The out-of-fold predictions and the number of folds, which small data may reduce.

    Raises:
        FolderError: If no image can be held out.
    """
    samples = splits.samples["train"]
    validation = cross_validate(samples, settings, link=link, on_progress=on_progress)
    if not validation.selections:
        raise FolderError(
            "No fold can be held out, because no class has two different training images; "
            "add images, or leave out `folds`."
        )
    out = np.flatnonzero(validation.folds >= 0)
    predictions = SplitPredictions(
        paths=tuple(splits.paths["train"][index] for index in out),
        targets=samples.targets[out],
        predicted=validation.predicted[out],
        logits=validation.logits[out],
        temperatures=validation.temperatures[out],
        decision=validation.selections[0].head.decision,
    )
    return predictions, len(validation.selections)
