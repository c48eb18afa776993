"""The masks of a run: where each style goes, which part of it counts, and what stays unchanged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.datasets.listing import is_single
from nstk.images.image import Image, Plane
from nstk.images.masks import check_mask, load_mask
from nstk.types import Images

MaskSource = Plane | str | Path
"""A mask ``(height, width)`` in ``[0, 1]``, or the path of a grayscale image of one."""


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of a run; each has the shape of the image it belongs to.

    Attributes:
        content_masks: Where in the content each style goes: none, or one for each style.
        style_masks: Which part of each style image counts: none, or one for each style.
        keep_mask: The part of the content that stays unchanged, or None.

    Example:
        >>> import nstk
        >>> masks = nstk.Masks(content_masks=["sky.png", "ground.png"], keep_mask="face.png")
        >>> len(masks.content_masks)
        2
    """

    content_masks: Sequence[MaskSource] = ()
    style_masks: Sequence[MaskSource] = ()
    keep_mask: MaskSource | None = None

    def __post_init__(self) -> None:
        for name in ("content_masks", "style_masks"):
            object.__setattr__(self, name, _as_tuple(getattr(self, name)))

    def numbered(self) -> dict[str, MaskSource]:
        """All masks by role and number: ``content mask 1``, ``style mask 1``, ``keep mask``."""
        named = {
            f"content mask {number}": mask for number, mask in enumerate(self.content_masks, 1)
        }
        named |= {f"style mask {number}": mask for number, mask in enumerate(self.style_masks, 1)}
        return named if self.keep_mask is None else {**named, "keep mask": self.keep_mask}

    def captioned(self, styles: int) -> dict[str, MaskSource]:
        """All masks by a caption for readers.

        Args:
            styles: How many styles the run has.
        """
        names = ["the style"] if styles == 1 else [f"style {k + 1}" for k in range(styles)]
        named = {
            **{
                f"Where {name} goes": mask
                for name, mask in zip(names, self.content_masks, strict=False)
            },
            **{
                f"Part of {name} that counts": mask
                for name, mask in zip(names, self.style_masks, strict=False)
            },
        }
        return (
            named
            if self.keep_mask is None
            else {**named, "Part that stays unchanged": self.keep_mask}
        )


def read_mask(mask: MaskSource) -> Plane:
    """Return a mask as an array, loading it if it is a path."""
    return load_mask(mask) if isinstance(mask, str | Path) else np.asarray(mask, np.float32)


def open_mask(mask: MaskSource, shape: Sequence[int], name: str) -> Plane:
    """Read a mask and check it against its image.

    Args:
        mask: An array or a path.
        shape: Height and width of the image.
        name: What error messages call the mask.

    Raises:
        MaskError: If it does not fit the image, is empty or has values outside ``[0, 1]``.
    """
    checked: Plane = check_mask(read_mask(mask), tuple(shape), name)
    return checked


def draw_mask(mask: MaskSource) -> Image:
    """Return a mask as an image that shows its inside in white."""
    return np.repeat(read_mask(mask)[..., np.newaxis], 3, axis=-1)


def _as_tuple(masks: Images) -> tuple[MaskSource, ...]:
    """A single mask becomes a tuple of one."""
    if isinstance(masks, str | Path):
        return (masks,)
    return (masks,) if is_single(masks) and np.ndim(np.asarray(masks)) == 2 else tuple(masks)


NO_MASKS = Masks()
