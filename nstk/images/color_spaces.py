"""Colors: embedded profiles and gammas to sRGB, and sRGB to luma and OkLab."""

import io
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from PIL import ImageCms

from nstk.images.image import Image, Plane
from nstk.types import Array

_Numbers = npt.NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])
"""Share of red, green and blue in luma (ITU-R BT.601)."""

_CONES_FROM_LINEAR = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB_FROM_ROOTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

_HALVINGS = 12
_TOLERANCE = 1e-5

_SRGB_GAMMA = 1 / 2.2
_GAMMA_TOLERANCE = 0.05
"""As in libpng: gammas that differ by less look the same."""

_CHANNELS = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
_HEADER_DATE = slice(24, 36)


def to_luma(image: Image) -> Plane:
    """Compute luma, a weighted sum of the encoded channels: Y′ = 0.299·R′ + 0.587·G′ + 0.114·B′.

    This is the Y of YIQ (ITU-R BT.601), the luminance channel of Gatys et al., "Controlling
    Perceptual Factors in Neural Style Transfer" (2017), section 5. A gray image is its own
    luma.

    Args:
        image: ``(height, width, 3)``, sRGB, ``[0, 1]``.

    Returns:
        ``(height, width)``, ``[0, 1]``.
    """
    luma: Plane = (image @ LUMA).astype(np.float32)
    return luma


def to_oklab(image: Image) -> npt.NDArray[np.float32]:
    """Convert to OkLab (Ottosson, "A perceptual color space for image processing", 2020).

    Its lightness and hue are more uniform than those of CIE L*a*b*: blue does not turn purple when
    its chroma changes.

    Args:
        image: ``(height, width, 3)``, sRGB, ``[0, 1]``.

    Returns:
        ``(height, width, 3)``: L from 0 to 1, a and b.
    """
    roots = np.cbrt(_decode(image) @ _CONES_FROM_LINEAR.T)
    oklab: npt.NDArray[np.float32] = (roots @ _OKLAB_FROM_ROOTS.T).astype(np.float32)
    return oklab


def from_oklab(oklab: npt.NDArray[np.float32]) -> Image:
    """Convert OkLab to sRGB: the inverse of `to_oklab`.

    Args:
        oklab: ``(height, width, 3)``: L from 0 to 1, a and b.

    Returns:
        ``(height, width, 3)``; outside ``[0, 1]`` for colors outside sRGB.
    """
    return _encode(_linear_from_oklab(oklab.astype(np.float64)))


def reduce_chroma(oklab: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Map colors into sRGB by reducing chroma as little as possible; lightness and hue stay.

    Clipping red, green and blue separately would change the hue. The chroma is found by bisection,
    to one part in 4096.
    """
    colors = oklab.reshape(-1, 3).astype(np.float64)
    outside = ~_is_inside(colors)
    out_of_gamut = colors[outside]
    inside, beyond = np.zeros(len(out_of_gamut)), np.ones(len(out_of_gamut))
    for _ in range(_HALVINGS):
        middle = (inside + beyond) / 2
        fits = _is_inside(_with_chroma(out_of_gamut, middle))
        inside, beyond = np.where(fits, middle, inside), np.where(fits, beyond, middle)
    colors[outside] = _with_chroma(out_of_gamut, inside)
    return colors.astype(np.float32).reshape(oklab.shape)


def _with_chroma(oklab: _Numbers, share: _Numbers) -> _Numbers:
    return oklab * np.stack([np.ones_like(share), share, share], axis=-1)


def _is_inside(oklab: _Numbers) -> npt.NDArray[np.bool_]:
    linear = _linear_from_oklab(oklab)
    inside: npt.NDArray[np.bool_] = np.all(np.abs(linear - 0.5) <= 0.5 + _TOLERANCE, axis=-1)
    return inside


def _linear_from_oklab(oklab: _Numbers) -> _Numbers:
    roots = oklab @ np.linalg.inv(_OKLAB_FROM_ROOTS).T
    linear: _Numbers = roots**3 @ np.linalg.inv(_CONES_FROM_LINEAR).T
    return linear


def _decode(image: Image) -> _Numbers:
    """Linear light from sRGB values (IEC 61966-2-1)."""
    encoded = image.astype(np.float64)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _encode(linear: _Numbers) -> Image:
    """sRGB values of linear light; the curve is odd, so that negative values are possible."""
    size = np.abs(linear)
    curve = np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055)
    return (np.sign(linear) * curve).astype(np.float32)


def decode_gamma(colors: Array, gamma: float) -> Array:
    """Convert colors to sRGB that were encoded as light^gamma (gAMA of PNG, third edition, 11.3.2).

    Args:
        colors: uint8, or floats in ``[0, 1]``.
        gamma: The exponent, 0.45455 for values that are like sRGB.

    Returns:
        Floats in ``[0, 1]``; ``colors`` itself if the gamma is that of sRGB, or invalid.
    """
    if gamma <= 0 or abs(gamma / _SRGB_GAMMA - 1) < _GAMMA_TOLERANCE:
        return colors
    if colors.dtype == np.uint8:
        return decode_gamma(np.linspace(0, 1, 256), gamma)[colors]
    return _encode(colors.astype(np.float64) ** (1 / gamma))


def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # The creation time would make files of equal images differ (ICC.1:2022, 7.2.10).
    profile[_HEADER_DATE] = np.array([2000, 1, 1, 0, 0, 0], ">u2").tobytes()
    return bytes(profile)


SRGB_PROFILE = _srgb_profile()
"""The ICC profile of sRGB, always the same bytes."""


def convert_to_srgb(
    image: PILImage.Image, profile: bytes | None
) -> tuple[PILImage.Image, tuple[str, ...]]:
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
            return _apply_profile(image, profile), ()
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


def _apply_profile(image: PILImage.Image, profile: bytes) -> PILImage.Image:
    space = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    mode = _CHANNELS.get(space)
    converted = image.convert("RGB") if (image.mode, mode) == ("L", "RGB") else image
    if converted.mode != mode:
        raise ValueError(f"it is for {space}, the image is {image.mode}")
    transform = _transform(profile, converted.mode)
    return image if transform is None else transform.apply(converted)


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
        converted = np.asarray(transform.apply(chart), np.int16)
        if np.abs(np.asarray(chart.convert("RGB"), np.int16) - converted).max() <= 1:
            return None
    return transform


def _chart() -> PILImage.Image:
    """All grays, and all combinations of 16 levels per channel."""
    grays = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(-1, 3)
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    return PILImage.fromarray(np.concatenate([grays, colors])[None])
