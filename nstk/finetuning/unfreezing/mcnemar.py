"""Two classifiers on the same images: is one of them better, or was it luck?"""

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class McNemarTest:
    """Where two classifiers differ.

    Attributes:
        images: How many images both were asked about.
        gained: How many of them only the second recognized.
        lost: How many of them only the first recognized.
    """

    images: int
    gained: int
    lost: int

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided.

        Were both equally good, each of the n = gained + lost images would be as likely gained
        as lost: p = min(1, 2·Σ_{k ≤ min(gained, lost)} C(n, k) / 2ⁿ) (McNemar 1947).
        """
        differing, fewer = self.gained + self.lost, min(self.gained, self.lost)
        ways = sum(comb(differing, k) for k in range(fewer + 1))
        return min(1.0, 2 * ways / (1 << differing))

    @property
    def favors_second(self) -> bool:
        """Whether the second is better by more than luck explains, at 5 %."""
        return self.gained > self.lost and self.p_value < SIGNIFICANCE


def mcnemar_test(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> McNemarTest:
    """Count where two classifiers differ.

    Args:
        first: Which images the first recognized, ``(n,)``.
        second: Which of the same images the second recognized, ``(n,)``.
    """
    return McNemarTest(len(first), int((second & ~first).sum()), int((first & ~second).sum()))
