"""Writing clips: H.264 and VP9 with their sound, animations, and folders of frames."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from nstk.errors import OutputError
from nstk.images.encoding import save_frames, save_image
from nstk.images.image import Levels
from nstk.storage.files import atomic_write, atomic_write_folder, check_writable
from nstk.video.extras import Module, import_av
from nstk.video.sound import Sound, open_sound

H264 = ("libx264", {"crf": "18", "preset": "medium"})
VP9 = ("libvpx-vp9", {"crf": "24", "b:v": "0", "row-mt": "1", "cpu-used": "3"})
CODECS = {".mp4": H264, ".mov": H264, ".m4v": H264, ".mkv": H264, ".webm": VP9}
ANIMATIONS = (".gif", ".webp")
FIRST_FRAME = "0001.png"
"""A folder with this file counts as an earlier folder of frames and may be replaced."""

_CLOCK = Fraction(1, 90_000)
_BT709 = 1
"""FFmpeg's number of the matrix, the primaries and the transfer of BT.709, which HD video has."""


@dataclass(frozen=True)
class Timeline:
    """The times of the frames in seconds from the first one, and the end of the last one."""

    times: Sequence[Fraction]
    end: Fraction

    def cut(self, frames: int) -> "Timeline":
        """The timeline of the first frames alone."""
        end = self.end if frames >= len(self.times) else self.times[frames]
        return Timeline(self.times[:frames], end)

    @property
    def durations(self) -> list[Fraction]:
        return [after - before for before, after in pairwise([*self.times, self.end])]

    @property
    def rate(self) -> Fraction:
        """Frames per second on average."""
        span = self.end - self.times[0]
        return (len(self.times) / span if span > 0 else Fraction(25)).limit_denominator(1001)


def check_clip_output(path: str | Path) -> None:
    """Refuse, before any long work, a path where no clip can be written.

    Raises:
        OutputError: If the extension is not that of a clip, or nothing can be written there.
    """
    path = Path(path)
    extension = path.suffix.lower()
    if not extension:
        if path.is_dir() and any(path.iterdir()) and not (path / FIRST_FRAME).is_file():
            raise OutputError(
                f"{path} holds other files, which would be lost; give the name of a new folder."
            )
        check_writable(path / FIRST_FRAME if path.is_dir() else path)
        return
    if extension not in (*CODECS, *ANIMATIONS):
        known = ", ".join((*CODECS, *ANIMATIONS))
        raise OutputError(
            f"Cannot write {path}: a clip is {known}, or a folder of frames if the name has no "
            "extension; choose one of these."
        )
    if extension in CODECS:
        import_av()
    check_writable(path)


def write_clip(
    path: str | Path,
    frames: Iterable[Levels],
    timeline: Timeline,
    sound: Sound | None = None,
) -> Path:
    """Write frames as a clip, completely or not at all; the extension selects the format.

    ``.mp4``, ``.mov``, ``.m4v`` and ``.mkv`` hold H.264 (yuv420p, the index first), ``.webm`` VP9,
    ``.gif`` and ``.webp`` animations that repeat. A path without an extension becomes a folder of
    numbered PNG files. Sides of H.264 and VP9 are even: an odd one loses a row or a column.

    Raises:
        OutputError: If it cannot be written.
    """
    path = Path(path)
    check_clip_output(path)
    extension = path.suffix.lower()
    if not extension:
        return atomic_write_folder(path, lambda folder: _write_folder(folder, frames))
    if extension in ANIMATIONS:
        marks = [round(time * 100) * 10 for time in [*timeline.times, timeline.end]]
        milliseconds = [max(after - before, 10) for before, after in pairwise(marks)]
        return save_frames(path, list(frames), milliseconds)
    encode = _encoder(frames, timeline, sound, *CODECS[extension])
    return atomic_write(path, encode)


def _write_folder(folder: Path, frames: Iterable[Levels]) -> None:
    folder.mkdir()
    for number, levels in enumerate(frames, 1):
        save_image(folder / f"{number:04d}.png", levels)


def _encoder(
    frames: Iterable[Levels],
    timeline: Timeline,
    sound: Sound | None,
    codec: str,
    options: dict[str, str],
) -> Callable[[Path], None]:
    av = import_av()

    def encode(target: Path) -> None:
        iterator = iter(frames)
        first = next(iterator)
        flags = {"movflags": "+faststart"} if target.suffix in (".mp4", ".mov", ".m4v") else {}
        with (
            _reported(target, av.FFmpegError),
            av.open(str(target), "w", options=flags) as container,
        ):
            stream = _add_stream(container, codec, options, first.shape, timeline.rate)
            with open_sound(container, sound, timeline.end) as mux_sound:
                whole = _chain(first, iterator)
                spans = zip(whole, timeline.times, timeline.durations, strict=True)
                lengths: dict[int, int] = {}
                for levels, time, duration in spans:
                    frame = _to_frame(levels)
                    frame.pts, frame.time_base = round(time / _CLOCK), _CLOCK
                    lengths[frame.pts] = round(duration / _CLOCK)
                    _mux(container, stream.encode(frame), lengths)
                    mux_sound(time)
                _mux(container, stream.encode(None), lengths)
                mux_sound(timeline.end)

    return encode


def _chain(first: Levels, rest: Iterator[Levels]) -> Iterator[Levels]:
    yield first
    yield from rest


def _add_stream(
    container: Module, codec: str, options: dict[str, str], shape: Sequence[int], rate: Fraction
) -> Module:
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.height, stream.width = (max(side // 2 * 2, 2) for side in shape[:2])
    stream.pix_fmt, stream.time_base = "yuv420p", _CLOCK
    context = stream.codec_context
    context.time_base, context.color_range = _CLOCK, 1
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    return stream


def _to_frame(levels: Levels) -> Module:
    """A frame in YCbCr of BT.709 with the range of video; an odd last row or column is left out."""
    av = import_av()
    rows, columns = (max(side // 2 * 2, 2) for side in levels.shape[:2])
    even = np.pad(levels, [(0, max(2 - side, 0)) for side in levels.shape[:2]] + [(0, 0)], "edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even[:rows, :columns]), format="rgb24")
    return frame.reformat(
        format="yuv420p",
        dst_colorspace=av.video.reformatter.Colorspace.ITU709,
        dst_color_range=av.video.reformatter.ColorRange.MPEG,
    )


def _mux(container: Module, packets: Iterable[Module], lengths: dict[int, int]) -> None:
    """Write packets with the durations of their frames, which encoders forget."""
    for packet in packets:
        packet.duration = lengths.pop(round(packet.pts * packet.time_base / _CLOCK), 0)
        container.mux(packet)


@contextmanager
def _reported(target: Path, failure: type[Exception]) -> Iterator[None]:
    try:
        yield
    except failure as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"Cannot write {target.suffix} video ({reason}); choose another format or free some "
            "disk space."
        ) from error
