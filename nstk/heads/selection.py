"""Model selection by cross-validation, and predictions for images that no head was fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.errors import FolderError
from nstk.heads.calibration import Calibration, Reliability, calibrate, measure_reliability
from nstk.heads.decisions import ARGMAX, Decision
from nstk.heads.head import Head, assign_folds, fit_head
from nstk.heads.links import SOFTMAX, Link
from nstk.heads.logistic import sample_weights
from nstk.heads.out_of_distribution import OODDetector
from nstk.heads.splits import Samples, Splits
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import FinetuneSettings
from nstk.types import Logits, Matrix, Targets


@dataclass(frozen=True)
class Trial:
    """Out-of-fold results of one choice of features."""

    log_loss: float
    accuracy: float
    l2: float


@dataclass(frozen=True, eq=False)
class Selection:
    """The selected features and head, and the alternatives."""

    features: str
    head: Head
    trials: Mapping[str, Trial]
    calibration: Calibration

    @property
    def calibrated(self) -> Head:
        """The head of the saved classifier, its logits divided by the temperature."""
        return self.head.with_temperature(self.calibration.temperature)


def select_head(
    samples: Samples,
    settings: FinetuneSettings,
    *,
    link: Link = SOFTMAX,
    on_progress: Reporter = no_progress,
) -> Selection:
    """Fit a head for every choice of features, and select by out-of-fold log-loss."""
    heads = {
        name: fit_head(
            vectors,
            samples.targets,
            settings.seed,
            link=link,
            groups=samples.groups,
            balance=settings.balance,
            on_progress=on_progress,
        )
        for name, vectors in samples.vectors.items()
    }
    weights = sample_weights(samples.targets, link, settings.balance)
    trials = {name: _score(head, samples.targets, weights) for name, head in heads.items()}
    best = min(trials, key=lambda name: trials[name].log_loss)
    calibration = calibrate(heads[best].oof_logits, samples.targets, weights, heads[best].decision)
    return Selection(best, heads[best], trials, calibration)


def _score(head: Head, targets: Targets, weights: Matrix) -> Trial:
    known = np.isfinite(head.oof_logits).all(axis=1)
    if not known.any():
        return Trial(float("inf"), float("nan"), head.l2)
    oof_logits, targets = head.oof_logits[known], targets[known]
    predicted = head.decision.predict(head.link.probabilities(oof_logits))
    return Trial(
        log_loss=float(np.average(head.link.losses(targets, oof_logits), weights=weights[known])),
        accuracy=float((predicted == targets).all(axis=1).mean()),
        l2=head.l2,
    )


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """Predictions and true labels of n images.

    ``logits`` are at temperature 1; ``temperatures`` divide them. With ``balance``, probabilities
    are those among classes of equal frequency, and so reliability weighs all classes alike.
    """

    paths: tuple[Path, ...]
    targets: Targets
    predicted: Targets
    logits: Logits
    temperatures: npt.NDArray[np.float64]
    decision: Decision = ARGMAX
    ood_score: npt.NDArray[np.float32] | None = None
    balance: bool = False

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        correct: npt.NDArray[np.bool_] = (self.targets == self.predicted).all(axis=1)
        return correct

    @property
    def is_ood(self) -> npt.NDArray[np.bool_]:
        if self.ood_score is None:
            return np.zeros(len(self.targets), bool)
        is_ood: npt.NDArray[np.bool_] = self.ood_score > 1
        return is_ood

    @property
    def ood_count(self) -> int | None:
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
        weights = sample_weights(self.targets, self.decision.link, self.balance)
        return measure_reliability(*problems, weights=weights)

    def _probabilities(self, temperatures: npt.NDArray[np.float64]) -> Matrix:
        logits = np.asarray(self.logits, np.float64) / temperatures[:, np.newaxis]
        probabilities: Matrix = self.decision.link.probabilities(logits)
        return probabilities


def predict_splits(
    selection: Selection,
    ood_detector: OODDetector | None,
    splits: Splits,
    balance: bool = False,
) -> dict[str, SplitPredictions]:
    """Predict every split that the head was not fitted on."""
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
                balance=balance,
            )
    return predictions


def cross_val_predict(
    splits: Splits, settings: FinetuneSettings, link: Link, on_progress: Reporter
) -> tuple[SplitPredictions, int]:
    """Predict every training image by a head that was selected and fitted without its fold.

    Images whose class has no others are in no fold. Returns the number of folds, too, which small
    data may reduce.
    """
    samples = splits.samples["train"]
    folds = assign_folds(samples.strata, settings.folds, settings.seed, samples.groups)
    count = int(folds.max()) + 1
    if not count:
        raise FolderError(
            "No fold can be held out, because no class has two different training images; "
            "add images, or leave out `folds`."
        )
    logits = np.full(samples.targets.shape, np.nan, np.float32)
    temperatures = np.ones(len(samples))
    predicted = np.zeros(samples.targets.shape, bool)
    decisions: list[Decision] = []
    for fold in range(count):
        on_progress(Progress(stage="folds", step=fold, total=count))
        out = folds == fold
        selection = select_head(samples.subset(~out), settings, link=link)
        head, vectors = selection.head, samples.vectors[selection.features][out]
        logits[out] = head.logits(vectors)
        temperatures[out] = selection.calibration.temperature
        predicted[out] = head.decision.predict(head.predict_proba(vectors))
        decisions.append(head.decision)
    on_progress(Progress(stage="folds", step=count, total=count))
    known = np.flatnonzero(folds >= 0)
    predictions = SplitPredictions(
        paths=tuple(splits.paths["train"][index] for index in known),
        targets=samples.targets[known],
        predicted=predicted[known],
        logits=logits[known],
        temperatures=temperatures[known],
        decision=decisions[0],
        balance=settings.balance,
    )
    return predictions, count
