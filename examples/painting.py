"""Draw a night of whirls in thick short strokes along a flow field."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from landscape import Color, shade

PAINTS: list[tuple[Color, float]] = [  # night blues, teal, moonlight, ochre, a little vermilion
    ((18, 30, 84), 0.20),
    ((30, 66, 138), 0.24),
    ((60, 118, 178), 0.18),
    ((126, 178, 196), 0.11),
    ((34, 98, 104), 0.08),
    ((234, 222, 172), 0.06),
    ((242, 184, 58), 0.08),
    ((212, 124, 40), 0.03),
    ((176, 54, 40), 0.02),
]


def flow(points: np.ndarray, whirls: np.ndarray) -> np.ndarray:
    """Return the direction of a stroke at each point: a slow wave, bent around every whirl.

    Args:
        points: ``(n, 2)``, x and y in [0, 1].
        whirls: ``(k, 4)``: x, y, radius, and signed strength of each.
    """
    x, y = points.T
    direction = np.stack([np.ones_like(x), 0.35 * np.sin(5 * x + 3 * y)], axis=-1)
    for middle_x, middle_y, radius, turn in whirls:
        away = points - (middle_x, middle_y)
        pull = turn * np.exp(-np.sum(away**2, axis=-1) / radius**2)[:, None]
        direction += pull * np.stack([-away[:, 1], away[:, 0]], axis=-1) / radius * 4
    return direction / np.linalg.norm(direction, axis=-1, keepdims=True)


def draw_painting(
    width: int = 560, height: int = 560, seed: int = 4, density: float = 1.0
) -> Image.Image:
    """Draw a night of whirls in thick short strokes: large ones first, small bright ones last.

    Args:
        width: Width of the image in pixels.
        height: Its height.
        seed: Random seed of the strokes.
        density: Number of strokes, relative to the default.
    """
    random = np.random.default_rng(seed)
    side = width * 2
    whirls = np.array([(0.30, 0.30, 0.17, 1.0), (0.72, 0.24, 0.10, -0.9), (0.62, 0.66, 0.22, 1.1)])
    whirls = np.vstack([whirls, [(0.16, 0.78, 0.12, -1.0), (0.92, 0.88, 0.10, 0.8)]])
    colors = np.array([color for color, _ in PAINTS])
    shares = np.array([share for _, share in PAINTS])
    brightness = np.argsort(colors.sum(axis=-1))
    canvas = Image.new("RGB", (side, side), (24, 44, 96))
    draw = ImageDraw.Draw(canvas)
    for count, length, thick in [(2600, 0.11, 17), (5200, 0.07, 11), (5200, 0.045, 7)]:
        points = random.uniform(-0.03, 1.03, (round(count * density), 2))
        middles, radii = whirls[:, :2], whirls[:, 2]
        nearness = np.exp(-((np.linalg.norm(points[:, None] - middles, axis=-1) / radii) ** 2)).max(
            1
        )
        rings = 0.5 + 0.5 * np.cos(nearness * 14 + 9 * points[:, 1] + 4 * points[:, 0])
        tone = np.clip(
            0.62 * nearness + 0.38 * rings + random.normal(0, 0.13, len(points)), 0, 0.999
        )
        picked = brightness[np.searchsorted(np.cumsum(shares[brightness]), tone**1.15)]
        paths = [points]
        for _ in range(9):
            paths.append(paths[-1] + flow(paths[-1], whirls) * length / 9)
        for path, paint in zip(np.stack(paths, axis=1) * side, picked, strict=True):
            color = shade(tuple(colors[paint]), random.normal(1, 0.09))
            across = np.array([-(path[-1] - path[0])[1], (path[-1] - path[0])[0]])
            across = across / (np.linalg.norm(across) + 1e-6)
            for bristle in np.linspace(-0.5, 0.5, 4):
                line = path + across * bristle * thick
                tint = shade(color, 1 + 0.22 * bristle + random.normal(0, 0.05))
                draw.line([tuple(point) for point in line], tint, round(thick / 2.4), "curve")
    relief = canvas.convert("L").filter(ImageFilter.GaussianBlur(1.5)).filter(ImageFilter.EMBOSS)
    lit = ImageChops.overlay(canvas, Image.merge("RGB", [relief] * 3))
    canvas = Image.blend(canvas, lit, 0.55)
    return canvas.resize((width, height), Image.Resampling.LANCZOS)
