"""What a running job reports, and to whom."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One moment of a running job; both jobs report the same event.

    Attributes:
        stage: What is being done, in the reader's words (``"256×192"``, ``"features"``).
        step: How many of ``total`` are done in this stage; the first report is 0.
        total: How many there are in this stage.
        loss: The loss that this step found, before it moved on, where the stage has one.
        terms: The parts of the loss by name.
        preview: Call it for the current image, float32 ``(height, width, 3)`` in
            ``[0, 1]``; nothing is copied until it is called.
    """

    stage: str
    step: int
    total: int
    loss: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    preview: Callable[[], npt.NDArray[np.float32]] | None = None


Reporter = Callable[[Progress], Any]
"""Whoever listens to a job: any callable that takes one `Progress`."""


def no_progress(progress: Progress) -> None:
    """Listen to nothing: the reporter of those who did not ask for one.

    Args:
        progress: Whatever is reported.
    """


class Stopwatch:
    """Wall-clock seconds of a job, by stage.

    Attributes:
        began: When the job began, as ``time.perf_counter`` tells it.
        seconds: Of each finished stage.
    """

    def __init__(self) -> None:
        self.began = self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the job began."""
        return time.perf_counter() - self.began

    def lap(self, stage: str | None = None) -> float:
        """End a stage and begin the next.

        Args:
            stage: Name of the stage that ends; None does not record it.

        Returns:
            Its seconds.
        """
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        if stage is not None:
            self.seconds[stage] = seconds
        return seconds
