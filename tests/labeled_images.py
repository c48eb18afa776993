"""Small folders of labeled images that a network with random weights can distinguish."""

from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (210, 50, 40)}
SIZES = [(40, 52), (64, 36), (33, 33), (90, 48)]


def draw_image(color: tuple[int, int, int], height: int, width: int, seed: int) -> np.ndarray:
    """A grainy image of one color: uint8 ``(height, width, 3)``."""
    grain = np.random.default_rng(seed).normal(0, 25, (height, width, 3))
    return np.clip(np.array(color) + grain, 0, 255).astype(np.uint8)


def draw_class(folder: Path, name: str, count: int) -> list[Path]:
    """Images of one class, of several sizes and formats."""
    folder.mkdir(parents=True)
    paths = []
    for index in range(count):
        path = folder / f"{index}.{('png', 'jpg', 'webp')[index % 3]}"
        height, width = SIZES[index % len(SIZES)]
        pixels = draw_image(COLORS[name], height, width, seed=hash_name(f"{folder.name}{path}"))
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths


def draw_folder(root: Path, count: int, names: tuple[str, ...] = ("blue", "red")) -> Path:
    """One folder per class."""
    for name in names:
        draw_class(root / name, name, count)
    return root


def link_photographs(source: Path, root: Path, every: int) -> Path:
    """Links to each ``every``-th photograph of each class of each split."""
    for path in sorted(source.glob("*/*/")):
        folder = root / path.relative_to(source)
        folder.mkdir(parents=True)
        for photograph in sorted(path.iterdir())[::every]:
            (folder / photograph.name).symlink_to(photograph)
    return root


def save_turned(path: Path, orientation: int, endian: str = "<") -> Path:
    """A photograph that its EXIF data turns."""
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010F] = "Maker"
    exif[0x0112] = orientation
    rows, columns = np.mgrid[0:24, 0:40]
    pixels = np.stack([6 * rows, 6 * columns, 3 * (rows + columns)], -1).astype(np.uint8)
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


def hash_name(name: str) -> int:
    """A hash that is the same in every process, unlike ``hash``."""
    return sum(ord(letter) * 31**place for place, letter in enumerate(name[-12:])) % 2**32


def plant(root: Path, *names: str) -> Path:
    """Save a small image at each path; a name that ends in / is a folder."""
    for shade, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            image = Image.new("RGB", (4, 3), (shade % 256, shade // 256, 7))
            image.save(path, "PNG")
    return root


def names(images, root: Path) -> list[str]:
    return [image.path.relative_to(root).as_posix() for image in images]


def ten_each(*classes: str) -> list[str]:
    return [f"{name}/{number}.png" for name in classes for number in range(1, 11)]
