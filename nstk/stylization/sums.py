"""What an image is judged by: sums over its positions, which add over its parts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nstk.stylization.losses import content_sum
from nstk.stylization.statistics import Statistics, feature_sums


class Sums(NamedTuple):
    """All that the loss of an image depends on: sums over positions, which add over its parts.

    Attributes:
        style: The statistics of every style layer, one of each region.
        content: Σ ½(a − a*)² of every content layer.
        variation: The four sums of `sum_variation`.
    """

    style: Mapping[str, Sequence[Statistics]]
    content: Mapping[str, Any]
    tv: Any


def sum_layers(
    maps: Mapping[str, Any],
    guides: Mapping[str, Sequence[Any]],
    content: Mapping[str, Any],
) -> tuple[dict[str, tuple[Statistics, ...]], dict[str, Any]]:
    """Sum up the feature maps of an image, or those of a part of it.

    Args:
        maps: Feature maps by layer; layers that are missing are left out.
        guides: The weight of every position by style layer, one plane for each region; None
            where the region is everywhere.
        content: a*, the content's own maps, by content layer.

    Returns:
        `Sums.style` and `Sums.content` of these layers.
    """
    style = {
        name: tuple(feature_sums(maps[name], plane) for plane in planes)
        for name, planes in guides.items()
        if name in maps
    }
    return style, {
        name: content_sum(maps[name], target) for name, target in content.items() if name in maps
    }
