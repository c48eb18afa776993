"""Draw an evening by a lake with polygons, gradients and a seed."""

import numpy as np
from PIL import Image, ImageDraw

OVERSAMPLING = 3  # drawn larger, then reduced, so that every edge is smooth

Color = tuple[int, int, int]
Point = tuple[float, float]


def gradient(width: int, height: int, stops: list[tuple[float, Color]]) -> Image.Image:
    """Draw a vertical gradient through colors, each at a fraction of the height."""
    places, colors = zip(*stops, strict=True)
    rows = np.linspace(0, 1, height)
    column = np.stack([np.interp(rows, places, part) for part in zip(*colors, strict=True)], -1)
    return Image.fromarray(np.repeat(column[:, None], width, axis=1).astype(np.uint8))


def shade(color: Color, factor: float) -> Color:
    """Make a color darker (factor below 1) or lighter."""
    red, green, blue = (round(min(255, max(0, part * factor))) for part in color)
    return red, green, blue


def ridge(width: int, level: float, relief: float, seed: int) -> list[Point]:
    """Return the outline of hills: sines of rising frequency, falling height and random phase."""
    random = np.random.default_rng(seed)
    across = np.linspace(0, 2 * np.pi, width)
    waves = sum(np.sin(n * across + random.uniform(0, 6.28)) / n**1.2 for n in (1, 2, 3, 5, 9))
    return list(enumerate(level + relief * waves))


def draw_glow(image: Image.Image, x: float, y: float, radius: float) -> None:
    """Draw the sun and the glow around it."""
    rows, columns = np.mgrid[0 : image.height, 0 : image.width]
    distance = np.hypot(columns - x, rows - y) / radius
    light = 0.75 * np.exp(-((distance / 3.2) ** 2))[..., None]
    warmed = np.asarray(image) * (1 - light) + np.array([255, 226, 150]) * light
    image.paste(Image.fromarray(warmed.astype(np.uint8)))
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(image).ellipse(box, fill=(255, 240, 190))


def draw_cloud(draw: ImageDraw.ImageDraw, x: float, y: float, span: float, color: Color) -> None:
    """Draw a flat-bottomed cloud of five puffs."""
    for place, size in [(-0.36, 0.10), (-0.18, 0.17), (0.03, 0.22), (0.22, 0.15), (0.38, 0.09)]:
        middle, radius = x + place * span, size * span
        draw.pieslice((middle - radius, y - radius, middle + radius, y + radius), 180, 360, color)


def draw_fir(draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float) -> None:
    """Draw a fir of four tiers, lit from the right."""
    draw.rectangle((x - 0.03 * tall, foot - 0.15 * tall, x + 0.03 * tall, foot), (84, 58, 44))
    for tier in range(4):
        low, top = foot - (0.10 + 0.20 * tier) * tall, foot - (0.44 + 0.19 * tier) * tall
        half = (0.24 - 0.045 * tier) * tall
        draw.polygon([(x - half, low), (x, top), (x + half, low)], (30, 66, 58))
        draw.polygon([(x, low), (x, top), (x + half, low)], (52, 94, 66))


def draw_house(draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float) -> None:
    """Draw a house seen from its corner: gable, long side, red roof, lit windows, chimney."""
    eaves, top = foot - 0.52 * tall, foot - tall
    gable, corner, end = x - 0.55 * tall, x, x + 0.95 * tall
    middle = (gable + corner) / 2
    draw.rectangle((x + 0.20 * tall, top - 0.10 * tall, x + 0.33 * tall, eaves), (120, 66, 54))
    draw.polygon(
        [(gable, foot), (gable, eaves), (middle, top), (corner, eaves), (corner, foot)],
        (222, 204, 178),
    )
    draw.rectangle((corner, eaves, end, foot), (248, 236, 208))
    over = 0.06 * tall
    roof = [(middle, top), (end - 0.2 * tall, top), (end + over, eaves + over / 2)]
    draw.polygon([*roof, (corner - over / 3, eaves + over / 2)], (178, 62, 44))
    draw.line([(gable - over, eaves + over), (middle, top)], (128, 42, 36), round(0.05 * tall))
    for place in (0.22, 0.68):
        left, size = x + place * tall, 0.17 * tall
        draw.rectangle(
            (left, eaves + 0.14 * tall, left + size, eaves + 0.36 * tall), (255, 206, 96)
        )
        middle_bar = left + size / 2
        bar = [(middle_bar, eaves + 0.14 * tall), (middle_bar, eaves + 0.36 * tall)]
        draw.line(bar, (120, 84, 50), round(0.02 * tall))
    door = (middle - 0.09 * tall, foot - 0.34 * tall, middle + 0.09 * tall, foot)
    draw.rectangle(door, (92, 60, 48))


def draw_tree(draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float, seed: int) -> None:
    """Draw a broad tree: a trunk, and dabs of leaves that get lighter towards the sun."""
    random = np.random.default_rng(seed)
    draw.polygon(
        [
            (x - 0.05 * tall, foot),
            (x - 0.02 * tall, foot - 0.6 * tall),
            (x + 0.02 * tall, foot - 0.6 * tall),
            (x + 0.05 * tall, foot),
        ],
        (86, 60, 48),
    )
    for light in np.linspace(0.62, 1.35, 260):
        angle, reach = random.uniform(0, 2 * np.pi), np.sqrt(random.uniform(0, 1))
        lean = light - 0.95
        middle_x = x + tall * (0.30 * reach * np.cos(angle) + 0.12 * lean)
        middle_y = foot - tall * (0.66 + 0.27 * reach * np.sin(angle) + 0.16 * lean)
        radius = tall * random.uniform(0.03, 0.07)
        box = (middle_x - radius, middle_y - radius, middle_x + radius, middle_y + radius)
        draw.ellipse(box, shade((112, 128, 52), light))


def draw_boat(draw: ImageDraw.ImageDraw, x: float, y: float, span: float) -> None:
    """Draw a small boat with two sails."""
    for mirrored, strength in ((-1, 0.62), (1, 1.0)):
        high = y - mirrored * 0.95 * span
        sail = [
            (x, y - mirrored * 0.1 * span),
            (x, high),
            (x + 0.42 * span, y - mirrored * 0.1 * span),
        ]
        jib = [
            (x - 0.04 * span, y - mirrored * 0.1 * span),
            (x - 0.04 * span, high + mirrored * 0.2 * span),
        ]
        draw.polygon(sail, shade((250, 238, 214), strength))
        draw.polygon(
            [*jib, (x - 0.36 * span, y - mirrored * 0.1 * span)], shade((230, 120, 70), strength)
        )
        hull = [
            (x - 0.5 * span, y - mirrored * 0.06 * span),
            (x + 0.5 * span, y - mirrored * 0.06 * span),
        ]
        keel = y + mirrored * 0.10 * span
        draw.polygon([*hull, (x + 0.34 * span, keel), (x - 0.36 * span, keel)], (70, 44, 44))


def reflect(land: Image.Image, height: int, seed: int = 3) -> Image.Image:
    """Draw water that mirrors the land above it, darker, bluer, and broken by ripples."""
    mirrored = np.asarray(land)[::-1][:height].astype(np.float64)
    random = np.random.default_rng(seed)
    depth = np.linspace(0, 1, height)
    shift = np.zeros(height)
    for rate in (60, 95, 170):
        shift += np.sin(rate * depth**0.6 + random.uniform(0, 6.28)) * (0.3 + depth)
    shift = (shift * land.width / 260).astype(int)
    rippled = np.stack(
        [np.roll(row, step, axis=0) for row, step in zip(mirrored, shift, strict=True)]
    )
    veil = (0.22 + 0.30 * depth)[:, None, None]
    water = Image.fromarray(
        (rippled * (1 - veil) + np.array([44, 84, 128]) * veil).astype(np.uint8)
    )
    draw = ImageDraw.Draw(water)
    for _ in range(90):
        near = random.uniform(0.02, 1) ** 1.3
        x, y, length = (
            random.uniform(0, land.width),
            near * height,
            (0.02 + 0.06 * near) * land.width,
        )
        tint = (250, 214, 160) if abs(x / land.width - 0.67) < 0.10 else (150, 180, 205)
        draw.line([(x, y), (x + length, y)], tint, max(2, round(near * land.width / 400)))
    return water


def draw_landscape(width: int = 640, height: int = 448) -> Image.Image:
    """Draw an evening by a lake: sun, hills, a house with lit windows, trees, a boat."""
    wide, tall = width * OVERSAMPLING, height * OVERSAMPLING
    shore = round(0.68 * tall)
    sky = [
        (0.0, (52, 92, 158)),
        (0.4, (140, 176, 206)),
        (0.7, (250, 214, 160)),
        (1.0, (244, 152, 104)),
    ]
    land = gradient(wide, shore, sky)
    draw_glow(land, 0.67 * wide, 0.27 * tall, 0.07 * tall)
    draw = ImageDraw.Draw(land)
    draw_cloud(draw, 0.22 * wide, 0.17 * tall, 0.22 * wide, (240, 226, 214))
    draw_cloud(draw, 0.88 * wide, 0.12 * tall, 0.16 * wide, (226, 218, 218))
    ranges = [
        (0.43, 0.055, (132, 138, 178)),
        (0.51, 0.04, (92, 116, 142)),
        (0.59, 0.026, (74, 114, 92)),
    ]
    for seed, (level, relief, color) in enumerate(ranges, start=21):
        outline = ridge(wide, level * tall, relief * tall, seed)
        draw.polygon([(0, shore), *outline, (wide, shore)], color)
    meadow = ridge(wide, 0.645 * tall, 0.008 * tall, seed=5)
    draw.polygon([(0, shore), *meadow, (wide, shore)], (112, 140, 66))
    for place, size in [(0.05, 0.19), (0.125, 0.27), (0.20, 0.17), (0.90, 0.22), (0.96, 0.16)]:
        draw_fir(draw, place * wide, 0.66 * tall, size * tall)
    draw_house(draw, 0.36 * wide, 0.662 * tall, 0.19 * tall)
    draw_tree(draw, 0.535 * wide, 0.668 * tall, 0.32 * tall, seed=8)
    image = Image.new("RGB", (wide, tall))
    image.paste(land)
    image.paste(reflect(land, tall - shore), (0, shore))
    draw_boat(ImageDraw.Draw(image), 0.77 * wide, 0.84 * tall, 0.11 * wide)
    return image.resize((width, height), Image.Resampling.LANCZOS)
