"""What the head sees and how strongly it is held back: the training images choose both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.calibration import Calibration, calibrate
from nstk.heads.folds import Labels, assign_folds, find_strata
from nstk.heads.head import Head, fit_head
from nstk.heads.links import SOFTMAX, Link, Matrix, Targets
from nstk.heads.logistic import weigh
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import FinetuneSettings

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """How one choice of features fared on training images that its heads had not seen.

    Attributes:
        log_loss: Mean of −log p of the right answer, in nats; the choice goes by this. Weighted as
            the head was, where classes are balanced.
        accuracy: Share of the images that were given exactly their labels.
        strength: λ of the head; the geometric mean where every label has its own.
    """

    log_loss: float
    accuracy: float
    strength: float


@dataclass(frozen=True, eq=False)
class Selection:
    """The choice, its head, and what it was chosen from.

    Attributes:
        features: The choice with the smallest log-loss.
        head: Fitted on all the images.
        trials: Every choice by name.
        calibration: How sure its answers may be.
    """

    features: str
    head: Head
    trials: Mapping[str, Trial]
    calibration: Calibration

    @property
    def calibrated(self) -> Head:
        """The head as it is delivered, its logits divided by the temperature."""
        return self.head.divide(self.calibration.temperature)


@dataclass(frozen=True, eq=False)
class Samples:
    """Images to learn from or to check with.

    Attributes:
        vectors: For each choice of features ``(n, D)``.
        targets: Which images have which labels, ``(n, C)``.
        groups: Images that look alike share a number, ``(n,)``.
    """

    vectors: Mapping[str, Vectors]
    targets: Targets
    groups: Labels

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def strata(self) -> Labels:
        """The class of each image; of several the rarest, and −1 where there is none."""
        return find_strata(self.targets)

    def take(self, which: npt.NDArray[np.bool_]) -> "Samples":
        """Those of the images for which ``which`` ``(n,)`` is true."""
        vectors = {name: rows[which] for name, rows in self.vectors.items()}
        return Samples(vectors, self.targets[which], self.groups[which])


def select_head(
    samples: Samples,
    settings: FinetuneSettings,
    *,
    link: Link = SOFTMAX,
    on_progress: Reporter = no_progress,
) -> Selection:
    """Fit a head for every choice of features; take the one that left-out images favor.

    Args:
        samples: The training images.
        settings: Its ``seed`` and ``balance``.
        link: What makes probabilities of logits.
        on_progress: Told about the fitting, stage ``"head"``.
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
    weights = weigh(samples.targets, link, settings.balance)
    trials = {name: _judge(head, samples.targets, weights) for name, head in heads.items()}
    best = min(trials, key=lambda name: trials[name].log_loss)
    calibration = calibrate(heads[best].held_out, samples.targets, weights, heads[best].decision)
    return Selection(best, heads[best], trials, calibration)


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Every image answered by a head that has not seen it, nor was chosen with its help.

    Attributes:
        logits: As the heads were fitted, ``(n, C)``; NaN where an image was in no fold.
        temperatures: What each image's logits are to be divided by, ``(n,)``.
        assigned: Which labels it was given, ``(n, C)``.
        folds: Fold of each image, ``(n,)``; −1 where an image was in no fold, because its
            class has no others.
        selections: What was chosen without each fold.
    """

    logits: Vectors
    temperatures: npt.NDArray[np.float64]
    assigned: Targets
    folds: Labels
    selections: Sequence[Selection]


def cross_validate(
    samples: Samples,
    settings: FinetuneSettings,
    *,
    link: Link = SOFTMAX,
    on_progress: Reporter = no_progress,
) -> CrossValidation:
    """Leave out one fold after the other, and choose anew without it.

    Args:
        samples: All images to learn from.
        settings: Its ``folds``, ``seed`` and ``balance``.
        link: What makes probabilities of logits.
        on_progress: Told after each fold, stage ``"folds"``.
    """
    folds = assign_folds(samples.strata, settings.folds, settings.seed, samples.groups)
    count = int(folds.max()) + 1
    logits = np.full(samples.targets.shape, np.nan, np.float32)
    temperatures = np.ones(len(samples))
    assigned = np.zeros(samples.targets.shape, bool)
    selections = []
    for fold in range(count):
        on_progress(Progress(stage="folds", step=fold, total=count))
        out = folds == fold
        chosen = select_head(samples.take(~out), settings, link=link)
        vectors = samples.vectors[chosen.features][out]
        logits[out] = chosen.head.answer(vectors)
        temperatures[out] = chosen.calibration.temperature
        assigned[out] = chosen.head.decision.assign(chosen.head.predict(vectors))
        selections.append(chosen)
    on_progress(Progress(stage="folds", step=count, total=count))
    return CrossValidation(logits, temperatures, assigned, folds, selections)


def _judge(head: Head, targets: Targets, weights: Matrix) -> Trial:
    seen = np.isfinite(head.held_out).all(axis=1)
    if not seen.any():
        return Trial(float("inf"), float("nan"), head.strength)
    held_out, targets = head.held_out[seen], targets[seen]
    assigned = head.decision.assign(head.link.probabilities(held_out))
    return Trial(
        log_loss=float(np.average(head.link.losses(targets, held_out), weights=weights[seen])),
        accuracy=float((assigned == targets).all(axis=1).mean()),
        strength=head.strength,
    )
