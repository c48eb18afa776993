"""Drawn photographs: beetles with patterns, and other things, on the ground they lie on."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Random = np.random.Generator
Photograph = Image.Image
Color = tuple[int, int, int]

SIDE = 128
"""Side of a photograph in pixels."""

PATTERNS = ("striped", "spotted", "banded")
OTHERS = ("leaf", "mushroom", "button")

GROUNDS: dict[str, tuple[Color, Color, int]] = {
    "meadow": ((86, 128, 58), (140, 176, 84), 5),
    "sand": ((214, 186, 138), (186, 152, 104), 1),
    "bark": ((104, 82, 66), (68, 52, 44), 3),
    "stone": ((150, 150, 148), (118, 120, 124), 2),
}
"""Two colors of each ground, and how much longer than wide its grain is."""

_FINER = 2
_CANVAS = SIDE * _FINER


def draw_beetle(
    random: Random, pattern: str, ground: str, *, contrast: float = 1.0, scale: float = 1.0
) -> Photograph:
    """Draw a beetle of a random size, direction and shade.

    Args:
        random: What it differs in from others.
        pattern: One of `PATTERNS`.
        ground: One of `GROUNDS`.
        contrast: How much the pattern differs from the rest of the wings, 0 to 1.
        scale: Its size, relative to a beetle that fills the photograph.
    """
    layer = Image.new("RGBA", (_CANVAS, _CANVAS))
    draw = ImageDraw.Draw(layer)
    middle, long, wide = _CANVAS / 2, 0.27 * _CANVAS, random.uniform(0.16, 0.2) * _CANVAS
    shell = _vary(random, (150, 52, 40), 24)
    mark = _blend(shell, (24, 20, 22), contrast)
    dark = (34, 28, 28)
    for place in (-0.5, 0.1, 0.6):
        for side in (-1, 1):
            hip = (middle + side * 0.8 * wide, middle + place * long)
            knee = (hip[0] + side * 0.5 * wide, hip[1] - 0.25 * wide + place * 0.3 * wide)
            foot = (knee[0] + side * 0.25 * wide, knee[1] + 0.5 * wide)
            draw.line([(middle, hip[1]), hip, knee, foot], dark, 5, "curve")
    for side in (-1, 1):
        tip = (middle + side * 0.7 * wide, middle - 1.75 * long)
        draw.line([(middle, middle - 1.1 * long), tip], dark, 4)
    _ellipse(draw, (middle, middle - 1.1 * long), (0.5 * wide, 0.4 * wide), dark)
    body = Image.new("L", layer.size)
    _ellipse(ImageDraw.Draw(body), (middle, middle), (wide, long), 255)
    wings = Image.new("RGB", layer.size, shell)
    _draw_pattern(ImageDraw.Draw(wings), pattern, (middle, wide, long), mark)
    ImageDraw.Draw(wings).line([(middle, 0), (middle, _CANVAS)], dark, 3)
    layer.paste(wings, mask=body)
    return _place(random, layer, ground, scale)


def draw_other(random: Random, what: str, ground: str) -> Photograph:
    """Draw one of `OTHERS`, which is not a beetle."""
    layer = Image.new("RGBA", (_CANVAS, _CANVAS))
    draw = ImageDraw.Draw(layer)
    middle, size = _CANVAS / 2, random.uniform(0.24, 0.3) * _CANVAS
    if what == "leaf":
        color = _vary(random, (190, 150, 40), 30)
        angles = np.linspace(0, 2 * np.pi, 60)
        reach = size * (1 + 0.22 * np.cos(8 * angles)) * (0.6 + 0.5 * np.cos(angles) ** 2)
        outline = np.stack([middle + reach * np.sin(angles), middle - reach * np.cos(angles)], -1)
        draw.polygon([tuple(point) for point in outline.tolist()], color)
        draw.line([(middle, middle - size), (middle, middle + 1.5 * size)], (120, 86, 30), 5)
    elif what == "mushroom":
        stem = (middle - 0.2 * size, middle, middle + 0.2 * size, middle + 1.1 * size)
        draw.rectangle(stem, _vary(random, (232, 222, 200), 12))
        cap = (middle - size, middle - 0.8 * size, middle + size, middle + 0.7 * size)
        draw.pieslice(cap, 180, 360, _vary(random, (168, 108, 66), 24))
    else:
        color = _vary(random, (70, 104, 160), 40)
        _ellipse(draw, (middle, middle), (size, size), color)
        _ellipse(draw, (middle, middle), (0.75 * size, 0.75 * size), _blend(color, (255,) * 3, 0.2))
        for x in (-1, 1):
            for y in (-1, 1):
                hole = (middle + 0.25 * x * size, middle + 0.25 * y * size)
                _ellipse(draw, hole, (0.1 * size, 0.1 * size), (30, 34, 44))
    return _place(random, layer, ground)


def shoot_again(random: Random, photograph: Photograph) -> Photograph:
    """Return the next photograph of the same scene: a hair's breadth closer, a little brighter."""
    width, height = photograph.size
    left, top = random.uniform(0, 0.02, 2) * width
    box = (left, top, width - 0.01 * width, height - 0.01 * height)
    closer = photograph.resize((width, height), Image.Resampling.BICUBIC, box)
    light = random.uniform(0.94, 1.06)
    return closer.point(lambda level: round(min(255, level * light)))


def _draw_pattern(
    draw: ImageDraw.ImageDraw, pattern: str, shape: tuple[float, float, float], color: Color
) -> None:
    middle, wide, long = shape
    if pattern == "striped":
        for place in (-0.62, -0.28, 0.28, 0.62):
            x = middle + place * wide
            draw.line([(x, middle - long), (x, middle + long)], color, round(0.16 * wide))
    elif pattern == "banded":
        for place in (-0.55, -0.1, 0.35, 0.8):
            y = middle + place * long
            draw.line([(middle - wide, y), (middle + wide, y)], color, round(0.16 * wide))
    else:
        for side in (-1, 1):
            for place in (-0.55, -0.02, 0.5):
                _ellipse(
                    draw,
                    (middle + side * 0.45 * wide, middle + place * long),
                    (0.2 * wide, 0.2 * wide),
                    color,
                )


def _place(random: Random, layer: Photograph, ground: str, scale: float = 1.0) -> Photograph:
    """Turn a thing, lay it on the ground with its shadow, and take the photograph."""
    canvas = _draw_ground(random, ground)
    size = round(scale * random.uniform(0.75, 1.1) * _CANVAS)
    smooth = Image.Resampling.BILINEAR
    turned = layer.resize((size, size), smooth).rotate(random.uniform(0, 360), smooth)
    corner = ((_CANVAS - size) / 2 + random.uniform(-0.1, 0.1, 2) * _CANVAS).round().astype(int)
    left, top = corner.tolist()
    shadow = Image.new("L", canvas.size)
    shadow.paste(turned.getchannel("A").point(lambda level: level // 2), (left + 6, top + 8))
    canvas.paste((20, 18, 16), mask=shadow.filter(ImageFilter.GaussianBlur(5)))
    canvas.paste(turned, (left, top), turned)
    small = canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    grain = random.normal(0, 5, (SIDE, SIDE, 3)) + np.asarray(small, np.float64)
    light = random.uniform(0.85, 1.1)
    return Image.fromarray(np.clip(grain * light, 0, 255).astype(np.uint8))


def _draw_ground(random: Random, ground: str) -> Photograph:
    """Draw a ground: two colors mixed by blurred noise, in grains along one direction."""
    first, second, longer = GROUNDS[ground]
    noise = Image.fromarray(random.integers(0, 256, (_CANVAS, _CANVAS // longer), np.uint8))
    noise = noise.filter(ImageFilter.GaussianBlur(1.5)).resize((_CANVAS, _CANVAS))
    coarse = Image.fromarray(random.integers(0, 256, (8, 8), np.uint8))
    coarse = coarse.resize((_CANVAS, _CANVAS), Image.Resampling.BICUBIC)
    share = ImageChops.add(noise.point(lambda level: round(2.2 * level - 150)), coarse, 2)
    canvas = Image.new("RGB", (_CANVAS, _CANVAS), first)
    canvas.paste(second, mask=share)
    return canvas.transpose(Image.Transpose.ROTATE_90) if longer > 1 else canvas


def _ellipse(
    draw: ImageDraw.ImageDraw,
    middle: tuple[float, float],
    radii: tuple[float, float],
    color: Color | int,
) -> None:
    (x, y), (across, down) = middle, radii
    draw.ellipse((x - across, y - down, x + across, y + down), color)


def _vary(random: Random, color: Color, spread: float) -> Color:
    red, green, blue = (np.array(color) + random.normal(0, spread, 3)).clip(0, 255)
    return round(red), round(green), round(blue)


def _blend(one: Sequence[int], other: Sequence[int], share: float) -> Color:
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(one, other, strict=True))
    return red, green, blue
