"""Render a clip whose optical flow is known: a camera moves over photographs with parallax.

The background is a photograph, over which the camera pans, zooms and turns; in front of it lie a
ridge and a disk from other photographs, which move faster. Every pixel of a frame therefore has a
known place in the frame before it, or none: `known_motion` gives both exactly.

    python examples/moving_scene.py back.jpg ridge.jpg disk.jpg --frames 24 -o frames
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from nstk.images import load_image, resize_image, save_image

Image = Levels = Plane = np.ndarray
"""An image in ``[0, 1]``; one of whole gray levels; and one channel."""

MARGIN = 1.3
"""Size of the photographs relative to the frame: room for the camera."""


class Motion(NamedTuple):
    """The flow from a frame to the one before it, and the pixels that both show."""

    backward: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True, eq=False)
class Layer:
    """A photograph with a shape, which moves: by how much per frame, and how it zooms and turns."""

    image: Image
    shape: Plane
    pan: tuple[float, float]
    zoom: float = 1.0
    turn: float = 0.0

    def matrix(self, number: int, size: tuple[int, int]) -> np.ndarray:
        """From pixels of the frame to pixels of the photograph, ``(3, 3)``."""
        height, width = size
        angle, scale = np.deg2rad(self.turn) * number, self.zoom**number
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        turned = np.array([[cos, -sin], [sin, cos]])
        rows, columns = self.image.shape[:2]
        there = np.array([(columns - 1) / 2, (rows - 1) / 2]) + np.multiply(self.pan, number)
        return np.vstack([np.column_stack([turned, there - turned @ middle]), [0, 0, 1]])

    def draw(self, number: int, size: tuple[int, int]) -> tuple[Image, Plane]:
        """The photograph and its shape as the camera sees them."""
        height, width = size
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        matrix = self.matrix(number, size)[:2]
        image, shape = (
            cv2.warpAffine(each, matrix, (width, height), flags=flags, borderMode=border)
            for each, border in (
                (self.image, cv2.BORDER_REFLECT_101),
                (self.shape, cv2.BORDER_CONSTANT),
            )
        )
        return image, shape


def compose(photographs: Sequence[Image], height: int, width: int) -> list[Layer]:
    """The layers of a scene from one to three photographs, from back to front."""
    rows, columns = round(MARGIN * height), round(MARGIN * width)
    images = [resize_image(np.asarray(each), rows, columns) for each in photographs]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    ridge = y > 0.72 * rows + 0.06 * rows * np.sin(9 * x / columns)
    disk = (y - 0.45 * rows) ** 2 + (x - 0.42 * columns) ** 2 < (0.16 * rows) ** 2
    unit = width / 192
    return [
        Layer(
            images[0], np.ones((rows, columns), np.float32), (0.9 * unit, 0.2 * unit), 0.997, 0.2
        ),
        *[
            Layer(image, ridge.astype(np.float32), (2.1 * unit, 0.3 * unit))
            for image in images[1:2]
        ],
        *[
            Layer(image, disk.astype(np.float32), (-1.6 * unit, 0.7 * unit), 1.0, 0.6)
            for image in images[2:3]
        ],
    ]


def render(layers: Sequence[Layer], number: int, size: tuple[int, int]) -> tuple[Levels, Levels]:
    """A frame, and the number of the layer that each pixel shows."""
    frame = np.zeros((*size, 3), np.float32)
    owner = np.zeros(size, np.uint8)
    for index, layer in enumerate(layers):
        image, shape = layer.draw(number, size)
        frame += shape[..., np.newaxis] * (image - frame)
        owner[shape > 0.5] = index
    return np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8), owner


def known_motion(layers: Sequence[Layer], number: int, size: tuple[int, int]) -> Motion:
    """The exact motion of a frame from the one before it, and the pixels that both show."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float64)
    here = np.stack([x, y, np.ones_like(x)], axis=-1)
    now, before = render(layers, number, size)[1], render(layers, number - 1, size)[1]
    flow = np.zeros((*size, 2), np.float32)
    for index, layer in enumerate(layers):
        step = np.linalg.inv(layer.matrix(number - 1, size)) @ layer.matrix(number, size)
        there = here @ step.T
        flow[now == index] = (there - here)[now == index][:, :2]
    column, row = x + flow[..., 0], y + flow[..., 1]
    inside = (column >= 0) & (row >= 0) & (column <= width - 1) & (row <= height - 1)
    nearest = (
        np.clip(np.rint(each), 0, n - 1).astype(int) for each, n in ((row, height), (column, width))
    )
    same = before[tuple(nearest)] == now
    # Pixels beside an edge mix two layers, which move differently.
    edges = cv2.morphologyEx(now, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return Motion(flow, inside & same & ~edges)


def frames_of(layers: Sequence[Layer], count: int, size: tuple[int, int]) -> Iterator[Levels]:
    return (render(layers, number, size)[0] for number in range(count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photographs", nargs="+", type=Path, help="one to three photographs")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", default="192x108", help="WIDTHxHEIGHT")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    photographs = [load_image(path).pixels for path in given.photographs]
    layers = compose(photographs, height, width)
    given.output.mkdir(exist_ok=True)
    for number, levels in enumerate(frames_of(layers, given.frames, (height, width)), 1):
        save_image(given.output / f"{number:04d}.png", levels)
    print(f"{given.output}: {given.frames} frames")


if __name__ == "__main__":
    main()
