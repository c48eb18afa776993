"""The result of unfreezing, compared with the head alone."""

from dataclasses import asdict, dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.finetuning.unfreezing.planning import Plan
from nstk.finetuning.unfreezing.training import History
from nstk.heads.selection import Selection
from nstk.heads.splits import Splits
from nstk.types import Json

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class McNemarTest:
    """Two classifiers on the same images.

    Attributes:
        images: Number of images.
        gained: Images that only the second classified correctly.
        lost: Images that only the first classified correctly.
    """

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

    @property
    def favors_second(self) -> bool:
        """Whether the second is significantly better, at the 5 % level."""
        return self.gained > self.lost and self.p_value < SIGNIFICANCE


@dataclass(frozen=True)
class Skipped:
    """Unfreezing was skipped; `reason` is one sentence."""

    reason: str


@dataclass(frozen=True, eq=False, repr=False)
class SecondStage:
    """The result of unfreezing.

    Attributes:
        plan: What was done.
        history: How training went.
        backbone: The fine-tuned network.
        selection: Its head, calibrated on the images that training was evaluated on.
        mcnemar: The head alone against the fine-tuned network, on the validation images.
        probe_accuracy: Accuracy of the head alone on them.
        finetuned_accuracy: Accuracy of the fine-tuned network on them.
        splits: The images with features of the fine-tuned network; None where it is not kept.
        pinned: Number of batch-normalization arrays, all verified to be bit-identical.
        seconds: Wall time.
    """

    plan: Plan
    history: History
    backbone: Backbone
    selection: Selection
    mcnemar: McNemarTest
    probe_accuracy: float
    finetuned_accuracy: float
    splits: Splits | None
    pinned: int
    seconds: float

    def __repr__(self) -> str:
        kept = "kept" if self.kept else "not kept"
        accuracies = f"{self.probe_accuracy:.1%} → {self.finetuned_accuracy:.1%}"
        return f"SecondStage({self.plan.blocks} blocks, {accuracies}, {kept})"

    @property
    def kept(self) -> bool:
        """Whether the fine-tuned network is significantly better than the head alone."""
        return self.mcnemar.favors_second

    def to_dict(self) -> dict[str, Json]:
        """Plan and result as plain JSON values."""
        return {
            **asdict(self.plan),
            "log_losses": list(self.history.losses),
            "best": self.history.best,
            **asdict(self.mcnemar),
            "probe_accuracy": self.probe_accuracy,
            "finetuned_accuracy": self.finetuned_accuracy,
            "p_value": self.mcnemar.p_value,
            "kept": "finetuned" if self.kept else "probe",
            "pinned": self.pinned,
            "backbone": self.backbone.digest,
            "head": self.selection.head.digest,
        }
