"""The sound of a clip: copied as it is, or encoded again where the format cannot hold it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nstk.video.extras import Module, import_av

_HELD = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus"),
    "ipod": ("aac", "alac"),
    "mov": ("aac", "mp3", "ac3", "eac3", "alac"),
    "webm": ("opus", "vorbis"),
}
"""Codecs that a format holds; Matroska holds all."""

_ENCODERS = {"webm": "libopus"}
_CLOCK_OF_SOUND = 48_000

MuxUntil = Callable[[Fraction], None]
"""Writes the sound up to a time, in seconds from the first frame."""


@dataclass(frozen=True)
class Sound:
    """Where the sound comes from, and the second of that clip at which ours begins."""

    path: Path
    start: Fraction


@contextmanager
def open_sound(container: Module, sound: Sound | None, end: Fraction) -> Iterator[MuxUntil]:
    """Add the sound of a clip to an open output; nothing if there is none."""
    if sound is None:
        yield lambda time: None
        return
    av = import_av()
    with av.open(str(sound.path)) as source:
        stream = source.streams.audio[0]
        name = next(iter(container.format.name.split(",")))
        if stream.codec_context.name in _HELD.get(name, (stream.codec_context.name,)):
            packets = _copy(container, source, stream, sound.start, end)
        else:
            packets = _encode(container, source, stream, sound.start, end)
        waiting = next(packets, None)

        def mux_until(time: Fraction) -> None:
            nonlocal waiting
            while waiting is not None and waiting[0] <= time:
                container.mux(waiting[1])
                waiting = next(packets, None)

        yield mux_until


def _copy(
    container: Module, source: Module, stream: Module, start: Fraction, end: Fraction
) -> Iterator[tuple[Fraction, Module]]:
    """The packets of the sound from ``start`` on, for ``end`` seconds."""
    target = container.add_stream_from_template(stream)

    def packets() -> Iterator[tuple[Fraction, Module]]:
        for packet in source.demux(stream):
            if packet.dts is None:
                continue
            time = packet.pts * packet.time_base - start
            if time >= end:
                return
            if time >= 0:
                shift = round(start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = target
                yield time, packet

    return packets()


def _encode(
    container: Module, source: Module, stream: Module, start: Fraction, end: Fraction
) -> Iterator[tuple[Fraction, Module]]:
    """The same sound in a codec that the output holds."""
    av = import_av()
    codec = _ENCODERS.get(container.format.name, "aac")
    target = container.add_stream(codec, rate=_CLOCK_OF_SOUND, layout="stereo")
    kind = "flt" if codec == "libopus" else "fltp"
    resampler = av.AudioResampler(kind, "stereo", _CLOCK_OF_SOUND)

    def packets() -> Iterator[tuple[Fraction, Module]]:
        written = 0
        for frame in source.decode(stream):
            time = frame.pts * frame.time_base - start
            if time >= end:
                break
            if time < 0:
                continue
            for part in resampler.resample(frame):
                part.pts, part.time_base = written, Fraction(1, _CLOCK_OF_SOUND)
                written += part.samples
                for packet in target.encode(part):
                    yield packet.pts * packet.time_base, packet
        for packet in target.encode(None):
            yield packet.pts * packet.time_base, packet

    return packets()
