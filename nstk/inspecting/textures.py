"""Style: textures that have the same Gram matrices as an image in layers 1, 1–2, … 1–n.

After Gatys et al. 2015, "Texture Synthesis Using Convolutional Neural Networks", and 2016, fig. 1:
correlations of a few shallow layers hold colors and strokes, those of more layers hold motifs.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nstk.backbones.backbone import Backbone
from nstk.images.image import Image
from nstk.inspecting.optimizations import descend
from nstk.inspecting.subjects import open_subject
from nstk.progress import Reporter, no_progress
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source
from nstk.stylization.losses import measure_gram
from nstk.stylization.preparing import find_network
from nstk.stylization.statistics import Moments, feature_sums, to_moments
from nstk.stylization.styles import extract_features


@dataclass(frozen=True, eq=False)
class Texture:
    """An image made from the Gram matrices of some layers, and nothing else.

    Attributes:
        layers: Whose, from the image to the deepest.
        image: The Image that the descent found, from noise.
        errors: ‖G − G*‖_F / ‖G*‖_F of every inspected layer, those left out included.
        losses: The mean over ``layers`` of ‖G − G*‖²_F / ‖G*‖²_F at every step.
    """

    layers: tuple[str, ...]
    image: Image
    errors: Mapping[str, float]
    losses: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class StyleInspection:
    """What the statistics of ever more layers keep of an image.

    Attributes:
        original: The image as it was looked at.
        textures: From layer 1 alone, from layers 1 and 2, and so on.
        backbone: The network's name.
        steps: Of every descent.
        seconds: Wall time.
    """

    original: Image
    textures: tuple[Texture, ...]
    backbone: str
    steps: int
    seconds: float


def inspect_style(
    image: Source,
    *,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = no_progress,
) -> StyleInspection:
    """Make textures from the Gram matrices of layers 1, 1–2, … 1–n of an image.

    Args:
        image: A Image or the path of one.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: Layers, size, steps, optimizer, pooling and seed.
        on_progress: Told of every step.

    Returns:
        The textures, how near their statistics came, and the curves of their losses.

    Raises:
        ImageError: If it is no image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    began, settings = time.monotonic(), settings or InspectSettings()
    backbone = find_network(backbone, on_progress)
    original, layers, network = open_subject(image, backbone, settings)
    targets = summarize_layers(extract_features(network.tap(layers), original))
    textures = []
    for count in range(1, len(layers) + 1):
        among = layers[:count]
        found = descend(
            network,
            among,
            original.shape,
            lambda maps: _compare(maps, targets),
            settings,
            on_progress,
        )
        reached = _compare(extract_features(network.tap(layers), found.image), targets)
        errors = {name: float(loss) ** 0.5 for name, loss in reached.items()}
        textures.append(Texture(among, found.image, errors, found.losses))
    seconds = time.monotonic() - began
    return StyleInspection(original, tuple(textures), backbone.name, settings.steps, seconds)


def summarize_layers(maps: Mapping[str, Any]) -> dict[str, Moments]:
    """The moments of every layer's feature map."""
    return {name: to_moments(feature_sums(features)) for name, features in maps.items()}


def _compare(maps: Mapping[str, Any], targets: Mapping[str, Moments]) -> dict[str, Any]:
    """‖G − G*‖²_F / ‖G*‖²_F of every layer."""
    return {
        name: measure_gram(moments, targets[name])
        for name, moments in summarize_layers(maps).items()
    }
