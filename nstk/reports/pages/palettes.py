"""Colors that color-blind readers tell apart, one for light paper and one for dark."""

from dataclasses import dataclass

DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""Patterns of lines in SVG's spelling, taken one after another when the colors run out."""


@dataclass(frozen=True)
class Hue:
    """One color in both themes, as ``#rrggbb``.

    Attributes:
        light: On light paper.
        dark: On dark paper.
    """

    light: str
    dark: str


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
"""Red, green and blue, 0 to 255, at equal distances from dark to bright."""


def pick_categories(count: int) -> tuple[Hue, ...]:
    """Colors of ``count`` things that have no order; they repeat after seven."""
    return tuple(CATEGORIES[index % len(CATEGORIES)] for index in range(count))


def pick_ramp(count: int) -> tuple[Hue, ...]:
    """Colors of ``count`` things in an order, from dark to bright (viridis, Smith 2015).

    Each paper gets the part of it that stands out there: light the darker, dark the brighter.
    """
    places = [index / max(count - 1, 1) for index in range(count)]
    return tuple(Hue(_viridis(0.66 * place), _viridis(0.4 + 0.6 * place)) for place in places)


def _viridis(place: float) -> str:
    exact = place * (len(VIRIDIS) - 1)
    index = min(int(exact), len(VIRIDIS) - 2)
    share = exact - index
    pairs = zip(VIRIDIS[index], VIRIDIS[index + 1], strict=True)
    return "#" + "".join(f"{round(low + share * (high - low)):02x}" for low, high in pairs)
