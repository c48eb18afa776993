"""Images of every supported format, in its variants."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin

from nstk.errors import ImageError

Made = tuple[Sequence[bytes], Callable[[Path], object]]
"""Undamaged files, and a function that reads the path of a corrupted one."""


def draw(size=(24, 18)) -> Image.Image:
    gray = Image.linear_gradient("L").resize(size)
    turned = Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (gray, turned, gray))


def save(image, format_name, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif() -> Image.Exif:
    facts = Image.Exif()
    facts[0x0112] = 6
    facts[0x010E] = "an image"
    return facts


def read_image(path: Path) -> None:
    """Read it with every loader, even if one of them refuses it."""
    from nstk.images.decoding import identify
    from nstk.images.loading import load_image, load_levels

    refusal = None
    for read in (load_image, load_levels, identify):
        try:
            read(path)
        except ImageError as error:
            refusal = error
    if refusal:
        raise refusal


def images(*whole: Callable[[], bytes]) -> Callable[[], Made]:
    return lambda: ([make() for make in whole], read_image)


def deep() -> Image.Image:
    return Image.fromarray((np.arange(24 * 18).reshape(18, 24) * 150).astype(np.uint16))


JPEG = images(
    lambda: save(draw(), "JPEG", exif=exif(), icc_profile=profile()),
    lambda: save(draw(), "JPEG", progressive=True),
    lambda: save(draw().convert("CMYK"), "JPEG"),
    lambda: save(draw().convert("L"), "JPEG", exif=exif()),
)

PNG = images(
    lambda: save(draw(), "PNG", exif=exif(), icc_profile=profile()),
    lambda: save(draw().convert("P"), "PNG", transparency=3),
    lambda: save(deep(), "PNG"),
    lambda: save(draw().convert("RGBA"), "PNG"),
    lambda: save(draw().convert("1"), "PNG"),
    lambda: save(draw(), "PNG", save_all=True, append_images=[draw().rotate(90)]),
)

WEBP = images(
    lambda: save(draw(), "WEBP", exif=exif(), icc_profile=profile()),
    lambda: save(draw().convert("RGBA"), "WEBP", lossless=True),
    lambda: save(draw(), "WEBP", save_all=True, append_images=[draw().rotate(90)]),
)

AVIF = images(
    lambda: save(draw(), "AVIF", exif=exif(), icc_profile=profile()),
    lambda: save(draw().convert("RGBA"), "AVIF"),
)

JPEG_2000 = images(
    lambda: save(draw(), "JPEG2000"),
    lambda: save(draw().convert("RGBA"), "JPEG2000"),
    lambda: save(deep(), "JPEG2000"),
)

TIFF = images(
    lambda: save(draw(), "TIFF", icc_profile=profile()),
    lambda: save(draw(), "TIFF", compression="tiff_lzw"),
    lambda: save(draw(), "TIFF", compression="jpeg"),
    lambda: save(draw(), "TIFF", compression="tiff_adobe_deflate"),
    lambda: save(deep(), "TIFF"),
    lambda: save(draw().convert("F").point(lambda level: level / 255), "TIFF"),
    lambda: save(draw().convert("1"), "TIFF", compression="group4"),
    lambda: save(draw(), "TIFF", tiffinfo=_turned()),
)


def _turned():
    facts = TiffImagePlugin.ImageFileDirectory_v2()
    facts[0x0112] = 8
    return facts


BMP = images(
    lambda: save(draw(), "BMP"),
    lambda: save(draw().convert("P"), "BMP"),
    lambda: save(draw().convert("1"), "BMP"),
)

GIF = images(
    lambda: save(draw(), "GIF"),
    lambda: save(draw(), "GIF", save_all=True, append_images=[draw().rotate(90)], loop=0),
)
