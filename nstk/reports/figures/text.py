"""Text in figures: its font, its width, and how it is shortened, wrapped and spread."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import ImageFont

LETTER_SIZE = 13
"""Size of the letters in charts, in their units."""

LINE_HEIGHT = 16.0
"""Distance between two lines of such letters."""

_FONT = Path(__file__).with_name("DejaVuSans.ttf")
_KEPT_SPACES = "\u00a0\u202f"
_EXTRA_WIDTH = 0.4
"""What an East Asian letter needs beyond the box that the font draws for it, in ems."""


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans: Latin, Greek and Cyrillic letters, mathematical signs, superscripts."""
    return ImageFont.truetype(_FONT, size, layout_engine=ImageFont.Layout.BASIC)


def clean_text(text: str) -> str:
    """Replace what cannot be drawn: white space by spaces, control characters by U+FFFD."""
    kept = ((each, each in _KEPT_SPACES or each.isprintable()) for each in text)
    return "".join(each if ok else " " if each.isspace() else "\ufffd" for each, ok in kept)


def measure_text(text: str, size: int = LETTER_SIZE) -> float:
    """Return the width of a line in pixels; a browser's own font is rarely wider than this one."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return load_font(size).getlength(clean_text(text)) + _EXTRA_WIDTH * size * wide


def shorten_text(text: str, width: float) -> str:
    """Cut a text to a width, with an ellipsis in its middle.

    Names of files and classes often differ at their ends, so both ends stay.
    """
    if measure_text(text) <= width:
        return text
    short = text
    for kept in range(min(len(text) - 1, int(width)), 1, -1):
        head = (kept + 1) // 2
        short = f"{text[:head]}…{text[len(text) - kept + head :]}"
        if measure_text(short) <= width:
            break
    return short


def spread_labels(places: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    """Move overlapping labels apart to `LINE_HEIGHT`, each as little as possible.

    There must be room for them between ``low`` and ``high``.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    spread = [max(places[index], low + k * LINE_HEIGHT) for k, index in enumerate(order)]
    for k in range(1, len(spread)):
        spread[k] = max(spread[k], spread[k - 1] + LINE_HEIGHT)
    limit = high
    for k in range(len(spread) - 1, -1, -1):
        spread[k] = min(spread[k], limit)
        limit = spread[k] - LINE_HEIGHT
    found = dict(zip(order, spread, strict=True))
    return tuple(found[index] for index in range(len(places)))


def wrap_text(text: str, size: int, width: float) -> list[str]:
    """Break a text into lines that fit a width; nothing is lost.

    Lines end at ``\\n``, else between words; a word that is wider than a line is broken inside,
    after a comma where it has one.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        own: list[str] = []
        for word in filter(None, clean_text(paragraph).split(" ")):
            joined = f"{own[-1]} {word}" if own else word
            if own and measure_text(joined, size) <= width:
                own[-1] = joined
            else:
                own += _break_word(word, size, width)
        lines += own
    return lines


def _break_word(word: str, size: int, width: float) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and measure_text(pieces[-1] + letter, size) > width:
            head, comma, tail = pieces[-1].rpartition(",")
            if not comma or measure_text(tail + letter, size) > width:
                head, comma, tail = pieces[-1], "", ""
            pieces[-1:] = [head + comma, tail]
        pieces[-1] += letter
    return pieces
