"""What the head sees and how strongly it is held back: the training pictures choose both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.finetuning.folds import Labels, assign_folds
from nstk.finetuning.head import Head, fit_head, log_loss
from nstk.progress import Progress, Reporter, ignore
from nstk.settings import FinetuneSettings

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """How one choice of features fared on training pictures that its heads had not seen.

    Attributes:
        log_loss: Mean of −log p(label), in nats; the choice goes by this.
        accuracy: Share of the pictures that were recognised.
        strength: λ of the head.
    """

    log_loss: float
    accuracy: float
    strength: float


@dataclass(frozen=True, eq=False)
class Selection:
    """The choice, its head, and what it was chosen from.

    Attributes:
        features: The choice with the smallest log-loss.
        head: Fitted on all the pictures.
        trials: Every choice by name.
    """

    features: str
    head: Head
    trials: Mapping[str, Trial]


@dataclass(frozen=True, eq=False)
class Samples:
    """Pictures to learn from or to check with.

    Attributes:
        vectors: For each choice of features ``(n, D)``.
        labels: ``(n,)``.
        groups: Pictures that look alike share a number, ``(n,)``.
    """

    vectors: Mapping[str, Vectors]
    labels: Labels
    groups: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: npt.NDArray[np.bool_]) -> "Samples":
        """Those of the pictures for which ``which`` ``(n,)`` is true."""
        vectors = {name: rows[which] for name, rows in self.vectors.items()}
        return Samples(vectors, self.labels[which], self.groups[which])


def select_head(
    samples: Samples,
    classes: int,
    settings: FinetuneSettings,
    *,
    on_progress: Reporter = ignore,
) -> Selection:
    """Fit a head for every choice of features; take the one that left-out pictures favour.

    Args:
        samples: The training pictures.
        classes: C.
        settings: Its ``seed`` and ``balance``.
        on_progress: Told about the fitting, stage ``"head"``.
    """
    heads = {
        name: fit_head(
            vectors,
            samples.labels,
            classes,
            settings.seed,
            groups=samples.groups,
            balance=settings.balance,
            on_progress=on_progress,
        )
        for name, vectors in samples.vectors.items()
    }
    trials = {name: _judge(head, samples.labels) for name, head in heads.items()}
    best = min(trials, key=lambda name: trials[name].log_loss)
    return Selection(best, heads[best], trials)


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Every picture answered by a head that has not seen it, nor was chosen with its help.

    Attributes:
        predicted: Likeliest class of each picture, ``(n,)``.
        folds: Fold of each picture, ``(n,)``; −1 where a picture was in no fold, because its
            class has no others.
        selections: What was chosen without each fold.
    """

    predicted: Labels
    folds: Labels
    selections: Sequence[Selection]


def cross_validate(
    samples: Samples,
    classes: int,
    settings: FinetuneSettings,
    *,
    on_progress: Reporter = ignore,
) -> CrossValidation:
    """Leave out one fold after the other, and choose anew without it.

    Args:
        samples: All pictures to learn from.
        classes: C.
        settings: Its ``folds``, ``seed`` and ``balance``.
        on_progress: Told after each fold, stage ``"folds"``.
    """
    folds = assign_folds(samples.labels, settings.folds, settings.seed, samples.groups)
    count = int(folds.max()) + 1
    predicted = np.full(len(samples), -1)
    selections = []
    for fold in range(count):
        on_progress(Progress(stage="folds", step=fold, total=count))
        out = folds == fold
        chosen = select_head(samples.take(~out), classes, settings)
        vectors = samples.vectors[chosen.features][out]
        predicted[out] = chosen.head.answer(vectors).argmax(axis=1)
        selections.append(chosen)
    on_progress(Progress(stage="folds", step=count, total=count))
    return CrossValidation(predicted, folds, selections)


def _judge(head: Head, labels: Labels) -> Trial:
    seen = np.isfinite(head.held_out).all(axis=1)
    if not seen.any():
        return Trial(float("inf"), float("nan"), head.strength)
    held_out, labels = head.held_out[seen], labels[seen]
    return Trial(
        log_loss=log_loss(held_out, labels) / len(labels),
        accuracy=float(np.mean(held_out.argmax(axis=1) == labels)),
        strength=head.strength,
    )
