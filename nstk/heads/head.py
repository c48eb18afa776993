"""The head: a linear layer on fixed features, solved instead of trained (see `logistic`).

The training images choose the L2 penalty λ. Exact leave-one-out errors of ridge regression give its
best penalty at once (see `ridge`). Cross-entropy curves far less than a squared error, so the best
logistic penalty is lower: by 10^-1.5 to 10^-2 on photographs of two and of six classes and on ten
digits. So penalties around there are compared by stratified cross-validation, moving downhill in
log-loss separately for every problem of the link.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nstk.heads.decisions import ARGMAX, Decision, choose_decision
from nstk.heads.folds import assign_folds, find_strata
from nstk.heads.links import SOFTMAX, Link
from nstk.heads.logistic import fit_logits, sample_weights, solve
from nstk.heads.ridge import Decomposition, choose_l2, decompose
from nstk.progress import Progress, Reporter, no_progress
from nstk.types import FeatureVectors, Labels, Logits, Matrix, Probabilities, Targets

FOLDS = 5

_RELATIVE_L2 = 10.0 ** np.arange(-0.5, -3.0, -0.5)
_FIRST_TRIED = 2


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
    decomposition = decompose(features, targets)
    l2_values = np.multiply.outer(_RELATIVE_L2, choose_l2(decomposition, targets, link))
    weights = sample_weights(targets, link, balance)
    folds = assign_folds(find_strata(targets), FOLDS, seed, groups)
    validation = _CrossValidation(decomposition, targets, link, weights, folds)
    total = len(l2_values) + 1
    on_progress(Progress(stage="head", step=0, total=total))
    tried: dict[int, tuple[Matrix, Matrix]] = {}
    pending = {_FIRST_TRIED}
    while pending:
        for row in sorted(pending):
            tried[row] = validation.run(l2_values[row])
            on_progress(Progress(stage="head", step=len(tried), total=total))
        best = [_find_best(tried, problem) for problem in range(l2_values.shape[1])]
        neighbors = {row + step for row in best for step in (-1, 1)}
        pending = {row for row in neighbors if 0 <= row < len(l2_values)} - tried.keys()
    chosen = l2_values[best, np.arange(len(best))]
    # Softmax takes all labels from one row, the sigmoid each label from the row of its own λ.
    rows = np.broadcast_to(best, targets.shape[1])
    oof_logits = np.stack([tried[row][1][:, label] for label, row in enumerate(rows)], axis=1)
    kernel, bias = solve(decomposition, targets, chosen, weights, link=link)
    known = np.isfinite(oof_logits).all(axis=1)
    decision = choose_decision(link, link.probabilities(oof_logits[known]), targets[known])
    on_progress(Progress(stage="head", step=total, total=total))
    return Head(kernel, bias, chosen, oof_logits, link, decision)


def _find_best(tried: Mapping[int, tuple[Matrix, Matrix]], problem: int) -> int:
    """The row of the penalty with the lowest log-loss in one problem."""
    return min(tried, key=lambda row: float(tried[row][0][problem]))


@dataclass(frozen=True, eq=False)
class _CrossValidation:
    """Cross-validation of heads on one decomposition, for several penalties."""

    decomposition: Decomposition
    targets: Targets
    link: Link
    weights: Matrix
    folds: Labels

    def run(self, l2_values: Matrix) -> tuple[Matrix, Matrix]:
        """Log-loss ``(q,)`` and out-of-fold logits ``(n, C)``."""
        oof_logits = np.full(self.targets.shape, np.nan)
        for fold in range(int(self.folds.max()) + 1):
            out = self.folds == fold
            weights = np.where(out[:, np.newaxis], 0.0, self.weights)
            logits = fit_logits(self.decomposition, self.targets, weights, l2_values, self.link)
            oof_logits[out] = logits[out]
        known = self.folds >= 0
        losses = self.link.losses(self.targets[known], oof_logits[known])
        return (self.weights[known] * losses).sum(axis=0), oof_logits
