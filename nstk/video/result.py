"""The result of a stylized clip: its frames and the figures of their runs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from statistics import median

import numpy as np

from nstk.errors import CheckpointError, ImageError
from nstk.images.encoding import save_image
from nstk.images.image import Image, Levels, resize_image
from nstk.images.loading import load_levels
from nstk.types import Json
from nstk.video.motion import to_unit


@dataclass(frozen=True)
class FrameFigures:
    """The figures of one finished frame.

    ``reliable`` is the share of the frame that follows the frames before it; ``is_cut`` says that
    a scene begins here.
    """

    time: float
    steps: int
    seconds: float
    loss: float
    reliable: float
    is_cut: bool


@dataclass(frozen=True)
class FrameStore:
    """Finished frames as PNG files: the next frame reads them, and so does the clip at the end."""

    folder: Path

    def path(self, number: int) -> Path:
        return self.folder / f"frame-{number:06d}.png"

    def save(self, number: int, image: Image) -> None:
        save_image(self.path(number), image)

    def load(self, number: int) -> Levels:
        try:
            return load_levels(self.path(number))
        except ImageError as error:
            raise CheckpointError(
                f"{self.path(number)} is missing or damaged, and later frames depend on it; give "
                "another `checkpoint` folder."
            ) from error

    def read(self, frames: int) -> Iterator[Levels]:
        return map(self.load, range(frames))


@dataclass(frozen=True)
class Stability:
    """Warping errors E_warp (Lai et al. 2018) by pair of frames, of results and of contents."""

    result: Sequence[float]
    content: Sequence[float]

    def to_dict(self) -> dict[str, Json]:
        means = {"result": self.result, "content": self.content}
        return {name: float(np.mean(errors)) if errors else None for name, errors in means.items()}


@dataclass(frozen=True)
class ClipResult:
    """A stylized clip.

    Attributes:
        output: The clip, None if no frame was finished.
        width: Columns of its frames.
        height: Rows of its frames.
        planned: Number of frames that were to be made.
        frames: The figures of the finished frames.
        strength: The strength that was given or found.
        stability: How still the clip is, None without optical flow.
        seconds: Wall time of the whole job.
        peak_memory_bytes: Largest resident size of the process so far, None if unknown.
        interrupted: Whether Ctrl-C ended the run early.
        notices: Remarks about the clip.
    """

    output: Path | None
    width: int
    height: int
    planned: int
    frames: Sequence[FrameFigures]
    strength: float
    stability: Stability | None
    seconds: float
    peak_memory_bytes: int | None
    interrupted: bool
    notices: Sequence[str]

    @property
    def cuts(self) -> int:
        """How many times a new scene begins after the first frame."""
        return sum(each.is_cut for each in self.frames[1:])

    @property
    def seconds_per_frame(self) -> float:
        """The median of the frames after the first, NaN without any."""
        return median([each.seconds for each in self.frames[1:]] or [nan])

    def to_dict(self) -> dict[str, Json]:
        """The figures of the run as plain values for JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "stability"}
        stability = None if self.stability is None else self.stability.to_dict()
        frames = [asdict(each) for each in self.frames]
        output = None if self.output is None else str(self.output)
        changed = {"output": output, "frames": frames, "notices": list(self.notices)}
        figures = {"cuts": self.cuts, "seconds_per_frame": self.seconds_per_frame}
        return {**plain, **changed, **figures, "warping_error": stability}


def to_size(levels: Levels, height: int, width: int) -> Levels:
    """A frame at the size of the result, for optical flow and measurements."""
    if levels.shape[:2] == (height, width):
        return levels
    resized = resize_image(to_unit(levels), height, width)
    scaled: Levels = np.rint(resized * 255).astype(np.uint8)
    return scaled
