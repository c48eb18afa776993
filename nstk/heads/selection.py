"""Model selection: cross-validation on the training images chooses features and L2 penalty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.calibration import Calibration, calibrate
from nstk.heads.folds import assign_folds, find_strata
from nstk.heads.head import Head, fit_head
from nstk.heads.links import SOFTMAX, Link
from nstk.heads.logistic import sample_weights
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import FinetuneSettings
from nstk.types import FeatureVectors, Labels, Logits, Matrix, Targets


@dataclass(frozen=True)
class Trial:
    """Out-of-fold results of one choice of features.

    Attributes:
        log_loss: Mean of −log p of the true class, in nats, weighted as the head was; the
            selection minimizes it.
        accuracy: Fraction of the images with exactly the right labels.
        l2: λ of the head; the geometric mean where every label has its own.
    """

    log_loss: float
    accuracy: float
    l2: float


@dataclass(frozen=True, eq=False)
class Selection:
    """The selected features and head, and the alternatives.

    Attributes:
        features: The choice with the smallest log-loss.
        head: Its head, fitted on all images.
        trials: Every choice by name.
        calibration: The temperature of the head.
    """

    features: str
    head: Head
    trials: Mapping[str, Trial]
    calibration: Calibration

    @property
    def calibrated(self) -> Head:
        """The head of the saved classifier, its logits divided by the temperature."""
        return self.head.with_temperature(self.calibration.temperature)


@dataclass(frozen=True, eq=False)
class Samples:
    """Features and labels of images.

    Attributes:
        vectors: For each choice of features ``(n, D)``.
        targets: The labels of the images, ``(n, C)``.
        groups: Group of each image, ``(n,)``; near-duplicates share one.
    """

    vectors: Mapping[str, FeatureVectors]
    targets: Targets
    groups: Labels

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def strata(self) -> Labels:
        """Stratum of each image: its rarest label, −1 without any."""
        return find_strata(self.targets)

    def subset(self, mask: npt.NDArray[np.bool_]) -> "Samples":
        """The images for which ``mask`` ``(n,)`` is true."""
        vectors = {name: rows[mask] for name, rows in self.vectors.items()}
        return Samples(vectors, self.targets[mask], self.groups[mask])


def select_head(
    samples: Samples,
    settings: FinetuneSettings,
    *,
    link: Link = SOFTMAX,
    on_progress: Reporter = no_progress,
) -> Selection:
    """Fit a head for every choice of features, and select by out-of-fold log-loss.

    Args:
        samples: The training images.
        settings: Its ``seed`` and ``balance`` are used.
        link: The link from logits to probabilities.
        on_progress: Progress of the fits, stage ``"head"``.
    """
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


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Out-of-fold predictions of heads that were selected without the fold as well.

    Attributes:
        logits: At temperature 1, ``(n, C)``; NaN for images in no fold.
        temperatures: Temperature of each image's head, ``(n,)``.
        predicted: The predicted labels, ``(n, C)``.
        folds: Fold of each image, ``(n,)``; −1 for images in no fold, because their class has no
            others.
        selections: The selection of each fold.
    """

    logits: Logits
    temperatures: npt.NDArray[np.float64]
    predicted: Targets
    folds: Labels
    selections: Sequence[Selection]


def cross_validate(
    samples: Samples,
    settings: FinetuneSettings,
    *,
    link: Link = SOFTMAX,
    on_progress: Reporter = no_progress,
) -> CrossValidation:
    """Hold out one fold after the other, and repeat the selection on the others.

    Args:
        samples: The training images.
        settings: Its ``folds``, ``seed`` and ``balance`` are used.
        link: The link from logits to probabilities.
        on_progress: Called after each fold, stage ``"folds"``.
    """
    folds = assign_folds(samples.strata, settings.folds, settings.seed, samples.groups)
    count = int(folds.max()) + 1
    logits = np.full(samples.targets.shape, np.nan, np.float32)
    temperatures = np.ones(len(samples))
    predicted = np.zeros(samples.targets.shape, bool)
    selections = []
    for fold in range(count):
        on_progress(Progress(stage="folds", step=fold, total=count))
        out = folds == fold
        selection = select_head(samples.subset(~out), settings, link=link)
        vectors = samples.vectors[selection.features][out]
        logits[out] = selection.head.logits(vectors)
        temperatures[out] = selection.calibration.temperature
        predicted[out] = selection.head.decision.predict(selection.head.predict_proba(vectors))
        selections.append(selection)
    on_progress(Progress(stage="folds", step=count, total=count))
    return CrossValidation(logits, temperatures, predicted, folds, selections)


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
