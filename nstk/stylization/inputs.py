"""What a run reads: the content, the styles and the masks, checked and ready."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nstk.datasets.listing import is_single
from nstk.errors import ImageError, MaskError, SettingsError, StyleFileError
from nstk.images.image import (
    VALUE_RANGE,
    Image,
    Levels,
    Plane,
    RangedArray,
    ValueRange,
    check_value_range,
    composite,
    to_image,
)
from nstk.images.loading import LoadedImage, load_image
from nstk.settings import StylizeSettings
from nstk.stylization.color_transfer import NEEDS_STYLE_PIXELS, prepare_colors, prepare_content
from nstk.stylization.regions import Masks, MaskSource, open_mask
from nstk.stylization.styles import EXTENSION, SavedStyle, Style, StyleImage, load_style
from nstk.types import Images

Source = Image | Levels | LoadedImage | RangedArray | str | Path
"""An image as an array or a path."""

StyleSource = Source | StyleImage | SavedStyle
"""An image, a style file, or a style that is already loaded."""

GRAY_TOLERANCE = 2.5 / 255
"""Largest difference of the channels of a gray pixel, which JPEG leaves."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a run reads; equal styles are the same object.

    ``content_pixels`` is the content as the network sees it, which some color modes change.
    """

    content: LoadedImage
    content_pixels: Image
    styles: tuple[Style, ...]
    weights: tuple[float, ...]
    content_masks: tuple[Plane, ...]
    keep_mask: Plane | None
    notices: tuple[str, ...]

    @property
    def is_gray(self) -> bool:
        """Whether the content and all styles in use are gray, so that the result has to be."""
        used = [style for style, share in zip(self.styles, self.weights, strict=True) if share]
        return _is_gray(self.content.pixels) and all(
            isinstance(style, StyleImage) and _is_gray(style.pixels) for style in used
        )


def read_inputs(
    content: Source,
    styles: StyleSource | Sequence[StyleSource],
    masks: Masks,
    settings: StylizeSettings,
) -> Inputs:
    listed = list_styles(styles)
    _check_masks(masks, len(listed), settings)
    loaded = open_image(content, "content")
    content_masks, keep_mask = _open_masks(masks, loaded.pixels.shape)
    opened: list[Style] = []
    notices = [*loaded.notices]
    for number, source in enumerate(listed):
        mask = masks.style_masks[number] if masks.style_masks else None
        style, remarks = _open_style(source, f"style {number + 1}", mask, settings)
        if isinstance(style, StyleImage):
            _, colored = prepare_colors(
                loaded.pixels,
                style.pixels,
                settings.color,
                settings.color_matching,
                part=style.counted_pixels,
            )
            style = replace(style, pixels=colored)
        opened.append(next((known for known in opened if known.digest == style.digest), style))
        notices += remarks
    weights = style_weights(settings, len(opened))
    _check_init(settings, [style for style, w in zip(opened, weights, strict=True) if w])
    return Inputs(
        content=loaded,
        content_pixels=prepare_content(loaded.pixels, settings.color),
        styles=tuple(opened),
        weights=weights,
        content_masks=content_masks,
        keep_mask=keep_mask,
        notices=tuple(notices),
    )


def with_content(inputs: Inputs, content: Source, masks: Masks, color: str) -> Inputs:
    """The same styles with another content of the same shape: the next frame of a clip."""
    loaded = open_image(content, "content")
    content_masks, keep_mask = _open_masks(masks, loaded.pixels.shape)
    return replace(
        inputs,
        content=loaded,
        content_pixels=prepare_content(loaded.pixels, color),
        content_masks=content_masks,
        keep_mask=keep_mask,
    )


def _open_masks(masks: Masks, shape: Sequence[int]) -> tuple[tuple[Plane, ...], Plane | None]:
    """The masks of a content of this shape."""
    numbered = enumerate(masks.content_masks, 1)
    content_masks = tuple(open_mask(mask, shape, f"`content_masks` {n}") for n, mask in numbered)
    keep = masks.keep_mask
    return content_masks, None if keep is None else open_mask(keep, shape, "`keep_mask`")


def read_style_images(
    styles: Source | Sequence[Source], settings: StylizeSettings
) -> tuple[list[StyleImage], tuple[float, ...]]:
    opened = [
        open_image(source, f"style {number}")
        for number, source in enumerate(list_styles(styles), 1)
    ]
    images = [_to_style(loaded) for loaded in opened]
    for image in images:
        image.check_contrast()
    return images, style_weights(settings, len(images))


def open_image(image: Source, name: str) -> LoadedImage:
    if isinstance(image, str | Path):
        return load_image(image)
    if isinstance(image, LoadedImage):
        return image
    pixels = to_image(image, name, background=None)
    alpha = pixels[..., 3] if pixels.shape[-1] == 4 and pixels[..., 3].min() < 1 else None
    return LoadedImage(composite(pixels), alpha, notices=(), path=Path(name))


def with_range(source: Images, value_range: ValueRange = VALUE_RANGE) -> Images:
    """Attach a value range to an array that has none; other sources stay as they are."""
    value_range = check_value_range(value_range)
    is_array = is_single(source) and not isinstance(source, str | Path)
    if not is_array or hasattr(source, "value_range"):
        return source
    return RangedArray(source, value_range)


def with_ranges(styles: Images, value_range: ValueRange = VALUE_RANGE) -> list[Images]:
    """Return the styles as a list, each `with_range`."""
    return [with_range(style, value_range) for style in list_styles(styles)]


def list_styles(styles: Images) -> Sequence[Images]:
    if is_single(styles) or isinstance(styles, StyleImage | SavedStyle):
        return [styles]
    if not styles:
        raise SettingsError("No style was given; pass at least one style image.")
    return list(styles)


def style_weights(settings: StylizeSettings, styles: int) -> tuple[float, ...]:
    if settings.style_blend == "equal":
        return (1.0,) * styles
    if len(settings.style_blend) != styles:
        raise SettingsError(
            f"`style_blend` has {len(settings.style_blend)} weight(s) for {styles} style(s); "
            "give one weight for each style."
        )
    return tuple(settings.style_blend)


def _open_style(
    source: StyleSource, name: str, mask: MaskSource | None, settings: StylizeSettings
) -> tuple[Style, tuple[str, ...]]:
    if isinstance(source, str | Path) and Path(source).suffix.lower() == EXTENSION:
        source = load_style(source)
    if isinstance(source, SavedStyle):
        _check_saved(source, mask, settings)
        return replace(source, scale=source.scale * settings.style_scale), ()
    notices: tuple[str, ...] = ()
    if not isinstance(source, StyleImage):
        loaded = open_image(source, name)
        source, notices = _to_style(loaded), loaded.notices
    plane = source.mask
    if mask is not None:
        chosen = open_mask(mask, source.pixels.shape, f"the mask of {name}")
        plane = chosen if plane is None else chosen * plane
        if not plane.any():
            raise MaskError(f"the mask of {name} covers only transparent pixels; paint others.")
    if mask is None and settings.style_scale == 1:
        return source, notices  # as it is, with the digest it knows
    return replace(source, mask=plane, scale=source.scale * settings.style_scale), notices


def _to_style(loaded: LoadedImage) -> StyleImage:
    """A style in which pixels count as much as they are opaque."""
    if loaded.alpha is not None and not loaded.alpha.any():
        raise ImageError(f"{loaded.path}: every pixel is transparent; give a visible image.")
    return StyleImage(str(loaded.path), loaded.pixels, loaded.alpha)


def _is_gray(pixels: Image) -> bool:
    return float(np.ptp(pixels, axis=-1).max()) <= GRAY_TOLERANCE


def _check_saved(style: SavedStyle, mask: MaskSource | None, settings: StylizeSettings) -> None:
    """Refuse what a style file, which holds no pixels, cannot do."""
    wanted = (
        "`style_masks`"
        if mask is not None
        else f"`color={settings.color!r}`"
        if settings.color in NEEDS_STYLE_PIXELS
        else None
    )
    if wanted:
        raise StyleFileError(
            f"{style.name} holds no pixels, which {wanted} needs; give the style image instead."
        )
    if style.network["pooling"] != settings.pooling:
        raise StyleFileError(
            f"{style.name} was saved with `pooling={style.network['pooling']!r}`, not "
            f"{settings.pooling!r}; choose that pooling, or save the style again."
        )


def _check_masks(masks: Masks, styles: int, settings: StylizeSettings) -> None:
    for name, given in (("content_masks", masks.content_masks), ("style_masks", masks.style_masks)):
        if given and len(given) != styles:
            raise MaskError(
                f"`{name}` has {len(given)} mask(s) for {styles} style(s); give one for each "
                "style, in the same order, or none."
            )
    if masks.content_masks and settings.style_blend != "equal":
        raise SettingsError(
            f"`style_blend` is {settings.style_blend} and `content_masks` are given; a blend mixes "
            "styles everywhere, masks give each style its own region: leave one of them out."
        )


def _check_init(settings: StylizeSettings, styles: Sequence[Style]) -> None:
    if settings.init == "style" and not any(isinstance(each, StyleImage) for each in styles):
        raise StyleFileError(
            f"{styles[0].name} holds no pixels, which `init='style'` needs; give the style "
            "image instead, or another `init`."
        )
