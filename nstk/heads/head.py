"""The head: a linear layer on fixed features, solved instead of trained (see `logistic`).

How strong λ should be, the training images say themselves. Exact leave-one-out errors of ridge
regression find its best strength at once (see `ridge`). A cross-entropy bends far less than a
square, so the best logistic strength is lower: by 10^-1.5 to 10^-2 on photographs of two and of
six classes and on digits of ten. So strengths from there on are compared by stratified
cross-validation, for every question downhill to its lowest log-loss.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nstk.heads.decisions import LIKELIEST, Decision, choose_decision
from nstk.heads.folds import Labels, assign_folds, find_strata
from nstk.heads.links import SOFTMAX, Link, Matrix, Targets
from nstk.heads.logistic import answer_all, solve, weigh
from nstk.heads.ridge import Decomposition, choose_strengths, decompose
from nstk.progress import Progress, Reporter, no_progress

FOLDS = 5

_RELATIVE_STRENGTHS = 10.0 ** np.arange(-0.5, -3.0, -0.5)
_FIRST_TRIED = 2


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head on raw features, with the standardisation folded in.

    Attributes:
        kernel: float32 ``(D, C)``.
        bias: float32 ``(C,)``.
        strengths: λ of every question, ``(q,)``.
        held_out: Logits of every training image from a head that has not seen it, float64
            ``(n, C)``; NaN for the only image of a class, which no head can do without.
        link: What makes probabilities of logits.
        decision: What gives labels for them, chosen on ``held_out``.
    """

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    strengths: Matrix
    held_out: Matrix
    link: Link = SOFTMAX
    decision: Decision = LIKELIEST

    @property
    def strength(self) -> float:
        """λ; the geometric mean over the questions."""
        return float(np.exp(np.log(self.strengths).mean()))

    @property
    def digest(self) -> str:
        """SHA-256 of kernel and bias."""
        return hashlib.sha256(self.kernel.tobytes() + self.bias.tobytes()).hexdigest()

    def answer(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Logits ``(n, C)`` of feature vectors ``(n, D)``."""
        logits: npt.NDArray[np.float32] = vectors @ self.kernel + self.bias
        return logits

    def divide(self, temperature: float) -> "Head":
        """The head whose logits are these divided by a temperature; it gives the same labels."""
        share = np.float32(1 / temperature)
        return replace(
            self,
            kernel=self.kernel * share,
            bias=self.bias * share,
            held_out=self.held_out / temperature,
            decision=self.decision.divide(temperature),
        )

    def predict(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Probabilities ``(n, C)`` for feature vectors ``(n, D)``."""
        probabilities: npt.NDArray[np.float32]
        probabilities = self.link.probabilities(self.answer(vectors))
        return probabilities


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
    """Fit a head, with the strengths that the images themselves favor.

    Args:
        features: ``(n, D)``, finite.
        targets: Which images have which labels, ``(n, C)``.
        seed: Of the folds.
        link: What makes probabilities of logits.
        groups: Which images must be left out together, ``(n,)``; see `assign_folds`.
        balance: Whether every answer to a question weighs the same, however many images
            deserve it.
        on_progress: Told after each strength tried and at the end, stage ``"head"``.
    """
    decomposition = decompose(features, targets)
    strengths = np.multiply.outer(
        _RELATIVE_STRENGTHS, choose_strengths(decomposition, targets, link)
    )
    weights = weigh(targets, link, balance)
    folds = assign_folds(find_strata(targets), FOLDS, seed, groups)
    trial = _Trial(decomposition, targets, link, weights, folds)
    total = len(strengths) + 1
    on_progress(Progress(stage="head", step=0, total=total))
    tried: dict[int, tuple[Matrix, Matrix]] = {}
    wanted = {_FIRST_TRIED}
    while wanted:
        for each in sorted(wanted):
            tried[each] = trial.leave_out(strengths[each])
            on_progress(Progress(stage="head", step=len(tried), total=total))
        best = [_find_best(tried, question) for question in range(strengths.shape[1])]
        nearest = {place + step for place in best for step in (-1, 1)}
        wanted = {each for each in nearest if 0 <= each < len(strengths)} - tried.keys()
    chosen = strengths[best, np.arange(len(best))]
    # A question with all labels takes them from one trial, a label with its own from its trial.
    columns = np.broadcast_to(best, targets.shape[1])
    held_out = np.stack([tried[place][1][:, c] for c, place in enumerate(columns)], axis=1)
    kernel, bias = solve(decomposition, targets, chosen, weights, link=link)
    seen = np.isfinite(held_out).all(axis=1)
    probabilities = link.probabilities(held_out[seen])
    decision = choose_decision(link, probabilities, targets[seen])
    on_progress(Progress(stage="head", step=total, total=total))
    return Head(kernel, bias, chosen, held_out, link, decision)


def _find_best(tried: Mapping[int, tuple[Matrix, Matrix]], question: int) -> int:
    """The place of the strength with the lowest log-loss in one question."""
    return min(tried, key=lambda place: float(tried[place][0][question]))


@dataclass(frozen=True, eq=False)
class _Trial:
    """A question to the training images: how good would heads of some strengths be?"""

    decomposition: Decomposition
    targets: Targets
    link: Link
    weights: Matrix
    folds: Labels

    def leave_out(self, strengths: Matrix) -> tuple[Matrix, Matrix]:
        """Log-loss ``(q,)`` and logits of every image from heads that have not seen its fold."""
        held_out = np.full(self.targets.shape, np.nan)
        for fold in range(int(self.folds.max()) + 1):
            out = self.folds == fold
            weights = np.where(out[:, np.newaxis], 0.0, self.weights)
            logits = answer_all(self.decomposition, self.targets, weights, strengths, self.link)
            held_out[out] = logits[out]
        seen = self.folds >= 0
        losses = self.link.losses(self.targets[seen], held_out[seen])
        return (self.weights[seen] * losses).sum(axis=0), held_out
