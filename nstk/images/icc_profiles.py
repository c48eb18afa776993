"""ICC profiles: images are converted to sRGB when loaded, and tagged as sRGB when saved."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_CHANNELS = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
_HEADER_DATE = slice(24, 36)


def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # The creation time would make files of equal images differ (ICC.1:2022, 7.2.10).
    profile[_HEADER_DATE] = np.array([2000, 1, 1, 0, 0, 0], ">u2").tobytes()
    return bytes(profile)


SRGB_PROFILE = _srgb_profile()
"""The ICC profile of sRGB, always the same bytes."""


def convert_to_srgb(
    image: Image.Image, profile: bytes | None
) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert an image without alpha to sRGB.

    Colors are mapped relative to the white point, with black point compensation.

    Args:
        image: Mode L, RGB, CMYK or LAB, 8 bits per channel.
        profile: The embedded ICC profile, if any.

    Returns:
        The image in mode L or RGB, and warnings. It is the same object if its values are sRGB
        already.
    """
    notices = []
    if profile:
        try:
            return _apply(image, profile), ()
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            notices.append(f"its color profile cannot be used and is ignored ({reason})")
    if image.mode == "LAB":
        transform = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        image = transform.apply(image)
    elif image.mode == "CMYK":
        notices.append("CMYK without a usable color profile; its colors are approximate")
        image = image.convert("RGB")
    return image, tuple(notices)


def _apply(image: Image.Image, profile: bytes) -> Image.Image:
    space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    mode = _CHANNELS.get(space)
    if image.mode == "L" and mode == "RGB":
        converted = image.convert("RGB")
    elif image.mode == mode:
        converted = image
    else:
        raise ValueError(f"it is for {space}, the image is {image.mode}")
    transform = _transform(profile, converted.mode)
    if transform is None:
        return image
    return transform.apply(converted)


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile to sRGB; ``None`` if it changes no value by over one level.

    The sRGB profiles in use differ by rounding; converting between them would reduce 16-bit images
    to 8 bits for nothing.
    """
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode in ("L", "RGB"):
        chart = _chart().convert(mode)
        moved = np.abs(
            np.asarray(chart.convert("RGB"), np.int16)
            - np.asarray(transform.apply(chart), np.int16)
        )
        if moved.max() <= 1:
            return None
    return transform


def _chart() -> Image.Image:
    """All grays, and all combinations of 16 levels per channel."""
    grays = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(-1, 3)
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([grays, colors])[None])
