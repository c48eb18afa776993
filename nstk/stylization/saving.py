"""Keeping a style: what a network sees in style images, at every size, in one file."""

import math
from collections.abc import Sequence
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import StylizeSettings
from nstk.stylization.inputs import Source, read_styles
from nstk.stylization.layers import choose_style_layers
from nstk.stylization.preparing import resolve_backbone
from nstk.stylization.scales import COARSEST
from nstk.stylization.style_files import SavedStyle, check_extension, write_style
from nstk.stylization.styles import StyleImage, blend_styles

LARGEST = 2048
"""Longer side in pixels beyond which a style is not looked at."""


def save_style(
    styles: Source | Sequence[Source],
    path: str | Path,
    *,
    backbone: Backbone | str | Path = "compact",
    settings: StylizeSettings | None = None,
    on_progress: Reporter = no_progress,
) -> SavedStyle:
    """Keep what a network sees in style images, for use wherever a style image is.

    Args:
        styles: Images or paths; several are mixed into one style.
        path: Where to, ending in ``.nstyle``.
        backbone: The network that looks, or a name for `load_backbone`.
        settings: Its blend, style layers and pooling are used; the defaults when None.
        on_progress: Called with a `Progress` at every size.

    Returns:
        The style, ready for `stylize`.

    Raises:
        ImageError: If a file is no image.
        StyleFileError: If the ending is another one.
        SettingsError: If the blend is of another length.
        BackboneError: If the network or a layer is unknown.
        OutputError: If the file cannot be written.

    Example:
        >>> import nstk
        >>> wave = nstk.save_style("wave.jpg", "wave.nstyle")  # doctest: +SKIP
        >>> nstk.stylize("town.jpg", wave).save("painting.png")  # doctest: +SKIP
    """
    path, settings = Path(path), settings or StylizeSettings()
    check_extension(path)
    images, weights = read_styles(styles, settings)
    network = resolve_backbone(backbone, on_progress)
    network = network.prepared(edge="replicate", pooling=settings.pooling)
    wanted = settings.style_layers
    layers = tuple(choose_style_layers(network) if isinstance(wanted, str) else wanted)
    sizes = _sizes(images)
    sums = {}
    on_progress(Progress(stage="style", step=0, total=len(sizes)))
    for step, size in enumerate(sizes, 1):
        seen = [image.observe(network, layers, size) for image in images]
        sums[size] = blend_styles(seen, weights)
        on_progress(Progress(stage="style", step=step, total=len(sizes)))
    facts = {"backbone": network.name, "digest": network.digest, "pooling": settings.pooling}
    saved = SavedStyle(path.name, facts, sums)
    write_style(saved, path, [image.name for image in images])
    return saved


def _sizes(styles: Sequence[StyleImage]) -> list[int]:
    """Sizes √2 apart up to the largest that every image has."""
    largest = min(LARGEST, *(max(style.pixels.shape[:2]) for style in styles))
    steps = max(math.floor(2 * math.log2(largest / COARSEST)), 0)
    ladder = (round(COARSEST * math.sqrt(2) ** k) for k in range(steps + 1))
    return sorted({largest, *(size for size in ladder if size <= largest)})
