"""Shares and counts in a reader's words."""

from nstk.heads.metrics import Interval
from nstk.reports.pages.numerals import format_decimals, format_number


def percent(share: float | None) -> str:
    """A share as ``93.5 %``, a dash where there is none."""
    return "–" if share is None else f"{format_decimals(100 * share, 1)} %"


def span(interval: Interval | None) -> str:
    """An interval of shares as ``85.1–97.3 %``, a dash where there is none."""
    if interval is None:
        return "–"
    low, high = (format_decimals(100 * bound, 1) for bound in interval)
    return f"{low}–{high} %"


def count(number: int, what: str) -> str:
    """``1 image``, ``12 images``, ``2 classes``."""
    plural = "es" if what.endswith("s") else "s"
    return f"{format_number(number)} {what}{'' if number == 1 else plural}"
