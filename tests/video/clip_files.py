"""Tiny clips of every kind, drawn for tests."""

from fractions import Fraction

import av
import numpy as np

from nstk.video.writing import Timeline, write_clip

HEIGHT, WIDTH = 32, 48


def draw_frame(number, height=HEIGHT, width=WIDTH):
    """A textured scene that moves two pixels to the right with every frame."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    columns = columns - 2 * number
    waves = [
        np.sin(rows / 3 + phase) + np.cos(columns / 4 + rows / 9 - phase) for phase in (0, 1, 2)
    ]
    return np.rint(255 * (0.5 + 0.24 * np.stack(waves, axis=-1))).astype(np.uint8)


def even_times(count, rate=10):
    times = [Fraction(number, rate) for number in range(count + 1)]
    return Timeline(times[:-1], times[-1])


def draw_clip(path, count=4, timeline=None, **size):
    frames = [draw_frame(number, **size) for number in range(count)]
    return write_clip(path, frames, timeline or even_times(count))


def encode(path, frames, *, rotation=0, sound=0.0, color_range=1, rate=10):
    """A video file as cameras write it: turned, with sound, or with the full range of values."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "4"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_range = color_range
        if rotation:
            stream.set_display_rotation(rotation)
        voice = container.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for number, levels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(levels, format="rgb24").reformat(
                format="yuv420p", dst_color_range=color_range
            )
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None:
            tone = np.sin(np.arange(int(sound * 48_000)) / 20).astype(np.float32)[np.newaxis]
            for start in range(0, tone.shape[1] - 1023, 1024):
                part = av.AudioFrame.from_ndarray(
                    tone[:, start : start + 1024], format="fltp", layout="mono"
                )
                part.sample_rate, part.pts, part.time_base = 48_000, start, Fraction(1, 48_000)
                container.mux(voice.encode(part))
            container.mux(voice.encode(None))
    return path


def sound_seconds(path):
    """How long the sound of a clip lasts; 0 without any."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return 0.0
        frames = list(container.decode(audio=0))
        return sum(frame.samples / frame.sample_rate for frame in frames)
