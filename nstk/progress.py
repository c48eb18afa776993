"""Progress reports of running jobs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # NumPy would slow the start of the command line
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a running job; all jobs report the same event.

    Attributes:
        stage: The name of the stage, such as ``"256×192"`` or ``"features"``.
        step: Steps done in this stage; the first report is 0.
        total: Steps of this stage.
        loss: The loss before the update of this step, where the stage has one.
        terms: The terms of the loss by name.
        preview: Returns the current image, float32 ``(height, width, 3)`` in ``[0, 1]``; nothing
            is copied until it is called.
    """

    stage: str
    step: int
    total: int
    loss: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    preview: "Callable[[], npt.NDArray[np.float32]] | None" = None


Reporter = Callable[[Progress], object]
"""Any callable that takes one `Progress`."""


def no_progress(progress: Progress) -> None:
    """Ignore progress: the default reporter.

    Args:
        progress: The progress to ignore.
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
