"""How accuracy grows with the number of images, and what twice as many would bring.

Each of five folds is answered by heads that learned from an eighth, a quarter, half and all of the
other images. Through the errors goes e(m) = a + b/√m with a, b ≥ 0, by least squares: a is what
no number of images cures, and 1/√m is how fast an estimate from m images settles. On cached
features all of it is twenty small heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.folds import Labels, assign_folds
from nstk.heads.head import FOLDS
from nstk.heads.logistic import answer_all, weigh
from nstk.heads.metrics import evaluate
from nstk.heads.ridge import decompose
from nstk.heads.selection import Samples, Selection
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import FinetuneSettings

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of the images to learn from, at every point of the curve."""


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by the number of images learned from.

    Attributes:
        images: How many images the heads learned from, ascending.
        accuracy: Share of left-out images to which they gave exactly their labels.
        twice: The accuracy that twice the largest number should give, extrapolated.
        weakest: The class with the smallest recall at the largest number.
        weakest_recall: That recall.
    """

    images: tuple[int, ...]
    accuracy: tuple[float, ...]
    twice: float
    weakest: str
    weakest_recall: float

    @property
    def gain(self) -> float:
        """What twice the images should add to the accuracy."""
        return self.twice - self.accuracy[-1]


def trace_learning_curve(
    samples: Samples,
    selection: Selection,
    classes: Sequence[str],
    settings: FinetuneSettings,
    *,
    on_progress: Reporter = no_progress,
) -> LearningCurve | None:
    """Measure accuracy on left-out images for growing numbers of images.

    Args:
        samples: The images to learn from.
        selection: What was chosen on them; its features, strengths and thresholds are kept.
        classes: Class names.
        settings: Its ``seed`` and ``balance``.
        on_progress: Told after each fold, stage ``"learning curve"``.

    Returns:
        The curve; None where no label has enough images to leave any out.
    """
    head, targets, kinds = selection.head, samples.targets, samples.strata
    folds = assign_folds(kinds, FOLDS, settings.seed, samples.groups)
    count = int(folds.max()) + 1
    left_out = folds >= 0
    if count < 2 or not targets[left_out].any():
        return None
    decomposition = decompose(samples.vectors[selection.features], targets)
    answers = np.zeros((len(SHARES), *targets.shape))
    learned = np.zeros((len(SHARES), count), int)
    for fold in range(count):
        on_progress(Progress(stage="learning curve", step=fold, total=count))
        ranks = rank_images(kinds, folds != fold, settings.seed)
        for row, share in enumerate(SHARES):
            used = ranks < share
            weights = np.zeros((len(targets), len(head.strengths)))
            weights[used] = weigh(targets[used], head.link, settings.balance)
            logits = answer_all(decomposition, targets, weights, head.strengths, head.link)
            out = folds == fold
            answers[row, out] = head.link.probabilities(logits[out])
            learned[row, fold] = used.sum()
    on_progress(Progress(stage="learning curve", step=count, total=count))
    measured = [
        evaluate(targets[left_out], head.decision.assign(row), row, classes)
        for row in answers[:, left_out]
    ]
    accuracy = np.array([each.accuracy for each in measured])
    images = np.rint(learned.mean(axis=1)).astype(int)
    weakest = min(
        (score for score in measured[-1].per_class if score.recall is not None),
        key=lambda score: score.recall or 0.0,
    )
    return LearningCurve(
        images=tuple(map(int, images)),
        accuracy=tuple(map(float, accuracy)),
        twice=1 - extrapolate(images, 1 - accuracy, 2 * int(images[-1])),
        weakest=weakest.name,
        weakest_recall=weakest.recall or 0.0,
    )


def extrapolate(images: npt.ArrayLike, errors: npt.ArrayLike, wanted: int) -> float:
    """The error at ``wanted`` images by e(m) = a + b/√m through the errors measured.

    Args:
        images: m of each measurement.
        errors: Share of images taken for another class, of each.
        wanted: Where to look.

    Returns:
        From 0 to the last error.
    """
    places, measured = 1 / np.sqrt(np.asarray(images, float)), np.asarray(errors, float)
    spread = places - places.mean()
    if not (spread**2).sum():
        return float(measured[-1])
    gradient = max(0.0, float(spread @ measured / (spread**2).sum()))
    floor = float(measured.mean() - gradient * places.mean())
    if floor < 0:  # Through the origin, where a would be negative.
        gradient = float(places @ measured / (places @ places))
    # From the last measurement on only the shape counts, not how far the fit misses it.
    fallen = gradient * float(places[-1] - 1 / np.sqrt(wanted))
    return max(0.0, float(measured[-1]) - max(0.0, fallen))


def rank_images(
    labels: Labels, allowed: npt.NDArray[np.bool_], seed: int
) -> npt.NDArray[np.float64]:
    """Where each allowed image stands in a shuffled row of its class, from 0 below 1.

    Args:
        labels: The class of each, ``(n,)``.
        allowed: Which are in the row, ``(n,)``; the others stand at infinity.
        seed: Of the shuffle.
    """
    generator = np.random.default_rng(seed)
    ranks = np.full(len(labels), np.inf)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero((labels == label) & allowed))
        ranks[members] = np.arange(len(members)) / max(len(members), 1)
    return ranks
