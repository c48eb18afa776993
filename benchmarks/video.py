"""Measure how still stylized clips are: against stylizing each frame, and against the input.

    python benchmarks/video.py --markdown video.md

Renders a clip with known optical flow from three photographs (`examples/moving_scene.py`), stylizes
it with each ``--temporal`` mode, and prints the warping error E_warp (Lai et al. 2018) by the known
motion and by DIS flow, the style error of the frames by the packaged network, and seconds per
frame.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import mean

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import moving_scene
from benchmarks.style_metrics import find_shared
from nstk.images.image import Image, Levels
from nstk.images.loading import load_image
from nstk.settings import VideoSettings
from nstk.stylization.quality import measure_quality
from nstk.video.clips import read_frames
from nstk.video.job import stylize_clip
from nstk.video.measuring import Motion, warping_error
from nstk.video.motion import to_unit
from nstk.video.writing import Timeline, write_clip

PHOTOGRAPHS = ("100075.jpg", "100080.jpg", "101027.jpg")
STYLES = ("starry_night", "great_wave")
FPS = 12


def measure_warping(frames: Sequence[Levels], motions: Sequence[Motion]) -> float:
    pairs = zip(pairwise(frames), motions, strict=True)
    return mean(warping_error(levels, before, motion) for (before, levels), motion in pairs)


def measure_style(frames: Sequence[Levels], style: Image) -> float:
    """The mean style error of frames, by the packaged network."""
    images = [to_unit(levels) for levels in frames]
    return mean(
        measure_quality(image, [style], image, value_range=(0, 1)).style_error for image in images
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", default="192x108", help="WIDTHxHEIGHT")
    parser.add_argument("--steps", type=int, help="as for nstk stylize; its default if left out")
    parser.add_argument("--styles", nargs="+", default=STYLES)
    parser.add_argument("--modes", nargs="+", default=("off", "difference", "flow"))
    parser.add_argument("--weights", nargs="+", type=float, help="temporal weights to compare")
    parser.add_argument("--keep", type=Path, help="folder for the clips; temporary by default")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="nstk-video-"))
    folder.mkdir(exist_ok=True)
    lines = [
        "| style | temporal | E_warp | / content | / off | DIS flow | style error | s/frame |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for style in given.styles:
        lines += measure_clip(given, style, folder)
    table = "\n".join(lines)
    print(table)
    if given.markdown:
        given.markdown.write_text(table + "\n", encoding="utf-8")


def measure_clip(given: argparse.Namespace, style: str, folder: Path) -> list[str]:
    """Stylize the clip in all modes; rows of the table."""
    shared = find_shared()
    width, height = map(int, given.size.split("x"))
    photographs = [load_image(shared / "data" / "photos" / name).pixels for name in PHOTOGRAPHS]
    layers, count, size = (
        moving_scene.compose(photographs, height, width),
        given.frames,
        (height, width),
    )
    contents = list(moving_scene.frames_of(layers, count, size))
    motions = [moving_scene.known_motion(layers, number, size) for number in range(1, count)]
    times = [Fraction(number, FPS) for number in range(count + 1)]
    source = write_clip(folder / "content", contents, Timeline(times[:-1], times[-1]))
    path = shared / "data" / "pictures" / "style" / f"{style}.jpg"
    style_image, least = load_image(path).pixels, measure_warping(contents, motions)
    rows, alone = [f"| {style} | (content) | {least:.5f} | 1 | | | | |"], float("nan")
    weights = given.weights or [VideoSettings().temporal_weight]
    for mode in given.modes:
        for weight in weights if mode != "off" else weights[:1]:
            output, name = folder / f"{style}-{mode}-{weight:g}", f"{mode} {weight:g}"
            chosen = {"temporal": mode, "temporal_weight": weight, "size": max(width, height)}
            chosen |= {} if given.steps is None else {"steps": given.steps}
            made = stylize_clip(source, path, output, **chosen)
            frames = [frame.levels for frame in read_frames(output, VideoSettings())]
            error = measure_warping(frames, motions)
            alone = error if mode == "off" else alone
            dis = mean(made.stability.result) if made.stability else float("nan")
            row = f"| {style} | {name} | {error:.5f} | {error / least:.2f} | {error / alone:.2f} | "
            row += f"{dis:.5f} | {measure_style(frames, style_image):.3f} | "
            rows.append(row + f"{made.seconds_per_frame:.2f} |")
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()
