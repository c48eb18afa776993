"""Animations as GIF files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nstk.errors import OutputError
from nstk.storage.files import atomic_write, check_writable

Frame = npt.NDArray[np.uint8]
"""One frame: ``(height, width, 3)``, sRGB, 0 to 255."""

EXTENSION = ".gif"

_COLORS = 256
_SAMPLED_FRAMES = 8
_SAMPLE_SIDE = 160


def check_animation(path: str | Path) -> None:
    """Refuse, before any long work, a path where no animation can be saved.

    Args:
        path: Where an animation will be saved later.

    Raises:
        OutputError: If the extension is not ``.gif``, or no file can be written there.
    """
    if Path(path).suffix.lower() != EXTENSION:
        raise OutputError(
            f"Cannot write {path}: an animation is a GIF file; use the extension .gif."
        )
    check_writable(path)


def save_animation(
    path: str | Path,
    frames: Sequence[Frame],
    *,
    height: int,
    width: int,
    milliseconds: int = 80,
    hold: int = 2000,
) -> Path:
    """Save frames as a GIF that repeats forever, completely or not at all.

    All frames share one palette, sampled across the animation, so that still areas do not flicker.
    The last frame has the greatest weight.

    Args:
        path: The file, with the extension ``.gif``.
        frames: At least one, of any size; each is resized.
        height: Height of the animation in pixels.
        width: Width of the animation in pixels.
        milliseconds: Duration of each frame.
        hold: Duration of the last frame, in milliseconds.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be written.
    """
    check_animation(path)
    images = [
        Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames
    ]
    palette = _shared_palette(images)
    first, *rest = (image.quantize(palette=palette) for image in images)
    options: dict[str, object] = {
        "save_all": True,
        "append_images": rest,
        "loop": 0,
        "duration": [milliseconds] * len(rest) + [hold],
        "disposal": 1,
        "optimize": False,
    }
    return atomic_write(path, lambda target: first.save(target, format="GIF", **options))


def _shared_palette(images: Sequence[Image.Image]) -> Image.Image:
    """The palette of a strip of small frames, half of which are the last one."""
    step = max(len(images) // _SAMPLED_FRAMES, 1)
    sampled = [*images[::step], *[images[-1]] * min(len(images), _SAMPLED_FRAMES)]
    strip = Image.new("RGB", (_SAMPLE_SIDE * len(sampled), _SAMPLE_SIDE))
    for index, image in enumerate(sampled):
        small = image.resize((_SAMPLE_SIDE, _SAMPLE_SIDE), Image.Resampling.NEAREST)
        strip.paste(small, (index * _SAMPLE_SIDE, 0))
    return strip.quantize(_COLORS, method=Image.Quantize.MEDIANCUT, kmeans=1)
