"""The result of unfreezing, compared with the head alone."""

from dataclasses import asdict, dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.finetuning.unfreezing.planning import Plan
from nstk.heads.selection import Selection
from nstk.heads.splits import Splits
from nstk.types import Json


@dataclass(frozen=True)
class McNemarTest:
    """Two classifiers on the same images; ``gained`` ones are right by the second only."""

    images: int
    gained: int
    lost: int

    @classmethod
    def compare(cls, first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> "McNemarTest":
        """Compare which images each classified correctly, ``(n,)`` both."""
        return cls(len(first), int((second & ~first).sum()), int((first & ~second).sum()))

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided.

        If both are equally good, each of the n = gained + lost images is as likely gained as
        lost: p = min(1, 2·Σ_{k ≤ min(gained, lost)} C(n, k) / 2ⁿ) (McNemar 1947).
        """
        differing, fewer = self.gained + self.lost, min(self.gained, self.lost)
        ways = sum(comb(differing, k) for k in range(fewer + 1))
        return min(1.0, 2 * ways / (1 << differing))


@dataclass(frozen=True, eq=False, repr=False)
class SecondStage:
    """The result of unfreezing, compared with the head alone (the probe) on validation images.

    ``log_losses`` are those of the images that training was evaluated on, before training and
    after each epoch; the weights of the ``best`` are kept. ``splits`` has the features of the
    fine-tuned network, None where it is not kept. All ``pinned`` arrays of batch normalization
    are bit-identical.
    """

    plan: Plan
    log_losses: tuple[float, ...]
    best: int
    backbone: Backbone
    selection: Selection
    mcnemar: McNemarTest
    accuracies: tuple[float, float]
    expected_losses: tuple[float, float]
    pinned: int
    seconds: float
    splits: Splits | None = None

    def __repr__(self) -> str:
        kept = "kept" if self.kept else "not kept"
        accuracies = f"{self.probe_accuracy:.1%} → {self.finetuned_accuracy:.1%}"
        return f"SecondStage({self.plan.blocks} blocks, {accuracies}, {kept})"

    @property
    def probe_accuracy(self) -> float:
        return self.accuracies[0]

    @property
    def finetuned_accuracy(self) -> float:
        return self.accuracies[1]

    @property
    def kept(self) -> bool:
        """Whether the fine-tuned network has the smaller log-loss."""
        return self.expected_losses[1] < self.expected_losses[0]

    def to_dict(self) -> dict[str, Json]:
        return {
            **asdict(self.plan),
            "log_losses": list(self.log_losses),
            "best": self.best,
            **asdict(self.mcnemar),
            "probe_accuracy": self.probe_accuracy,
            "finetuned_accuracy": self.finetuned_accuracy,
            "probe_log_loss": self.expected_losses[0],
            "finetuned_log_loss": self.expected_losses[1],
            "p_value": self.mcnemar.p_value,
            "kept": "finetuned" if self.kept else "probe",
            "pinned": self.pinned,
            "backbone": self.backbone.digest,
            "head": self.selection.head.digest,
        }
