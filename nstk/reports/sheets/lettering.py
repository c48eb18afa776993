"""Letters in images, in the one font that comes with Pillow."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from PIL import ImageDraw, ImageFont

_SIGNS = str.maketrans(
    {
        "×": "x",
        "·": ".",
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "→": "->",
        "≤": "<=",
        "≥": ">=",
        "√": "root ",
        "α": "alpha",
        "β": "beta",
        "γ": "gamma",
        "λ": "lambda",
        "⁄": "/",
        "μ": "u",
        "σ": "sigma",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
    }
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED = re.compile("([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)")
_SMALLER, _HIGHER = 0.75, 0.36
"""Size of raised letters, and how far their line lies above that of the others, in units of the
others' size."""


@cache
def find_font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that a sheet looks the same on every machine.

    Args:
        size: Of the letters in pixels.
    """
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; install Pillow's own wheel.")
    return font


def format_value(text: str) -> str:
    """Write a text with what can be drawn: the signs of ASCII, and raised digits.

    Mathematical signs and Greek letters are spelled out, accents are dropped, spaces of any width
    become one; what is left of other scripts becomes a question mark.

    Example:
        >>> from nstk.reports.sheets.lettering import spell
        >>> spell("α/β = 3×10⁻⁴, café")
        'alpha/beta = 3x10⁻⁴, cafe'
    """
    return "".join(
        part if raised else _format_plainly(part) for raised, part in _split_raised(text)
    )


def _split_raised(text: str) -> Iterator[tuple[bool, str]]:
    """The parts of a text, each with whether it is raised."""
    for number, part in enumerate(_RAISED.split(text)):
        if part:
            yield number % 2 == 1, part


def _format_plainly(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).translate(_SIGNS)
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
    composed = unicodedata.normalize("NFC", bare)
    return "".join(letter if " " <= letter <= "~" else "?" for letter in composed)


def measure_text(text: str, size: int) -> int:
    """Width in pixels of a line of letters, rounded up."""
    return int(-(-sum(width for *_, width in _set_letters(text, size)) // 1))


def write_text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    ink: str | tuple[int, int, int],
    anchor: str = "la",
) -> None:
    """Write a line of letters.

    Args:
        draw: What draws on the image.
        place: Across and down, in pixels.
        text: Any; it is spelled as `spell` does.
        size: Of the letters in pixels.
        ink: Their color.
        anchor: What of the line stands at the place: first ``l``, ``m`` or ``r``, left, middle or
            right; then ``a``, ``m``, ``b`` or ``s``, ascender, middle, bottom or baseline.
    """
    runs = list(_set_letters(text, size))
    across, down = anchor[0], anchor[1]
    ascent, descent = find_font(size).getmetrics()
    x = place[0] - {"l": 0.0, "m": 0.5, "r": 1.0}[across] * sum(width for *_, width in runs)
    lower = {"a": ascent, "m": (ascent - descent) / 2, "b": -descent, "s": 0.0}[down]
    for words, font, raise_by, width in runs:
        draw.text((x, place[1] + lower - raise_by), words, ink, font, anchor="ls")
        x += width


def _set_letters(
    text: str, size: int
) -> Iterator[tuple[str, ImageFont.FreeTypeFont, float, float]]:
    """The parts of a line: letters, their font, how far they are raised, and how wide they are."""
    for raised, part in _split_raised(format_value(text)):
        font = find_font(round(_SMALLER * size) if raised else size)
        words = part.translate(_SUPERSCRIPTS)
        yield words, font, _HIGHER * size if raised else 0.0, font.getlength(words)


def line_height(size: int) -> int:
    """Pixels from one line of letters to the next."""
    return round(1.3 * size)


def wrap_text(text: str, size: int, width: int) -> list[str]:
    """Break a text into lines that fit a width, so that none of it is lost.

    Lines end where the text says so, else between words; a word that is wider than a whole line is
    broken inside, behind a comma where it has one.

    Args:
        text: Any; it is spelled as `spell` does.
        size: Of the letters in pixels.
        width: Of a line in pixels.

    Returns:
        The lines, none for an empty text.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines += _wrap_line(format_value(paragraph), size, width)
    return lines


def _wrap_line(text: str, size: int, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and measure_text(joined, size) <= width:
            lines[-1] = joined
        else:
            lines += _break_word(word, size, width)
    return lines


def _break_word(word: str, size: int, width: int) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and measure_text(pieces[-1] + letter, size) > width:
            head, comma, tail = pieces[-1].rpartition(",")
            if not comma or measure_text(tail + letter, size) > width:
                head, comma, tail = pieces[-1], "", ""
            pieces[-1:] = [head + comma, tail]
        pieces[-1] += letter
    return pieces
