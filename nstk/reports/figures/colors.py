"""Colors that color-blind readers tell apart, one for light paper and one for dark."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nstk.images.image import Image

Grid = npt.NDArray[np.float32]
"""Any numbers, ``(height, width)``."""

DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""Patterns of lines in SVG's spelling, used in turn when the colors run out."""


@dataclass(frozen=True)
class Hue:
    """One color in both themes, as ``#rrggbb``.

    Attributes:
        light: On light paper.
        dark: On dark paper.
    """

    light: str
    dark: str


Color = Hue | str
"""A hue, or the name of a color of `THEME`."""

THEME = {
    "paper": "#ffffff",
    "raised": "#f4f2ed",
    "ink": "#1b1f24",
    "quiet": "#5a626b",
    "rule": "#dee2e6",
    "accent": "#0b5c8f",
    "warning": "#a3420a",
}
"""The colors of contact sheets by name; a page has its own under the same names."""

CATEGORIES = (
    Hue("#0072b2", "#5db1e8"),
    Hue("#d55e00", "#f08f52"),
    Hue("#009e73", "#41c79d"),
    Hue("#b5578b", "#df9cc1"),
    Hue("#c98a00", "#efbb4f"),
    Hue("#3a9bd6", "#a5d8f8"),
    Hue("#5c6670", "#b3bcc5"),
)
"""The colors of Okabe and Ito (2008), a little darker or lighter where the paper asks for it."""

VIRIDIS = (
    (0x44, 0x01, 0x54),
    (0x48, 0x28, 0x78),
    (0x3E, 0x49, 0x89),
    (0x31, 0x68, 0x8E),
    (0x26, 0x82, 0x8E),
    (0x1F, 0x9E, 0x89),
    (0x35, 0xB7, 0x79),
    (0x6E, 0xCE, 0x58),
    (0xB5, 0xDE, 0x2B),
    (0xFD, 0xE7, 0x25),
)
"""Red, green and blue, 0 to 255, at equal distances from dark to bright (Smith 2015)."""


def pick_categories(count: int) -> tuple[Hue, ...]:
    """Return colors of ``count`` things without an order; they repeat after seven."""
    return tuple(CATEGORIES[index % len(CATEGORIES)] for index in range(count))


def pick_ramp(count: int) -> tuple[Hue, ...]:
    """Return colors of ``count`` ordered things, from dark to bright (viridis).

    Each paper gets the part of it that stands out there: light the darker, dark the brighter.
    """
    places = np.linspace(0, 1, count) if count > 1 else np.zeros(count)
    pairs = zip(_viridis(0.66 * places), _viridis(0.4 + 0.6 * places), strict=True)
    return tuple(Hue(_to_hex(light), _to_hex(dark)) for light, dark in pairs)


def paint_shares(shares: Grid) -> Image:
    """Paint shares from dark violet for 0 to yellow for 1 (viridis).

    Args:
        shares: ``(height, width)``; values beyond ``[0, 1]`` are clipped.
    """
    return _viridis(np.clip(shares, 0, 1)).astype(np.float32)


def _viridis(places: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    ramp = np.array(VIRIDIS) / 255
    steps = places * (len(ramp) - 1)
    channels = [np.interp(steps, np.arange(len(ramp)), ramp[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1)


def _to_hex(color: npt.NDArray[np.float64]) -> str:
    return "#" + "".join(f"{round(255 * float(level)):02x}" for level in color)
