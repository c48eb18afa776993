"""What an image is made from: the content, the styles, and where each of them counts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nstk.datasets.listing import is_single
from nstk.errors import MaskError, SettingsError, StyleFileError
from nstk.images.image import (
    Image,
    Levels,
    LoadedImage,
    Plane,
    load_image,
    take_array,
)
from nstk.images.masks import check_mask, load_mask
from nstk.settings import StylizeSettings
from nstk.stylization.color_transfer import NEEDS_STYLE_PIXELS, prepare_colors
from nstk.stylization.style_files import EXTENSION, SavedStyle, load_style
from nstk.stylization.styles import StyleImage, Style

Source = Image | Levels | str | Path
"""An image in memory or the path of one."""

StyleSource = Source | StyleImage | SavedStyle
"""An image, a style file, or a style already at hand."""

MaskSource = Plane | str | Path
"""A mask ``(height, width)`` in ``[0, 1]`` or the path of an image of one."""

MaskSources = tuple[
    MaskSource | Sequence[MaskSource], MaskSource | Sequence[MaskSource], MaskSource | None
]
"""Where each style goes, which part of each style image counts, and what is to stay."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything read, checked and ready.

    Attributes:
        content: The content as it was given.
        subject: Its pixels as the network sees them: those of ``content``, unless a color mode
            changes them.
        styles: What it is to look like; equal ones are one object.
        weights: How much each style counts.
        masks: Where each style goes, ``(height, width)`` of the content; all of them everywhere
            where empty.
        keep: What is to stay as it is, 1 where it does; nothing where None.
        notices: What was special about the files.
    """

    content: LoadedImage
    subject: Image
    styles: tuple[Style, ...]
    weights: tuple[float, ...]
    masks: tuple[Plane, ...]
    keep: Plane | None
    notices: tuple[str, ...]


def read_inputs(
    content: Source,
    styles: StyleSource | Sequence[StyleSource],
    settings: StylizeSettings,
    *,
    content_masks: MaskSource | Sequence[MaskSource] = (),
    style_masks: MaskSource | Sequence[MaskSource] = (),
    keep_mask: MaskSource | None = None,
) -> Inputs:
    """Read and check all there is to read.

    Args:
        content: What to paint.
        styles: How: one or several.
        settings: For blending, colors and the scale of strokes.
        content_masks: Where each style goes: none, or one for each style.
        style_masks: Which part of each style image counts: none, or one for each style.
        keep_mask: What is to stay as it is.

    Raises:
        ImageError: If a file is no image.
        StyleFileError: If a style file cannot be read, or cannot do what is asked.
        MaskError: If a mask does not fit its image, or there are too many or too few.
        SettingsError: If there is no style, or a blend of another length.
    """
    listed = list_styles(styles)
    content_masks, style_masks = list_masks(content_masks), list_masks(style_masks)
    _check_count("--content-mask", content_masks, len(listed))
    _check_count("--style-mask", style_masks, len(listed))
    if content_masks and settings.style_blend != "equal":
        raise SettingsError(
            f"--style-blend is {settings.style_blend} and there are --content-masks; a blend mixes "
            "styles everywhere, masks give each its own place: leave one of them out."
        )
    subject = open_image(content, "content")
    shape = subject.pixels.shape
    opened: list[Style] = []
    notices = [*subject.notices]
    pixels = subject.pixels
    for number, source in enumerate(listed):
        mask = style_masks[number] if style_masks else None
        style, told = _open_style(source, f"style {number + 1}", mask, settings)
        if isinstance(style, StyleImage):
            pixels, colored = prepare_colors(
                subject.pixels,
                style.pixels,
                settings.color,
                settings.color_matching,
                part=style.part,
            )
            style = replace(style, pixels=colored)
        opened.append(next((known for known in opened if known.digest == style.digest), style))
        notices += told
    weights = _weights(settings, len(opened))
    seen = [style for style, weight in zip(opened, weights, strict=True) if weight]
    if settings.init == "style" and not any(isinstance(each, StyleImage) for each in seen):
        raise StyleFileError(
            f"{seen[0].name} holds no pixels, which --init style needs; give the style image "
            "instead, or another --init."
        )
    return Inputs(
        content=subject,
        subject=pixels,
        styles=tuple(opened),
        weights=weights,
        masks=tuple(
            _open_mask(mask, shape, f"--content-mask {number}")
            for number, mask in enumerate(content_masks, 1)
        ),
        keep=None if keep_mask is None else _open_mask(keep_mask, shape, "--keep-mask"),
        notices=tuple(notices),
    )


def read_styles(
    styles: Source | Sequence[Source], settings: StylizeSettings
) -> tuple[list[StyleImage], tuple[float, ...]]:
    """Read style images alone, with the weight of each.

    Raises:
        ImageError: If a file is no image.
        SettingsError: If there is none, or the blend is of another length.
    """
    opened = [
        open_image(source, f"style {number}")
        for number, source in enumerate(list_styles(styles), 1)
    ]
    painted = [StyleImage(str(loaded.path), loaded.pixels) for loaded in opened]
    return painted, _weights(settings, len(painted))


def open_image(image: Source, name: str) -> LoadedImage:
    """Take an image from memory, and read a path.

    Args:
        image: The path of an image; or an array ``(height, width, 3)`` of floats in ``[0, 1]``,
            which are clipped where resampling overshot, or of uint8.
        name: What messages call an image in memory.

    Raises:
        ImageError: If it is none.
    """
    if isinstance(image, str | Path):
        return load_image(image)
    pixels = take_array(image, name)
    return LoadedImage(pixels=pixels, alpha=None, notices=(), path=Path(name))


def list_masks(masks: Any) -> Sequence[MaskSource]:
    """A mask alone is a list of one: a text would else be as many as it has letters."""
    if isinstance(masks, str | Path):
        return [masks]
    return [masks] if is_single(masks) and np.ndim(np.asarray(masks)) == 2 else list(masks)


def list_styles(styles: Any) -> Sequence[Any]:
    """A style alone is a list of one.

    Raises:
        SettingsError: If there is none.
    """
    if is_single(styles) or isinstance(styles, StyleImage | SavedStyle):
        return [styles]
    if not styles:
        raise SettingsError("No style was given; at least one image is needed.")
    return list(styles)


def _open_style(
    source: StyleSource, name: str, mask: MaskSource | None, settings: StylizeSettings
) -> tuple[Style, tuple[str, ...]]:
    """A style in its part and at its scale, and what was special about its file."""
    if isinstance(source, str | Path) and Path(source).suffix.lower() == EXTENSION:
        source = load_style(source)
    if isinstance(source, SavedStyle):
        _check_saved(source, mask, settings)
        return replace(source, scale=source.scale * settings.style_scale), ()
    notices: tuple[str, ...] = ()
    if not isinstance(source, StyleImage):
        loaded = open_image(source, name)
        source, notices = StyleImage(str(loaded.path), loaded.pixels), loaded.notices
    plane = source.mask
    if mask is not None:
        plane = _open_mask(mask, source.pixels.shape, f"the mask of {name}")
    return replace(source, mask=plane, scale=source.scale * settings.style_scale), notices


def _check_saved(style: SavedStyle, mask: MaskSource | None, settings: StylizeSettings) -> None:
    wanted = (
        "a --style-mask"
        if mask is not None
        else f"--color {settings.color}"
        if settings.color in NEEDS_STYLE_PIXELS
        else None
    )
    if wanted:
        raise StyleFileError(
            f"{style.name} holds no pixels, which {wanted} needs; give the style image instead."
        )
    if style.network["pooling"] != settings.pooling:
        raise StyleFileError(
            f"{style.name} was seen with --pooling {style.network['pooling']}, not "
            f"{settings.pooling}; choose that pooling, or save the style again."
        )


def _open_mask(mask: MaskSource, shape: tuple[int, ...], name: str) -> Plane:
    plane = load_mask(mask) if isinstance(mask, str | Path) else np.asarray(mask, np.float32)
    checked: Plane = check_mask(plane, shape, name)
    return checked


def _check_count(option: str, masks: Sequence[MaskSource], styles: int) -> None:
    if masks and len(masks) != styles:
        raise MaskError(
            f"{len(masks)} {option} and {styles} style(s) were given; give one {option} for every "
            "style, in the same order, or none."
        )


def _weights(settings: StylizeSettings, styles: int) -> tuple[float, ...]:
    if settings.style_blend == "equal":
        return (1.0,) * styles
    if len(settings.style_blend) != styles:
        raise SettingsError(
            f"--style-blend has {len(settings.style_blend)} weight(s) for {styles} style(s); "
            "give one for every style."
        )
    return tuple(settings.style_blend)
