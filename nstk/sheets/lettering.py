"""Letters in pictures, in the one font that comes with Pillow."""

import re
import unicodedata
from functools import cache

from PIL import ImageFont

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


def spell(text: str) -> str:
    """Write a text with the signs that the font has, which are those of ASCII.

    Mathematical signs and Greek letters are spelled out, accents are dropped, spaces of any width
    become one; what is left of other scripts becomes a question mark.

    Example:
        >>> from nstk.sheets.lettering import spell
        >>> spell("α/β = 3×10⁻⁴, café")
        'alpha/beta = 3x10^-4, cafe'
    """
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda run: "^" + run[0].translate(_SUPERSCRIPTS), text)
    plain = unicodedata.normalize("NFKD", text).translate(_SIGNS)
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
    composed = unicodedata.normalize("NFC", bare)
    return "".join(letter if " " <= letter <= "~" else "?" for letter in composed)


def measure_text(text: str, size: int) -> int:
    """Width in pixels of a line of letters, rounded up."""
    return int(-(-find_font(size).getlength(spell(text)) // 1))


def line_height(size: int) -> int:
    """Pixels from one line of letters to the next."""
    return round(1.3 * size)


def wrap_text(text: str, size: int, width: int) -> list[str]:
    """Break a text into lines that fit a width, so that none of it is lost.

    Lines end where the text says so, else between words; a word that is wider than a whole line is
    broken inside.

    Args:
        text: Any; it is spelled as `spell` does.
        size: Of the letters in pixels.
        width: Of a line in pixels.

    Returns:
        The lines, none for an empty text.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines += _wrap_line(spell(paragraph), size, width)
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
            pieces.append("")
        pieces[-1] += letter
    return pieces
