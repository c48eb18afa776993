"""Reporters that record a run: its losses, previews and frames.

Each keeps what it has received so far, so nothing is lost if the run is interrupted or diverges;
`broadcast` passes progress to several of them.

    trace, frames = Trace(), Frames()
    result = nstk.stylize(content, style, on_progress=broadcast(trace, frames))
    frames.save("out.gif", result.image)
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nstk.errors import OutputError
from nstk.images.encoding import save_animation, save_image
from nstk.images.image import Image, Levels, fit_size, resize_image
from nstk.progress import Progress, Reporter
from nstk.settings import check_whole

MAX_FRAMES = 60
LONGEST_SIDE = 640

_log = logging.getLogger("nstk")


def broadcast(*reporters: Reporter) -> Reporter:
    """Combine several reporters into one.

    Args:
        reporters: Called in this order.
    """

    def report(progress: Progress) -> None:
        for reporter in reporters:
            reporter(progress)

    return report


@dataclass(frozen=True)
class TracedStep:
    """One recorded step.

    Attributes:
        loss: L before the step.
        terms: Its terms by name.
        seconds: Wall time since the first progress of the run.
    """

    loss: float
    terms: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class TracedScale:
    """One recorded scale.

    Attributes:
        stage: Its size as text, ``"256×192"``.
        planned: Number of planned steps.
        steps: The steps taken.
    """

    stage: str
    planned: int
    steps: list[TracedStep] = field(default_factory=list)


@dataclass
class Trace:
    """A reporter that records the loss and its terms at every step.

    Stages without a loss, such as fetching weights, are not recorded.

    Attributes:
        scales: Every scale so far, coarsest first.
    """

    scales: list[TracedScale] = field(default_factory=list)
    _began: float | None = field(default=None, init=False, repr=False)

    def __call__(self, progress: Progress) -> None:
        """Record one step."""
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
        """Names of all terms of the loss, in order of first appearance."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.terms))


@dataclass
class Previews:
    """A reporter that writes the current image to a file every few steps.

    A failure to write is logged as a warning, and the run continues.

    Attributes:
        path: The file, replaced atomically.
        every: Steps between two previews, over all scales, at least 1.

    Raises:
        SettingsError: If ``every`` is not a whole number of 1 or more.
    """

    path: Path
    every: int
    _steps: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_whole("preview_every", self.every, 1)

    def __call__(self, progress: Progress) -> None:
        """Write the image if a preview is due."""
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
    """A reporter that records frames for an animation, evenly spread over all steps.

    It never holds more than ``limit`` frames: when there are that many, every second one is
    dropped and from then on half as many are recorded.

    Attributes:
        limit: Most frames, at least 2.
        longest_side: Larger images are resized to this longer side, in pixels.
    """

    limit: int = MAX_FRAMES
    longest_side: int = LONGEST_SIDE
    _frames: list[Levels] = field(default_factory=list, init=False, repr=False)
    _stride: int = field(default=1, init=False, repr=False)
    _steps: int = field(default=0, init=False, repr=False)

    def __call__(self, progress: Progress) -> None:
        """Record the image if a frame is due."""
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
        """Save the animation as an endless GIF.

        Args:
            path: The file, ending in ``.gif``.
            last: The last frame; its size, up to ``longest_side``, is that of the animation.

        Returns:
            ``path``.

        Raises:
            OutputError: If it cannot be written.
        """
        final = self._shrink(last)
        return save_animation(
            path, [*self._frames, final], height=final.shape[0], width=final.shape[1]
        )

    def _shrink(self, image: Image) -> Levels:
        height, width = image.shape[:2]
        size = fit_size(height, width, min(self.longest_side, max(height, width)))
        if size != (height, width):
            image = resize_image(image, *size)
        return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
