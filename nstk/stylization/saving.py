"""Saving a style: its statistics at every size, in one file."""

import math
from collections.abc import Sequence
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import StylizeSettings, resolve_settings
from nstk.stylization.inputs import Source, read_style_images, with_ranges
from nstk.stylization.recipe import COARSEST, choose_style_layers
from nstk.stylization.styles import (
    SavedStyle,
    StyleImage,
    blend_styles,
    check_extension,
    write_style,
)
from nstk.types import SettingValue

LARGEST = 2048
"""Longer side in pixels of the largest size that is saved."""


def save_style(
    style: Source | Sequence[Source],
    path: str | Path,
    settings: StylizeSettings | None = None,
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> SavedStyle:
    """Save a style to a reusable file, which `stylize` accepts in place of an image.

    Args:
        style: Images or paths; several are blended into one style.
        path: The file, ending in ``.nstyle``.
        settings: Supplies blend, style layers and pooling; alternatively pass them as keyword
            ``options``.
        value_range: Values of black and white in arrays of floats, as in Keras.
        backbone: The network, or a name for `load_backbone`.
        on_progress: Called with a `Progress` at every size.
        **options: Fields of `StylizeSettings`, such as ``pooling="average"``.

    Returns:
        The style, ready for `stylize`.

    Raises:
        ImageError: If a file is not an image.
        StyleFileError: If the path has another extension.
        SettingsError: If the blend has the wrong length.
        BackboneError: If the network or a layer is unknown.
        OutputError: If the file cannot be written.

    Example:
        >>> import nstk
        >>> wave = nstk.save_style("wave.jpg", "wave.nstyle")  # doctest: +SKIP
        >>> nstk.stylize("town.jpg", wave).save("town-in-waves.png")  # doctest: +SKIP
    """
    path, settings = Path(path), resolve_settings(StylizeSettings, settings, options)
    check_extension(path)
    images, weights = read_style_images(with_ranges(style, value_range), settings)
    network = load_backbone(backbone, on_progress=on_progress)
    network = network.prepared(edge="replicate", pooling=settings.pooling)
    wanted = settings.style_layers
    layers = tuple(choose_style_layers(network) if isinstance(wanted, str) else wanted)
    sizes = _sizes(images, max(network.stride(layer) for layer in layers))
    sums = {}
    on_progress(Progress(stage="style", step=0, total=len(sizes)))
    for step, size in enumerate(sizes, 1):
        statistics = [image.compute_statistics(network, layers, size) for image in images]
        sums[size] = blend_styles(statistics, weights)
        on_progress(Progress(stage="style", step=step, total=len(sizes)))
    facts = {"backbone": network.name, "digest": network.digest, "pooling": settings.pooling}
    saved = SavedStyle(path.name, facts, sums)
    write_style(saved, path, [image.name for image in images])
    return saved


def _sizes(styles: Sequence[StyleImage], smallest: int) -> list[int]:
    """Sizes √2 apart, up to the largest that every image has; the shorter side has a minimum."""
    largest = min(LARGEST, *(max(style.pixels.shape[:2]) for style in styles))
    steps = max(math.floor(2 * math.log2(largest / COARSEST)), 0)
    sizes = (round(COARSEST * math.sqrt(2) ** k) for k in range(steps + 1))
    fitting = (s for s in sizes if all(min(style.size_at(s)) >= smallest for style in styles))
    return sorted({largest, *(size for size in fitting if size <= largest)})
