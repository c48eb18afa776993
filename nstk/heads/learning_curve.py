"""Learning curve: accuracy by the number of training images, extrapolated to twice as many.

Each of five folds is predicted by heads fitted on an eighth, a quarter, half and all of the other
images. The curve e(m) = a + b/√m with a, b ≥ 0 is fitted to the errors by least squares: a is the
error that no number of images removes, and 1/√m is the rate at which an estimate from m images
converges. On cached features this takes twenty small heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.heads.head import FOLDS, assign_folds
from nstk.heads.logistic import fit, sample_weights
from nstk.heads.metrics import evaluate
from nstk.heads.ridge import decompose
from nstk.heads.selection import Selection
from nstk.heads.splits import Samples
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import FinetuneSettings
from nstk.types import Labels

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Fractions of the training images at the points of the curve."""


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by the number of training images."""

    images: tuple[int, ...]
    accuracy: tuple[float, ...]
    twice: float
    weakest: str
    weakest_recall: float

    @property
    def gain(self) -> float:
        """Expected increase of the accuracy with twice the images."""
        return self.twice - self.accuracy[-1]


def trace_learning_curve(
    samples: Samples,
    selection: Selection,
    classes: Sequence[str],
    settings: FinetuneSettings,
    *,
    on_progress: Reporter = no_progress,
) -> LearningCurve | None:
    """Measure the accuracy on held-out images for increasing numbers of training images."""
    head, targets, strata = selection.head, samples.targets, samples.strata
    folds = assign_folds(strata, FOLDS, settings.seed, samples.groups)
    count = int(folds.max()) + 1
    held_out = folds >= 0
    if count < 2 or not targets[held_out].any():
        return None
    decomposition = decompose(samples.vectors[selection.features], targets)
    probabilities = np.zeros((len(SHARES), *targets.shape))
    counts = np.zeros((len(SHARES), count), int)
    for fold in range(count):
        on_progress(Progress(stage="learning curve", step=fold, total=count))
        ranks = rank_images(strata, folds != fold, settings.seed)
        for row, share in enumerate(SHARES):
            used = ranks < share
            weights = np.zeros((len(targets), len(head.l2_values)))
            weights[used] = sample_weights(targets[used], head.link, settings.balance)
            solution = fit(decomposition, targets, weights, head.l2_values, head.link)
            out = folds == fold
            logits = decomposition.coordinates[out] @ solution[:-1] + solution[-1]
            probabilities[row, out] = head.link.probabilities(logits)
            counts[row, fold] = used.sum()
    on_progress(Progress(stage="learning curve", step=count, total=count))
    evaluations = [
        evaluate(targets[held_out], head.decision.predict(row), row, classes)
        for row in probabilities[:, held_out]
    ]
    accuracy = np.array([each.accuracy for each in evaluations])
    images = np.rint(counts.mean(axis=1)).astype(int)
    weakest = min(
        (score for score in evaluations[-1].per_class if score.recall is not None),
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
    """Extrapolate errors by e(m) = a + b/√m."""
    inverse_roots, measured = 1 / np.sqrt(np.asarray(images, float)), np.asarray(errors, float)
    spread = inverse_roots - inverse_roots.mean()
    if not (spread**2).sum():
        return float(measured[-1])
    gradient = max(0.0, float(spread @ measured / (spread**2).sum()))
    limit = float(measured.mean() - gradient * inverse_roots.mean())
    if limit < 0:  # Through the origin, where a would be negative.
        gradient = float(inverse_roots @ measured / (inverse_roots @ inverse_roots))
    # The curve continues from the last measurement, however far the fit is from it.
    decrease = gradient * float(inverse_roots[-1] - 1 / np.sqrt(wanted))
    return max(0.0, float(measured[-1]) - max(0.0, decrease))


def rank_images(
    labels: Labels, allowed: npt.NDArray[np.bool_], seed: int
) -> npt.NDArray[np.float64]:
    """Rank the allowed images of each class at random, from 0 to below 1.

    The images with a rank below s are a stratified sample with the fraction s.
    """
    generator = np.random.default_rng(seed)
    ranks = np.full(len(labels), np.inf)
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero((labels == label) & allowed))
        ranks[members] = np.arange(len(members)) / max(len(members), 1)
    return ranks
