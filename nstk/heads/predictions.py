"""What a classifier says about labeled images that it was not fitted on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.heads.decisions import LIKELIEST, Decision
from nstk.heads.links import Matrix, Targets
from nstk.heads.reliability import Reliability, measure_reliability


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """Logits and the truth.

    Attributes:
        paths: The files, n of them.
        targets: Which images have which labels, ``(n, C)``.
        assigned: Which labels they were given, ``(n, C)``.
        logits: At temperature 1, ``(n, C)``.
        temperatures: What each image's logits are divided by, ``(n,)``.
        decision: What gave the labels; its link makes probabilities of logits.
        strangeness: How far each is from the training images, ``(n,)``, like none of them
            above 1; None where that is not known.
    """

    paths: tuple[Path, ...]
    targets: Targets
    assigned: Targets
    logits: npt.NDArray[np.floating]
    temperatures: npt.NDArray[np.float64]
    decision: Decision = LIKELIEST
    ood_score: npt.NDArray[np.float32] | None = None

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which images were given exactly their labels, ``(n,)``."""
        right: npt.NDArray[np.bool_] = (self.targets == self.assigned).all(axis=1)
        return right

    @property
    def strange(self) -> npt.NDArray[np.bool_]:
        """Which images are like nothing in training, ``(n,)``."""
        if self.ood_score is None:
            return np.zeros(len(self.targets), bool)
        strange: npt.NDArray[np.bool_] = self.ood_score > 1
        return strange

    @cached_property
    def probabilities(self) -> Matrix:
        """Calibrated, ``(n, C)``."""
        return self._predict(self.temperatures)

    @cached_property
    def reliability(self) -> Reliability:
        """Of the calibrated probabilities; of the answers to every question about an image."""
        return self._measure(self.probabilities)

    @cached_property
    def reliability_before(self) -> Reliability:
        """Of the probabilities at temperature 1."""
        return self._measure(self._predict(np.ones(len(self.targets))))

    def _measure(self, probabilities: Matrix) -> Reliability:
        posed = self.decision.as_binary_problems(probabilities, self.targets)
        return measure_reliability(*posed, images=len(self.targets))

    def _predict(self, temperatures: npt.NDArray[np.float64]) -> Matrix:
        logits = np.asarray(self.logits, np.float64) / temperatures[:, np.newaxis]
        probabilities: Matrix = self.decision.link.probabilities(logits)
        return probabilities
