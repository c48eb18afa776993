"""How much room letters take, as no font can be asked: an estimate on the safe side."""

from collections.abc import Sequence

LETTER_SIZE = 13.0
"""Size of the letters in charts, in their units."""

LINE_HEIGHT = 16.0
"""Distance between two lines of such letters."""

_LETTER_WIDTH = 0.64 * LETTER_SIZE


def measure_text(text: str) -> float:
    """About how wide a text is in a chart, rather too wide than too narrow."""
    return _LETTER_WIDTH * len(text)


def shorten_text(text: str, width: float) -> str:
    """Cut a text to a width; what is lost is marked by an ellipsis in its middle.

    Names of files and classes often differ at their ends, so both ends stay.
    """
    room = max(int(width / _LETTER_WIDTH), 3)
    if len(text) <= room:
        return text
    head = room // 2
    return f"{text[:head]}…{text[len(text) - (room - head - 1) :]}"


def spread_labels(places: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    """Move labels apart that would lie on each other, each as little as possible.

    Args:
        places: Where each label would like to stand.
        low: The first place where one may stand.
        high: The last; the labels need ``(len(places) − 1)·LINE_HEIGHT`` between the two.

    Returns:
        Places at least `LINE_HEIGHT` apart, in the order of ``places``.
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
