"""The masks of a clip: images that hold for all frames, or clips with a mask for each."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

from nstk.errors import MaskError
from nstk.images.color_spaces import to_luma
from nstk.settings import VideoSettings
from nstk.stylization.regions import Masks, MaskSource
from nstk.video.clips import is_clip, read_frames
from nstk.video.motion import to_unit


def clips_among(masks: Masks) -> dict[str, Path]:
    """The masks that are clips, by their role."""
    return {
        role: Path(mask)
        for role, mask in masks.numbered().items()
        if isinstance(mask, str | Path) and is_clip(mask)
    }


def read_masks(masks: Masks, video: VideoSettings) -> Iterator[Masks]:
    """The masks of one frame after the other; frames of a mask are chosen like those of the clip.

    Where a keep mask is black everywhere, nothing is kept.

    Raises:
        MaskError: If a clip of masks ends before the clip.
    """
    content = [_read(mask, video, f"`content_masks` {n}") for n, mask in _count(masks)]
    keep = _read(masks.keep_mask, video, "`keep_mask`")
    while True:
        kept = next(keep)
        if isinstance(kept, np.ndarray) and not kept.any():
            kept = None
        chosen = tuple(mask for mask in map(next, content) if mask is not None)
        yield replace(masks, content_masks=chosen, keep_mask=kept)


def _count(masks: Masks) -> Iterator[tuple[int, MaskSource]]:
    return enumerate(masks.content_masks, 1)


def _read(mask: MaskSource | None, video: VideoSettings, name: str) -> Iterator[MaskSource | None]:
    if not (isinstance(mask, str | Path) and is_clip(mask)):
        yield from repeat(mask)
    assert isinstance(mask, str | Path)
    for frame in read_frames(mask, video):
        yield to_luma(to_unit(frame.levels))
    raise MaskError(f"{name} ends before the clip; give a mask for each of its frames.")
