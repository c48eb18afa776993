"""Lay images out side by side, at one height, on white."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image


def join_images(paths: Sequence[Path], output: Path, height: int = 320, gap: int = 12) -> Path:
    """Write several images as one row.

    Args:
        paths: Images, from left to right.
        output: File to write.
        height: Height of the row in pixels; the aspect of each image is kept.
        gap: Pixels of white between two images.
    """
    images = [Image.open(path).convert("RGB") for path in paths]
    widths = [round(each.width * height / each.height) for each in images]
    row = Image.new("RGB", (sum(widths) + gap * (len(widths) - 1), height), "white")
    left = 0
    for image, width in zip(images, widths, strict=True):
        row.paste(image.resize((width, height), Image.Resampling.LANCZOS), (left, 0))
        left += width + gap
    row.save(output, quality=90)
    return output
