"""Colors that color-blind readers tell apart, one for light paper and one for dark."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nstk.images.image import Image

DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""Patterns of lines in SVG's spelling, used in turn when the colors run out."""


class Hue(NamedTuple):
    """One color on light and on dark paper, as ``#rrggbb``."""

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

VIRIDIS = "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725"
"""Colors at equal distances from dark to bright (Smith 2015)."""

_RAMP = np.array([[*bytes.fromhex(color)] for color in VIRIDIS.split()]) / 255


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


def paint_shares(shares: npt.NDArray[np.floating]) -> Image:
    """Paint shares ``(height, width)`` from dark violet for 0 to yellow for 1 (viridis)."""
    return _viridis(np.clip(shares, 0, 1)).astype(np.float32)


def _viridis(places: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    steps = places * (len(_RAMP) - 1)
    return np.stack([np.interp(steps, np.arange(len(_RAMP)), levels) for levels in _RAMP.T], -1)


def _to_hex(color: npt.NDArray[np.float64]) -> str:
    return "#" + "".join(f"{round(255 * float(level)):02x}" for level in color)
