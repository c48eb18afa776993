"""What remains of a descent: its losses, its previews, its frames.

Each is a reporter of its own that keeps what it has heard so far, so nothing is lost when a job
is interrupted or its loss diverges; `broadcast` lets several of them listen to one job.

    trace, frames = Trace(), Frames()
    made = nstk.stylize(content, style, on_progress=tell(trace, frames, bars))
    frames.save("out.gif", made.image)
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nstk.errors import OutputError
from nstk.images.animations import Frame, save_animation
from nstk.images.image import Image, fit_size, resize_image, save_image
from nstk.progress import Progress, Reporter
from nstk.settings import check_whole

MAX_FRAMES = 60
LONGEST_SIDE = 640

_log = logging.getLogger("nstk")


def broadcast(*reporters: Reporter) -> Reporter:
    """Make one reporter of several.

    Args:
        reporters: Whom to tell, in this order.
    """

    def report(progress: Progress) -> None:
        for reporter in reporters:
            reporter(progress)

    return report


@dataclass(frozen=True)
class TracedStep:
    """One step of a descent.

    Attributes:
        loss: L as it found it, before it moved on.
        terms: Its parts by name.
        seconds: Wall time since the trace heard of the job first.
    """

    loss: float
    terms: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class TracedScale:
    """One scale of a descent.

    Attributes:
        stage: Its size in words, ``"256×192"``.
        planned: How many steps it was to take.
        steps: Those it took.
    """

    stage: str
    planned: int
    steps: list[TracedStep] = field(default_factory=list)


@dataclass
class Trace:
    """A reporter that remembers the loss and its parts at every step.

    Stages without a loss, such as fetching weights, are not recorded.

    Attributes:
        scales: Every scale so far, coarsest first.
    """

    scales: list[TracedScale] = field(default_factory=list)
    _began: float | None = field(default=None, init=False, repr=False)

    def __call__(self, progress: Progress) -> None:
        """Remember one step."""
        now = time.perf_counter()
        self._began = now if self._began is None else self._began
        if progress.loss is None:
            return
        if not self.scales or self.scales[-1].stage != progress.stage:
            self.scales.append(TracedScale(progress.stage, progress.total))
        step = TracedStep(progress.loss, dict(progress.terms), now - self._began)
        self.scales[-1].steps.append(step)

    @property
    def steps(self) -> tuple[TracedStep, ...]:
        """Every step over all scales."""
        return tuple(step for scale in self.scales for step in scale.steps)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of all parts of the loss, in the order in which they first appeared."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.terms))


@dataclass
class Previews:
    """A reporter that writes the current image to a file every few steps.

    A file that cannot be written is logged as a warning, and the descent goes on.

    Attributes:
        path: The file; replaced whole each time, so a viewer never sees half of one.
        every: How many steps lie between two previews, over all scales, at least 1.

    Raises:
        SettingsError: If ``every`` is less, or no whole number.
    """

    path: Path
    every: int
    _steps: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_whole("preview_every", self.every, 1)

    def __call__(self, progress: Progress) -> None:
        """Write the image if it is time to."""
        if progress.preview is None or progress.step == 0:
            return
        self._steps += 1
        if self._steps % self.every == 0:
            try:
                save_image(self.path, progress.preview())
            except OutputError as error:
                _log.warning("No preview at step %d: %s", self._steps, error)


@dataclass
class Frames:
    """A reporter that keeps frames for an animation, evenly spread over all steps.

    It never holds more than ``limit`` frames: whenever there are that many, every second one is
    dropped and from then on only half as many steps are looked at.

    Attributes:
        limit: The most frames to keep, at least 2.
        longest_side: Larger images are kept with this longer side, in pixels.
    """

    limit: int = MAX_FRAMES
    longest_side: int = LONGEST_SIDE
    _frames: list[Frame] = field(default_factory=list, init=False, repr=False)
    _stride: int = field(default=1, init=False, repr=False)
    _steps: int = field(default=0, init=False, repr=False)

    def __call__(self, progress: Progress) -> None:
        """Keep the image if it is one of those to keep."""
        if progress.preview is None or (progress.step == 0 and self._frames):
            return
        if self._steps % self._stride == 0:
            self._frames.append(self._shrink(progress.preview()))
        self._steps += 1
        if len(self._frames) >= self.limit:
            self._frames = self._frames[::2]
            self._stride *= 2

    def __len__(self) -> int:
        return len(self._frames)

    def save(self, path: str | Path, last: Image) -> Path:
        """Save the animation that ends in an image, as a GIF that runs for ever.

        Args:
            path: Where it is to stand; its name ends in ``.gif``.
            last: The final image, whose size the whole animation has, up to ``longest_side``.

        Returns:
            ``path``.

        Raises:
            OutputError: If it cannot be written.
        """
        final = self._shrink(last)
        return save_animation(
            path, [*self._frames, final], height=final.shape[0], width=final.shape[1]
        )

    def _shrink(self, image: Image) -> Frame:
        height, width = image.shape[:2]
        size = fit_size(height, width, min(self.longest_side, max(height, width)))
        if size != (height, width):
            image = resize_image(image, *size)
        return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
