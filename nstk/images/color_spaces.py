"""Color spaces: sRGB to luma, and to OkLab and back."""

import numpy as np
import numpy.typing as npt

from nstk.images.image import Image, Plane

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
        ``(height, width, 3)``; outside ``[0, 1]`` for colors outside sRGB, see `reduce_chroma`.
    """
    return _encode(_linear_from_oklab(oklab.astype(np.float64)))


def reduce_chroma(oklab: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Map colors into sRGB by reducing chroma as little as possible; lightness and hue stay.

    Clipping red, green and blue separately would change the hue. The chroma is found by bisection,
    to one part in 4096.

    Args:
        oklab: ``(height, width, 3)``: L from 0 to 1, a and b.

    Returns:
        The same, with smaller a and b for colors outside sRGB.
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
