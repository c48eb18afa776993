"""The settings of clips: which frames are stylized, and how they are held together."""

from dataclasses import dataclass
from typing import Any, Literal

from nstk.settings.fields import INFINITY, Settings, refuse, setting

TemporalMode = Literal["flow", "difference", "off"]


def parse_memory_frames(text: str) -> tuple[int, ...]:
    """Parse ``1,2,4``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not a list of frames, as in 1,2,4.") from None


def _check_memory(name: str, value: Any) -> None:
    fits = isinstance(value, tuple | list) and len(value) > 0
    if not fits or any(type(each) is not int or each < 1 for each in value):
        raise refuse(name, value, "how many frames back to look, each at least 1, as in 1,2,4")
    if list(value) != sorted(set(value)):
        raise refuse(name, value, "in rising order, each once, as in 1,2,4")


@dataclass(frozen=True, kw_only=True)
class VideoSettings(Settings):
    """Which frames of a clip are stylized, and how they are held together.

    Raises:
        SettingsError: If a value is out of its range.
    """

    temporal: TemporalMode = setting(
        "flow",
        "What holds the frames of a clip together: earlier results moved by optical flow, the "
        "difference of the contents (no flow), or nothing",
    )
    temporal_weight: float = setting(200.0, "Weight of the temporal loss of a clip")
    memory: tuple[int, ...] = setting(
        (1, 2, 4),
        "How many frames back the temporal loss looks",
        check=_check_memory,
        parse=parse_memory_frames,
        metavar="N,N,…",
    )
    fps: float | None = setting(
        None,
        "Most frames per second of a clip; the frame rate of a folder of frames",
        span=(0.01, 1000),
    )
    start: float = setting(0.0, "Second of the clip to start at")
    end: float | None = setting(None, "Second of the clip to end at", span=(0, INFINITY))
    every: int = setting(1, "Stylize every Nth frame of a clip", span=(1, INFINITY))

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "memory", tuple(self.memory))
        if self.end is not None and self.end <= self.start:
            raise refuse("end", self.end, f"after `start`, {self.start:g}")
