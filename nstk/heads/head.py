"""The head: a linear layer on fixed features, solved instead of trained (see `logistic`).

The training images choose the L2 penalty λ. Exact leave-one-out errors of ridge regression give its
best penalty at once (see `ridge`). Cross-entropy curves far less than a squared error, so the best
logistic penalty is lower: by 10^-1.5 to 10^-2 on photographs of two and of six classes and on ten
digits. So penalties around there are compared by stratified cross-validation, moving downhill in
log-loss separately for every problem of the link.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nstk.heads.decisions import ARGMAX, Decision, choose_decision
from nstk.heads.links import SOFTMAX, Link
from nstk.heads.logistic import fit, sample_weights, solve
from nstk.heads.ridge import Decomposition, choose_l2, decompose
from nstk.progress import Progress, Reporter, no_progress
from nstk.types import FeatureVectors, Labels, Logits, Matrix, Probabilities, Targets


def find_strata(targets: Targets) -> Labels:
    """Assign each image to a stratum: the rarest of its labels."""
    rarity = np.where(targets, targets.sum(axis=0), len(targets) + 1)
    return np.where(targets.any(axis=1), rarity.argmin(axis=1), -1)


def assign_folds(labels: Labels, folds: int, seed: int, groups: Labels | None = None) -> Labels:
    """Distribute the images of every class evenly over the folds."""
    generator = np.random.default_rng(seed)
    group = np.arange(len(labels)) if groups is None else groups
    _, first, member_of, sizes = np.unique(
        group, return_index=True, return_inverse=True, return_counts=True
    )
    fold_of_group = np.full(len(first), -1)
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels[first] == label))
        if len(own) < 2:
            continue
        counts = np.zeros(folds, int)
        for each in own[np.argsort(-sizes[own], kind="stable")]:
            fold_of_group[each] = np.argmin(counts)
            counts[fold_of_group[each]] += sizes[each]
    assigned = fold_of_group[member_of]
    for label in np.unique(labels):
        if len(np.unique(assigned[labels == label])) < 2:
            assigned[np.isin(member_of, member_of[labels == label])] = -1
    return assigned


FOLDS = 5

_RELATIVE_L2 = 10.0 ** np.arange(-0.5, -3.0, -0.5)
_FIRST_TRIED = 2
_STEPS = len(_RELATIVE_L2) + 1

_SUFFICIENT = 300
"""Images in a fold that choose a penalty and a temperature as well as all images do: no other fold
is held out then, unless every image is to be predicted."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head on raw features; it includes their standardization.

    Attributes:
        kernel: float32 ``(D, C)``.
        bias: float32 ``(C,)``.
        l2_values: λ of every problem, ``(q,)``.
        oof_logits: Out-of-fold logits of the training images, float64 ``(n, C)``: each from a head
            fitted without the image's fold. NaN for the only image of a class, which no head can
            do without.
        link: The link from logits to probabilities.
        decision: How probabilities become labels, chosen on ``oof_logits``.
    """

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    l2_values: Matrix
    oof_logits: Matrix
    link: Link = SOFTMAX
    decision: Decision = ARGMAX

    @property
    def l2(self) -> float:
        """λ; the geometric mean over the problems."""
        return float(np.exp(np.log(self.l2_values).mean()))

    @property
    def digest(self) -> str:
        """SHA-256 of kernel and bias."""
        return hashlib.sha256(self.kernel.tobytes() + self.bias.tobytes()).hexdigest()

    def logits(self, vectors: FeatureVectors) -> Logits:
        """Logits ``(n, C)`` of feature vectors ``(n, D)``."""
        logits: Logits = vectors @ self.kernel + self.bias
        return logits

    def predict_proba(self, vectors: FeatureVectors) -> Probabilities:
        """Probabilities ``(n, C)`` of feature vectors ``(n, D)``."""
        probabilities: Probabilities = self.link.probabilities(self.logits(vectors))
        return probabilities

    def with_temperature(self, temperature: float) -> "Head":
        """The head with logits divided by a temperature; it predicts the same labels."""
        share = np.float32(1 / temperature)
        return replace(
            self,
            kernel=self.kernel * share,
            bias=self.bias * share,
            oof_logits=self.oof_logits / temperature,
            decision=self.decision.with_temperature(temperature),
        )


def fit_head(
    features: npt.NDArray[np.floating],
    targets: Targets,
    seed: int = 0,
    *,
    link: Link = SOFTMAX,
    groups: Labels | None = None,
    balance: bool = False,
    on_progress: Reporter = no_progress,
) -> Head:
    """Fit a head with the L2 penalties that minimize the out-of-fold log-loss.

    Args:
        features: ``(n, D)``, finite.
        targets: The labels of the images, ``(n, C)``.
        seed: Random seed of the folds.
        link: The link from logits to probabilities.
        groups: Images that share a fold, ``(n,)``; see `assign_folds`.
        balance: Whether all classes of a problem have the same total weight, however many images
            they have.
        on_progress: Called after each penalty and at the end, stage ``"head"``.
    """
    data = _Data(
        decompose(features, targets), targets, sample_weights(targets, link, balance), link
    )
    found = _search(data, assign_folds(find_strata(targets), FOLDS, seed, groups), on_progress)
    start = found.solutions.mean(axis=0) if len(found.solutions) else None
    kernel, bias = solve(
        data.decomposition, targets, found.l2_values, data.weights, link=link, start=start
    )
    known = np.isfinite(found.oof_logits).all(axis=1)
    decision = choose_decision(link, link.probabilities(found.oof_logits[known]), targets[known])
    on_progress(Progress(stage="head", step=_STEPS, total=_STEPS))
    return Head(kernel, bias, found.l2_values, found.oof_logits, link, decision)


def predict_out_of_fold(
    features: npt.NDArray[np.floating],
    targets: Targets,
    seed: int = 0,
    *,
    link: Link = SOFTMAX,
    groups: Labels | None = None,
    on_progress: Reporter = no_progress,
) -> Matrix:
    """Out-of-fold probabilities of every image, ``(n, C)``; NaN where no fold holds it out."""
    data = _Data(decompose(features, targets), targets, sample_weights(targets, link, False), link)
    folds = assign_folds(find_strata(targets), FOLDS, seed, groups)
    found = _search(data, folds, on_progress, every_image=True)
    on_progress(Progress(stage="head", step=_STEPS, total=_STEPS))
    probabilities: Matrix = link.probabilities(found.oof_logits)
    return probabilities


@dataclass(frozen=True, eq=False)
class _Data:
    """Features, targets ``(n, C)``, weights ``(n, q)`` and the link."""

    decomposition: Decomposition
    targets: Targets
    weights: Matrix
    link: Link


@dataclass(frozen=True, eq=False)
class _Trial:
    """Cross-validation with one penalty per problem, ``(q,)``.

    The weighted log-loss ``(q,)``, out-of-fold logits ``(n, C)``, and the solution of each fold.
    """

    l2_values: Matrix
    log_loss: Matrix
    oof_logits: Matrix
    solutions: npt.NDArray[np.float64]


def _search(
    data: _Data, folds: Labels, on_progress: Reporter, *, every_image: bool = False
) -> _Trial:
    """Find the penalties with the lowest log-loss, on one fold if it has images enough."""
    every = range(int(folds.max()) + 1)
    is_sufficient = (folds == 0).sum() >= _SUFFICIENT
    deciding = every[:1] if is_sufficient else every
    l2_values = np.multiply.outer(
        _RELATIVE_L2, choose_l2(data.decomposition, data.targets, data.link)
    )
    on_progress(Progress(stage="head", step=0, total=_STEPS))
    tried: dict[int, _Trial] = {}
    pending = {_FIRST_TRIED}
    while pending:
        for row in sorted(pending):
            near = min(tried, key=lambda other: abs(other - row), default=None)
            starts = () if near is None else tuple(tried[near].solutions)
            tried[row] = _cross_validate(data, folds, deciding, l2_values[row], starts)
            on_progress(Progress(stage="head", step=len(tried), total=_STEPS))
        best = [_find_best(tried, problem) for problem in range(l2_values.shape[1])]
        neighbors = {row + step for row in best for step in (-1, 1)}
        pending = {row for row in neighbors if 0 <= row < len(l2_values)} - tried.keys()
    # Softmax takes all labels from one row, the sigmoid each label from the row of its own λ.
    labels = np.arange(data.targets.shape[1])
    trials = [tried[row] for row in np.broadcast_to(best, len(labels))]
    found = _Trial(
        l2_values[best, np.arange(len(best))],
        np.array([tried[row].log_loss[problem] for problem, row in enumerate(best)]),
        np.stack([trials[label].oof_logits[:, label] for label in labels], axis=1),
        np.stack([trials[label].solutions[..., label] for label in labels], axis=-1),
    )
    if is_sufficient and not every_image:
        return found
    rest = _cross_validate(data, folds, every[len(deciding) :], found.l2_values)
    return _Trial(
        found.l2_values,
        found.log_loss + rest.log_loss,
        np.where(np.isnan(found.oof_logits), rest.oof_logits, found.oof_logits),
        np.concatenate([found.solutions, rest.solutions]),
    )


def _cross_validate(
    data: _Data,
    folds: Labels,
    chosen: Sequence[int],
    l2_values: Matrix,
    starts: Sequence[Matrix] = (),
) -> _Trial:
    """Fit a head without each of the chosen folds, from solutions for a similar penalty."""
    coordinates, targets = data.decomposition.coordinates, data.targets
    oof_logits = np.full(targets.shape, np.nan)
    solutions = np.empty((len(chosen), len(coordinates.T) + 1, targets.shape[1]))
    for index, fold in enumerate(chosen):
        out = folds == fold
        weights = np.where(out[:, np.newaxis], 0.0, data.weights)
        start = starts[index] if len(starts) else None
        solution = fit(data.decomposition, targets, weights, l2_values, data.link, start)
        oof_logits[out] = coordinates[out] @ solution[:-1] + solution[-1]
        solutions[index] = solution
    known = np.isin(folds, chosen)
    losses = data.weights[known] * data.link.losses(targets[known], oof_logits[known])
    return _Trial(l2_values, losses.sum(axis=0), oof_logits, solutions)


def _find_best(tried: Mapping[int, _Trial], problem: int) -> int:
    """The row of the penalty with the lowest log-loss in one problem."""
    return min(tried, key=lambda row: float(tried[row].log_loss[problem]))
