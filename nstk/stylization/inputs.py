"""What a run reads: the content, the styles and the masks, checked and ready."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
from nstk.stylization.color_transfer import NEEDS_STYLE_PIXELS, prepare_colors
from nstk.stylization.masks import Masks, MaskSource, open_mask
from nstk.stylization.style_files import EXTENSION, SavedStyle, load_style
from nstk.stylization.styles import Style, StyleImage
from nstk.types import Images

Source = Image | Levels | LoadedImage | RangedArray | str | Path
"""An image as an array or a path."""

StyleSource = Source | StyleImage | SavedStyle
"""An image, a style file, or a style that is already loaded."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a run.

    Attributes:
        content: The content as given.
        content_pixels: Its pixels as the network sees them, which some color modes change.
        styles: The styles; equal ones are the same object.
        weights: The weight of each style.
        content_masks: Where each style goes, ``(height, width)`` of the content; empty if every
            style goes everywhere.
        keep_mask: 1 where the content stays unchanged, or None.
        notices: Remarks about the files, such as a frame that was picked.
    """

    content: LoadedImage
    content_pixels: Image
    styles: tuple[Style, ...]
    weights: tuple[float, ...]
    content_masks: tuple[Plane, ...]
    keep_mask: Plane | None
    notices: tuple[str, ...]


def read_inputs(
    content: Source,
    styles: StyleSource | Sequence[StyleSource],
    masks: Masks,
    settings: StylizeSettings,
) -> Inputs:
    """Read and check content, styles and masks.

    Args:
        content: The content image.
        styles: One or several styles.
        masks: The masks, if any.
        settings: Supplies blend, color mode and stroke size.

    Raises:
        ImageError: If a file is not an image.
        StyleFileError: If a style file cannot be read or does not support the settings.
        MaskError: If a mask does not fit its image, or their number is wrong.
        SettingsError: If no style is given, or the blend has the wrong length.
    """
    listed = list_styles(styles)
    _check_masks(masks, len(listed), settings)
    loaded = open_image(content, "content")
    shape, pixels = loaded.pixels.shape, loaded.pixels
    opened: list[Style] = []
    notices = [*loaded.notices]
    for number, source in enumerate(listed):
        mask = masks.style_masks[number] if masks.style_masks else None
        style, remarks = _open_style(source, f"style {number + 1}", mask, settings)
        if isinstance(style, StyleImage):
            pixels, colored = prepare_colors(
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
        content_pixels=pixels,
        styles=tuple(opened),
        weights=weights,
        content_masks=tuple(
            open_mask(mask, shape, f"`content_masks` {number}")
            for number, mask in enumerate(masks.content_masks, 1)
        ),
        keep_mask=None
        if masks.keep_mask is None
        else open_mask(masks.keep_mask, shape, "`keep_mask`"),
        notices=tuple(notices),
    )


def read_style_images(
    styles: Source | Sequence[Source], settings: StylizeSettings
) -> tuple[list[StyleImage], tuple[float, ...]]:
    """Read style images and their weights.

    Raises:
        ImageError: If a file is not an image.
        SettingsError: If no image is given, or the blend has the wrong length.
    """
    opened = [
        open_image(source, f"style {number}")
        for number, source in enumerate(list_styles(styles), 1)
    ]
    images = [_to_style(loaded) for loaded in opened]
    return images, style_weights(settings, len(images))


def open_image(image: Source, name: str) -> LoadedImage:
    """Return an image, loading it if it is a path.

    Args:
        image: A path, or an array as `to_image` takes it.
        name: What error messages call an array.

    Raises:
        ImageError: If it is not an image.
    """
    if isinstance(image, str | Path):
        return load_image(image)
    if isinstance(image, LoadedImage):
        return image
    pixels = to_image(image, name, background=None)
    alpha = pixels[..., 3] if pixels.shape[-1] == 4 and pixels[..., 3].min() < 1 else None
    return LoadedImage(composite(pixels), alpha, notices=(), path=Path(name))


def with_range(source: Images, value_range: ValueRange = VALUE_RANGE) -> Images:
    """Attach a value range to an array that has none; other sources stay as they are.

    Raises:
        SettingsError: If it is not a range.
    """
    value_range = check_value_range(value_range)
    is_array = is_single(source) and not isinstance(source, str | Path)
    if not is_array or hasattr(source, "value_range"):
        return source
    return RangedArray(source, value_range)


def with_ranges(styles: Images, value_range: ValueRange = VALUE_RANGE) -> list[Images]:
    """Return the styles as a list, each `with_range`.

    Raises:
        SettingsError: If there is none, or it is not a range.
    """
    return [with_range(style, value_range) for style in list_styles(styles)]


def list_styles(styles: Images) -> Sequence[Images]:
    """Return the styles as a list; a single style becomes a list of one.

    Raises:
        SettingsError: If there is none.
    """
    if is_single(styles) or isinstance(styles, StyleImage | SavedStyle):
        return [styles]
    if not styles:
        raise SettingsError("No style was given; pass at least one style image.")
    return list(styles)


def style_weights(settings: StylizeSettings, styles: int) -> tuple[float, ...]:
    """Return the weight of each style.

    Raises:
        SettingsError: If the blend has another length than there are styles.
    """
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
    """The style with its mask and scale, and remarks about its file."""
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
    return replace(source, mask=plane, scale=source.scale * settings.style_scale), notices


def _to_style(loaded: LoadedImage) -> StyleImage:
    """A style in which pixels count as much as they are opaque."""
    if loaded.alpha is not None and not loaded.alpha.any():
        raise ImageError(f"{loaded.path}: every pixel is transparent; give a visible image.")
    return StyleImage(str(loaded.path), loaded.pixels, loaded.alpha)


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
