"""Numbers, shares and counts as text."""

import math

MINUS = "−"
THIN_SPACE = "\u202f"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def format_number(value: float, digits: int = 4) -> str:
    """``12 345``, ``−0.0125``, ``3.2×10⁻⁷``: integers in full, floats to significant digits."""
    if isinstance(value, int):
        return _with_minus(f"{value:,}")
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value and not 1e-4 <= abs(value) < 1e7:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{_with_minus(_trim(mantissa))}×{format_power_of_ten(int(exponent))}"
    decimals = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    return _trim(format_decimals(value, max(decimals, 0)))


def format_decimals(value: float, decimals: int) -> str:
    """Write a number with fixed decimals, and no minus before a zero."""
    if not math.isfinite(value):
        return format_number(value)
    text = f"{value:,.{decimals}f}"
    return _with_minus(text if text.strip("-0.,") else text.lstrip("-"))


def format_power_of_ten(exponent: int) -> str:
    return "10" + str(exponent).translate(_SUPERSCRIPTS)


def format_percent(share: float | None) -> str:
    """Write a share as ``93.5 %``; a dash for None."""
    return "–" if share is None else f"{format_decimals(100 * share, 1)} %"


def format_interval(interval: tuple[float, float] | None) -> str:
    """Write an interval of shares as ``85.1–97.3 %``; a dash for None."""
    if interval is None:
        return "–"
    low, high = (format_decimals(100 * bound, 1) for bound in interval)
    return f"{low}–{high} %"


def format_count(number: int, what: str) -> str:
    """Write ``1 image``, ``12 images`` or ``2 classes``."""
    plural = "es" if what.endswith("s") else "s"
    return f"{format_number(number)} {what}{'' if number == 1 else plural}"


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _with_minus(text: str) -> str:
    return text.replace("-", MINUS).replace(",", THIN_SPACE)
