"""Reading clips: video files, animations and folders of numbered frames, one frame at a time.

Frames are upright sRGB with their times. A reader holds one frame, whatever the length of the clip.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from PIL import Image as PILImage
from PIL import ImageSequence, UnidentifiedImageError

from nstk.errors import ImageError, NstkError
from nstk.images.decoding import MAX_PIXELS, identify
from nstk.images.image import Levels, composite
from nstk.images.loading import load_levels
from nstk.settings import VideoSettings
from nstk.video.extras import Module, import_av

VIDEO_EXTENSIONS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ts", ".3gp")
ANIMATION_EXTENSIONS = (".gif", ".webp", ".png", ".apng")
OUTPUT_EXTENSIONS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".gif", ".webp")
FOLDER_RATE = 25
"""Frames per second of a folder of frames, unless ``fps`` says otherwise."""

_NUMBERED = re.compile(r"^(.*?)(\d+)$")
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_SHORTEST = Fraction(1, 50)
"""Duration that viewers give frames of GIFs that claim less; they take a tenth of a second."""
_HD_ROWS = 720
_UNSPECIFIED = 2
"""FFmpeg's number of a color matrix that a file does not name (AVCOL_SPC_UNSPECIFIED)."""


class Frame(NamedTuple):
    """One frame: uint8 ``(height, width, 3)``, upright, and its time in seconds."""

    levels: Levels
    time: Fraction


@dataclass(frozen=True)
class ClipInfo:
    """The size of a clip's frames, their times and end in seconds, and whether it has sound."""

    path: Path
    height: int
    width: int
    times: tuple[Fraction, ...]
    has_sound: bool
    end: Fraction

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def seconds(self) -> float:
        return float(self.end - self.times[0])

    @property
    def rate(self) -> Fraction:
        """Frames per second, that of most frames."""
        gaps = [after - before for before, after in pairwise(self.times)]
        gap = median(gaps) if gaps else self.end - self.times[0]
        return Fraction(1) / gap if gap > 0 else Fraction(FOLDER_RATE)


def is_clip(path: str | Path) -> bool:
    """Whether a path is a video file, an animation, or a folder of numbered frames."""
    path = Path(path)
    if path.is_dir():
        return len(_list_frames(path)) > 0
    if path.suffix.lower() in VIDEO_EXTENSIONS:
        return True
    if path.suffix.lower() not in ANIMATION_EXTENSIONS or not path.is_file():
        return False
    try:
        return identify(path).several
    except NstkError:
        return False


def makes_clip(content: Path, output: Path) -> bool:
    """Whether a content and an output mean a clip; an animation may also become a still image."""
    if content.suffix.lower() in VIDEO_EXTENSIONS and not content.is_dir():
        return True
    return output.suffix.lower() in ("", *OUTPUT_EXTENSIONS) and is_clip(content)


def list_files(path: Path) -> list[Path]:
    """The files of a clip: its frames in order, or the clip itself."""
    return _list_frames(path) if path.is_dir() else [path]


def look_at(path: str | Path, settings: VideoSettings) -> ClipInfo:
    """Read the times of all chosen frames, and the size of the first.

    Raises:
        ImageError: If the clip cannot be read, or no frame lies in the chosen part.
    """
    path = Path(path)
    times = list(select_times(_list_times(path, settings), settings))
    if not times:
        raise ImageError(
            f"{path} has no frame between `start` and `end`; choose a part within the clip."
        )
    height, width = next(read_frames(path, settings)).levels.shape[:2]
    gap = times[-1] - times[-2] if len(times) > 1 else Fraction(1, FOLDER_RATE)
    return ClipInfo(path, height, width, tuple(times), _has_sound(path), times[-1] + gap)


def read_frames(path: str | Path, settings: VideoSettings) -> Iterator[Frame]:
    """The chosen frames of a clip, in the order of their times.

    Raises:
        ImageError: If the clip cannot be read.
    """
    path = Path(path)
    chosen = select_times(_list_times(path, settings), settings)
    wanted = next(chosen, None)
    for time, load in _open(path, settings):
        if wanted is None:
            return
        if time >= wanted:
            yield Frame(load(), time)
            wanted = next(chosen, None)


def select_times(times: Iterator[Fraction], settings: VideoSettings) -> Iterator[Fraction]:
    """The times from ``start`` to ``end``, at most ``fps`` a second, and every ``every``-th."""
    interval = None if settings.fps is None else 1 / _exact(settings.fps)
    start, end = _exact(settings.start), None if settings.end is None else _exact(settings.end)
    number, due = 0, None
    for time in times:
        if time < start:
            continue
        if end is not None and time >= end:
            return
        if interval is not None:
            # Half a tick of tolerance: times of video files are rounded to their own clock.
            if due is not None and time < due - Fraction(1, 2000):
                continue
            due = time + interval if due is None else max(due + interval, time + interval / 2)
        if number % settings.every == 0:
            yield time
        number += 1


def _exact(number: float) -> Fraction:
    """A number as it was typed: 0.1 is one tenth."""
    return Fraction(number).limit_denominator(10**6)


_Loader = Callable[[], Levels]


def _open(path: Path, settings: VideoSettings) -> Iterator[tuple[Fraction, _Loader]]:
    if path.is_dir():
        return _read_folder(path, settings)
    if path.suffix.lower() in ANIMATION_EXTENSIONS:
        return _read_animation(path)
    return _read_video(path)


def _list_times(path: Path, settings: VideoSettings) -> Iterator[Fraction]:
    if path.is_dir() or path.suffix.lower() in ANIMATION_EXTENSIONS:
        return (time for time, _ in _open(path, settings))
    return iter(_packet_times(path))


def _list_frames(folder: Path) -> list[Path]:
    """The numbered images of a folder in the order of their numbers; none if others are there."""
    files = [each for each in folder.iterdir() if each.is_file() and each.name[0] != "."]
    images = [each for each in files if each.suffix.lower() in _IMAGES]
    matches = {each: _NUMBERED.match(each.stem) for each in images}
    prefixes = {match[1] for match in matches.values() if match}
    if not images or None in matches.values() or len(prefixes) > 1:
        return []
    return sorted(images, key=lambda each: int(_NUMBERED.sub(r"\2", each.stem)))


def _read_folder(folder: Path, settings: VideoSettings) -> Iterator[tuple[Fraction, _Loader]]:
    files = _list_frames(folder)
    if not files:
        raise ImageError(f"{folder} has no numbered frames, such as 0001.png; give such a folder.")
    rate = _exact(settings.fps or FOLDER_RATE)
    for number, file in enumerate(files):
        yield number / rate, partial(load_levels, file)


def _read_animation(path: Path) -> Iterator[tuple[Fraction, _Loader]]:
    """Every frame of a GIF, WebP or PNG, laid on white, with the times that viewers show."""
    try:
        identify(path)
        with PILImage.open(path) as image:
            time = Fraction(0)
            for shown in ImageSequence.Iterator(image):
                shown.load()  # only then a WebP tells its duration
                yield time, partial(composite, np.asarray(shown.convert("RGBA")))
                duration = Fraction(shown.info.get("duration", 0)).limit_denominator(1000) / 1000
                time += duration if duration >= _SHORTEST else Fraction(1, 10)
    except (OSError, EOFError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise _damaged(path, error) from error


@contextmanager
def _reading(path: Path) -> Iterator[tuple[Module, Module]]:
    """A video file and its first video stream; what goes wrong with it becomes one line."""
    av = import_av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ImageError(f"{path} has no video stream; give a clip.")
            stream = container.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
                raise ImageError(f"{path} has too many pixels; give a smaller clip.")
            stream.thread_type = "AUTO"
            yield container, stream
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file; check the name.") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _packet_times(path: Path) -> list[Fraction]:
    """The times of all frames, from their packets, without decoding."""
    with _reading(path) as (container, stream):
        packets = [packet for packet in container.demux(stream) if not packet.is_discard]
        stamps = [(each.pts if each.pts is not None else each.dts, each) for each in packets]
        times = [stamp * each.time_base for stamp, each in stamps if stamp is not None]
    if not times:
        raise ImageError(f"{path} has no frames that can be read; give a complete clip.")
    return sorted(times)


def _read_video(path: Path) -> Iterator[tuple[Fraction, _Loader]]:
    with _reading(path) as (container, stream):
        for frame in container.decode(stream):
            stamp = frame.pts if frame.pts is not None else frame.dts
            if stamp is not None:
                yield stamp * frame.time_base, partial(_to_levels, frame)


def _to_levels(frame: Module) -> Levels:
    """An upright RGB frame; a file that names no color matrix has that of its size."""
    av = import_av()
    space = frame.colorspace
    if int(space) == _UNSPECIFIED:
        names = av.video.reformatter.Colorspace
        space = names.ITU709 if frame.height >= _HD_ROWS else names.ITU601
    rgb = frame.reformat(format="rgb24", src_colorspace=space, src_color_range=frame.color_range)
    levels = rgb.to_ndarray()
    return np.ascontiguousarray(np.rot90(levels, round(frame.rotation / 90) % 4))


def _has_sound(path: Path) -> bool:
    if path.is_dir() or path.suffix.lower() in ANIMATION_EXTENSIONS:
        return False
    with _reading(path) as (container, _):
        return len(container.streams.audio) > 0


def _damaged(path: Path, error: Exception) -> ImageError:
    reason = getattr(error, "strerror", None) or str(error) or "it is damaged"
    return ImageError(f"{path} cannot be read as a clip ({reason}); give a complete clip.")
