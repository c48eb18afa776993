"""The report of a clip: its frames, how still they are, and where they follow each other."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from nstk.images.image import Image, Levels
from nstk.reports.figures import LineChart, Marker, Series
from nstk.reports.pages import CaptionedImage, check_folder, list_settings, write_page, write_record
from nstk.settings import StylizeSettings, VideoSettings
from nstk.storage.files import make_folder
from nstk.video.clips import read_frames
from nstk.video.extras import has_cv2
from nstk.video.motion import compute_flow, measure_reliability, to_unit
from nstk.video.result import ClipResult, to_size

PAGE_NAME, RECORD_NAME = "report.html", "clip.json"
SHOWN_FRAMES = 8
GAIN = 4.0
"""How much differences of frames are amplified."""


def check_report(folder: str | Path) -> None:
    """Check, before any long work, that a report can be written; else raise OutputError."""
    check_folder(folder, (PAGE_NAME, RECORD_NAME))


def write_report(
    folder: str | Path,
    result: ClipResult,
    *,
    content: str | Path,
    styles: Sequence[str | Path],
    settings: StylizeSettings,
    video: VideoSettings,
    command: str = "",
) -> Path:
    """Write ``report.html``, one self-contained page, with ``clip.json`` beside it.

    The page shows consecutive frames from the middle of the clip with the contents, the change
    from frame to frame and the reliability maps, and the warping error over time.

    Raises:
        NstkError: If a clip cannot be read or a file cannot be written.
    """
    assert result.output is not None
    folder = make_folder(folder)
    names = [Path(style).stem for style in styles]
    record = {"command": command, **result.to_dict(), "settings": asdict(settings)}
    record["video"] = asdict(video)
    write_record(record, folder / RECORD_NAME)
    first, contents, results = _choose_frames(result, Path(content), video)
    curves = _draw_curves(result)
    return write_page(
        folder / PAGE_NAME,
        "video.html",
        title=f"{Path(content).stem} in the style of {' and '.join(names)}",
        subtitle=f"{len(result.frames)} frames of {result.width}×{result.height} pixels.",
        rows=_draw_rows(first, contents, results),
        gain=GAIN,
        curves=curves,
        result=result,
        error=result.stability and result.stability.to_dict(),
        command=command,
        settings=list_settings(StylizeSettings, asdict(settings)),
        video=list_settings(VideoSettings, asdict(video)),
    )


def _choose_frames(
    result: ClipResult, content: Path, video: VideoSettings
) -> tuple[int, list[Levels], list[Levels]]:
    """Consecutive frames from the middle: the number of the first, contents and results."""
    assert result.output is not None
    count = len(result.frames)
    first = max(count - SHOWN_FRAMES, 0) // 2
    chosen = range(first, min(first + SHOWN_FRAMES, count))
    clips = (content, video), (result.output, VideoSettings())
    contents, results = (
        [
            to_size(frame.levels, result.height, result.width)
            for number, frame in zip(range(chosen.stop), read_frames(*clip), strict=False)
            if number in chosen
        ]
        for clip in clips
    )
    return first, contents, results


def _draw_rows(
    first: int, contents: Sequence[Levels], results: Sequence[Levels]
) -> list[tuple[str, list[CaptionedImage]]]:
    """Rows of images with a heading: contents, results, their changes, and reliability."""

    def caption(images: Sequence[Image], start: int) -> list[CaptionedImage]:
        return [CaptionedImage(each, f"Frame {n}") for n, each in enumerate(images, start)]

    rows = [
        ("Content", caption([to_unit(each) for each in contents], first + 1)),
        ("Result", caption([to_unit(each) for each in results], first + 1)),
    ]
    changes = [_draw_change(*pair) for pair in pairwise(results)]
    rows.append(("Change from the frame before", caption(changes, first + 2)))
    if has_cv2():
        maps = [
            measure_reliability(compute_flow(new, old), compute_flow(old, new))
            for old, new in pairwise(contents)
        ]
        gray = [np.repeat(each[..., np.newaxis], 3, axis=-1) for each in maps]
        rows.append(("Reliability of the flow", caption(gray, first + 2)))
    return [row for row in rows if row[1]]


def _draw_change(earlier: Levels, levels: Levels) -> Image:
    change: Image = np.clip(GAIN * np.abs(to_unit(levels) - to_unit(earlier)), 0, 1)
    return change


def _draw_curves(result: ClipResult) -> list[LineChart]:
    times = [frame.time for frame in result.frames]
    cuts = [Marker(frame.time, "cut") for frame in result.frames[1:] if frame.is_cut]
    curves = []
    if result.stability is not None and len(times) > 2:
        series = [
            Series("result", times[1:], result.stability.result),
            Series("content", times[1:], result.stability.content, reference=True),
        ]
        curves.append(LineChart(series, "time in seconds", "E_warp", "Warping error", markers=cuts))
    if len(times) > 2:
        reliable = Series("share", times[1:], [frame.reliable for frame in result.frames[1:]])
        curves.append(
            LineChart([reliable], "time in seconds", "share", "Share of the frame that follows")
        )
    return curves
