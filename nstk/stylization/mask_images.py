"""The masks of a run as images, each by what it is for."""

from pathlib import Path

import numpy as np

from nstk.images.image import Image
from nstk.images.masks import load_mask
from nstk.stylization.inputs import MaskSource, MaskSources, list_masks


def name_masks(masks: MaskSources, styles: int) -> dict[str, MaskSource]:
    """Say what every mask is for.

    Args:
        masks: Those of the run.
        styles: How many styles it has.
    """
    content_masks, style_masks, keep_mask = masks
    names = ["the style"] if styles == 1 else [f"style {number + 1}" for number in range(styles)]
    several = {"Where {} goes": content_masks, "What counts of {}": style_masks}
    named = {
        purpose.format(name): mask
        for purpose, listed in several.items()
        for name, mask in zip(names, list_masks(listed), strict=False)
    }
    return named if keep_mask is None else {**named, "What stays as it is": keep_mask}


def draw_mask(mask: MaskSource) -> Image:
    """Show a mask: white is inside."""
    plane = load_mask(mask) if isinstance(mask, str | Path) else np.asarray(mask, np.float32)
    return np.repeat(plane[..., np.newaxis], 3, axis=-1)
