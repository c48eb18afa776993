"""Color modes: changes to the images before style transfer and to the result after it.

The modes of Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer" (2017),
section 5, and "Preserving Color in Neural Artistic Style Transfer" (2016), and two more:

| mode | before | after |
|---|---|---|
| ``style`` | nothing | nothing: the result has the style's colors |
| ``luminance`` | both become luma, the style with the content's mean | the content's I and Q |
| ``match-luminance`` | the same, with its standard deviation too | the content's I and Q |
| ``match`` | the style gets the content's mean color and covariance | nothing |
| ``histogram`` | the style gets the content's histogram in each channel | nothing |
| ``lab`` | nothing | the content's a and b (OkLab) |
"""

from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from nstk.images.color_spaces import from_oklab, reduce_chroma, to_luma, to_oklab
from nstk.images.image import Image, Plane, resize_image
from nstk.settings import ColorMatching, ColorMode, check_word

COLOR_MODES: tuple[str, ...] = get_args(ColorMode)
"""All color modes."""

MATCH_METHODS: tuple[str, ...] = get_args(ColorMatching)
"""All linear maps that turn one color covariance into another."""

NEEDS_STYLE_PIXELS = frozenset({"luminance", "match", "match-luminance", "histogram"})
"""The modes that change the style image; a style file has no pixels to change."""

FAINTEST_STD = 2 / 255
"""Lower bound of an image's standard deviation: two gray levels.

Anything fainter is noise, which matching would amplify to the contrast of the target.
"""

_KEEPS_LUMA = ("luminance", "match-luminance")
_Matrix = npt.NDArray[np.floating[Any]]


def prepare_colors(
    content: Image,
    style: Image,
    mode: str,
    method: str = "symmetric",
    *,
    part: Image | None = None,
) -> tuple[Image, Image]:
    """Apply a color mode before the transfer."""
    check_word("color", mode, ColorMode)
    match mode:
        case "luminance" | "match-luminance":
            matched = match_luminance(style, content, std=mode == "match-luminance", part=part)
            return prepare_content(content, mode), matched
        case "match":
            return content, match_colors(style, content, method=method, part=part)
        case "histogram":
            return content, match_histogram(style, content, part=part)
        case _:
            return content, style


def prepare_content(content: Image, mode: str) -> Image:
    """The content as the network sees it: some modes make it gray."""
    return _gray(to_luma(content)) if mode in _KEEPS_LUMA else content


def restore_colors(result: Image, content: Image, mode: str) -> Image:
    """Apply a color mode after the transfer.

    ``luminance`` and ``match-luminance`` combine the content's I and Q with the result's Y (YIQ,
    ITU-R BT.601); ``lab`` combines the content's a and b with the result's L (OkLab). Chroma is
    reduced until the color exists in sRGB; luma or lightness and hue stay.
    """
    check_word("color", mode, ColorMode)
    if mode not in (*_KEEPS_LUMA, "lab"):
        return result
    if content.shape != result.shape:
        content = resize_image(content, *result.shape[:2])
    if mode in _KEEPS_LUMA:
        return _combine_luma(to_luma(result), content)
    return _combine_lightness(result, content)


def match_colors(
    image: Image, target: Image, *, method: str = "symmetric", part: Image | None = None
) -> Image:
    """Give an image the mean color and the color covariance of another: x′ = A(x − μ_s) + μ_t.

    A·Σ_s·Aᵀ = Σ_t has many solutions A. ``cholesky`` is L_t·L_s⁻¹ and depends on the order of
    the channels; ``pca`` is Σ_t^½·Σ_s^−½ (Gatys et al. 2016, eq. 3 and 4); ``symmetric`` is
    Σ_s^−½·(Σ_s^½·Σ_t·Σ_s^½)^½·Σ_s^−½, which moves the colors least (optimal transport
    between Gaussians; Pitié and Kokaram 2007).

    If the colors lie on a line or in a plane, as those of gray images do, Σ_s has no inverse:
    the standard deviation along a principal axis is therefore at least `FAINTEST_STD`. A gray
    style thus keeps its colors on one line.
    """
    check_word("color_matching", method, ColorMatching)
    source_mean, source = _mean_and_covariance(image if part is None else part)
    target_mean, wanted = _mean_and_covariance(target)
    matrix = _transport(_power(source, 1.0, FAINTEST_STD**2), wanted, method)
    # A(x − μ_s) + μ_t = Ax + (μ_t − Aμ_s), in one pass over the pixels.
    return _clip(image @ matrix.T + (target_mean - matrix @ source_mean))


def match_histogram(image: Image, target: Image, *, part: Image | None = None) -> Image:
    """Give each channel of an image the histogram of another's: v′ = Q_t(F_s(v)).

    F_s is the share of the image's pixels darker than v, plus half of those equal to v, and Q_t
    the value of the target at that share, interpolated linearly. Equal pixels stay equal, so a
    flat sky stays flat. The correlation of the channels is not matched: with a gray target the
    image keeps some of its colors.
    """
    seen = image if part is None else part
    channels = [
        _match_plane(image[..., channel], seen[..., channel], target[..., channel])
        for channel in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def match_luminance(
    image: Image, target: Image, *, std: bool = False, part: Image | None = None
) -> Image:
    """Return a gray image with the mean luma of another: Y′ = (σ_t/σ_s)·(Y_s − μ_s) + μ_t."""
    luma, wanted = to_luma(image).astype(np.float64), to_luma(target).astype(np.float64)
    seen = luma if part is None else to_luma(part).astype(np.float64)
    gain = wanted.std() / max(seen.std(), FAINTEST_STD) if std else 1.0
    return _gray(_clip(gain * (luma - seen.mean()) + wanted.mean()))


def _clip(values: _Matrix) -> npt.NDArray[np.float32]:
    return np.clip(values, 0, 1).astype(np.float32)


def _gray(plane: Plane) -> Image:
    return np.repeat(plane[..., None], 3, axis=-1)


def _mean_and_covariance(image: Image) -> tuple[_Matrix, _Matrix]:
    colors = image.reshape(-1, 3).astype(np.float64)
    mean = colors.mean(axis=0)
    centered = colors - mean
    return mean, centered.T @ centered / len(centered)


def _transport(source: _Matrix, target: _Matrix, method: str) -> _Matrix:
    """A matrix A with A·source·Aᵀ = target, for an invertible source."""
    if method == "cholesky":
        # The target may be singular, but the factorization needs positive eigenvalues.
        factor = np.linalg.cholesky(_power(target, 1.0, 1e-12))
        return factor @ np.linalg.inv(np.linalg.cholesky(source))
    narrowed = _power(source, -0.5)
    if method == "pca":
        return _power(target, 0.5) @ narrowed
    root = _power(source, 0.5)
    return narrowed @ _power(root @ target @ root, 0.5) @ narrowed


def _power(covariance: _Matrix, exponent: float, least: float = 0.0) -> _Matrix:
    """Raise the eigenvalues of a covariance, each at least ``least``, to a power."""
    values, axes = np.linalg.eigh(covariance)
    raised: _Matrix = (axes * np.maximum(values, least) ** exponent) @ axes.T
    return raised


def _match_plane(plane: Plane, seen: Plane, target: Plane) -> Plane:
    values, counts = np.unique(seen, return_counts=True)
    wanted, wanted_counts = np.unique(target, return_counts=True)
    matched = np.interp(_shares(counts), _shares(wanted_counts), wanted)
    return np.interp(plane, values, matched).astype(np.float32)


def _shares(counts: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = (np.cumsum(counts) - counts / 2) / counts.sum()
    return shares


def _combine_luma(luma: Plane, content: Image) -> Image:
    """Combine a luma with the content's I and Q.

    As R, G and B are Y plus a mixture of I and Q, this adds to the luma the difference of each
    content channel from the content's luma.
    """
    chroma = content - to_luma(content)[..., None]
    headroom = np.where(chroma > 0, 1 - luma[..., None], luma[..., None])
    share = np.min(headroom / np.maximum(np.abs(chroma), 1e-9), axis=-1, keepdims=True)
    combined: Image = np.clip(luma[..., None] + np.minimum(share, 1) * chroma, 0, 1)
    return combined


def _combine_lightness(result: Image, content: Image) -> Image:
    combined = to_oklab(content)
    combined[..., 0] = to_oklab(result)[..., 0]
    return np.clip(from_oklab(reduce_chroma(combined)), 0, 1)
