"""Names that Keras makes up by counting, as they would be in a fresh process."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any


def is_named_by_counting(layer: Any) -> bool:
    """Say whether Keras made up the layer's name: its class and a running number."""
    return strip_number(layer.name).replace("_", "") == type(layer).__name__.lower()


def strip_number(name: str) -> str:
    """Give what stands before the running number: ``conv2d`` of ``conv2d_95``."""
    return re.sub(r"_\d+$", "", name)


def count_afresh(names: Iterable[str]) -> dict[str, str]:
    """Give names that count from where other networks stopped the numbers of a fresh process.

    Args:
        names: Such as ``("conv2d_95", "conv2d_94", "activation_2")``.

    Returns:
        New names by old: ``{"conv2d_94": "conv2d", "conv2d_95": "conv2d_1", …}``.
    """
    counted: dict[str, list[str]] = defaultdict(list)
    for name in names:
        counted[strip_number(name)].append(name)
    return {
        name: f"{base}_{number}" if number else base
        for base, alike in counted.items()
        # The running numbers are not padded: the shorter name counts first.
        for number, name in enumerate(sorted(alike, key=lambda name: (len(name), name)))
    }
