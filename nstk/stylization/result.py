"""The result of a stylization: the image and the figures of its run."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.errors import OutputError
from nstk.images.encoding import encode_png, save_animation, save_image
from nstk.images.image import Image, Levels, Plane, fit_size, resize_image
from nstk.progress import Progress, Reporter
from nstk.settings import StylizeSettings, check_whole
from nstk.types import Array, Json

MAX_FRAMES = 60
LONGEST_SIDE = 640

_log = logging.getLogger("nstk")


def broadcast(*reporters: Reporter) -> Reporter:
    def report(progress: Progress) -> None:
        for reporter in reporters:
            reporter(progress)

    return report


@dataclass(frozen=True)
class TracedStep:
    loss: float
    terms: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class TracedScale:
    stage: str
    planned: int
    steps: list[TracedStep] = field(default_factory=list)


@dataclass
class Trace:
    """A reporter that records the loss and its terms at every step.

    Stages without a loss, such as fetching weights, are not recorded.
    """

    scales: list[TracedScale] = field(default_factory=list)
    _began: float | None = field(default=None, init=False, repr=False)

    def __call__(self, progress: Progress) -> None:
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
        return tuple(step for scale in self.scales for step in scale.steps)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of all terms of the loss, in order of first appearance."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.terms))


@dataclass
class Previews:
    """A reporter that writes the current image to a file every few steps.

    A failure to write is logged as a warning, and the run continues.
    """

    path: Path
    every: int
    _steps: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        check_whole("preview_every", self.every, 1)

    def __call__(self, progress: Progress) -> None:
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
    """

    limit: int = MAX_FRAMES
    longest_side: int = LONGEST_SIDE
    _frames: list[Levels] = field(default_factory=list, init=False, repr=False)
    _stride: int = field(default=1, init=False, repr=False)
    _steps: int = field(default=0, init=False, repr=False)

    def __call__(self, progress: Progress) -> None:
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


@dataclass(frozen=True, eq=False)
class StylizeResult:
    """A stylized image and the figures of its run.

    Attributes:
        image: float32 ``(height, width, 3)``, sRGB, ``[0, 1]``.
        alpha: The content's transparency at the same size, or None if it was opaque.
        settings: The settings.
        strength: The strength that was given or found.
        backbone: Name of the network.
        tiling: ``off``, or ``on`` if the image was processed tile by tile.
        precision: Number format of the convolutions, ``float32`` or ``bfloat16``.
        loss: L at the last step.
        terms: Its terms at the last step: ``content``, ``style``, ``tv`` and every style layer
            by name, before α, β, γ and λ_l.
        steps: Steps taken, over all scales.
        seconds: Wall time of the whole job.
        seconds_per_step: Median at the last scale, NaN before its first step.
        peak_memory_bytes: Largest resident size of the process so far, None if unknown.
        interrupted: Whether Ctrl-C ended the run early; ``image`` is the result so far.
        notices: Remarks about the input files and the run.
        history: The loss and its terms at every step, by scale.
    """

    image: Image
    alpha: Plane | None
    settings: StylizeSettings
    strength: float
    backbone: str
    tiling: str
    precision: str
    loss: float
    terms: Mapping[str, float]
    steps: int
    seconds: float
    seconds_per_step: float
    peak_memory_bytes: int | None
    interrupted: bool
    notices: tuple[str, ...]
    history: Trace = field(default_factory=Trace)

    value_range = (0.0, 1.0)

    def __repr__(self) -> str:
        height, width, _ = self.image.shape
        return f"StylizeResult({width}×{height} pixels, {self.steps} steps, {self.seconds:.1f} s)"

    def _repr_png_(self) -> bytes:
        return encode_png(self.image, self.alpha)

    def to_dict(self) -> dict[str, Json]:
        """The figures of the run as plain values for JSON, without pixels."""
        height, width, _ = self.image.shape
        return {
            "width": width,
            "height": height,
            "backbone": self.backbone,
            "tiling": self.tiling,
            "precision": self.precision,
            "strength": self.strength,
            "steps": self.steps,
            "seconds": self.seconds,
            "seconds_per_step": self.seconds_per_step,
            "loss": self.loss,
            "terms": dict(self.terms),
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.image, dtype)

    def save(self, path: str | Path) -> Path:
        """Write the image, with its transparency if the format supports it.

        Raises:
            OutputError: If it cannot be written.
        """
        return save_image(path, self.image, alpha=self.alpha)
