"""Content: what is left of an image in each layer, seen by descending on the content loss alone.

After Mahendran and Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them", and
Gatys et al. 2016, fig. 1: a layer near the image keeps its pixels, a deep one keeps what is there
and forgets where exactly, and in which color.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.images.image import Image
from nstk.inspecting.optimizations import descend
from nstk.inspecting.subjects import open_subject
from nstk.progress import Reporter, no_progress
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source
from nstk.stylization.losses import measure_content
from nstk.stylization.preparing import find_network
from nstk.stylization.styles import extract_features


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An image made anew from what one layer sees in it.

    Attributes:
        layer: The content layer k.
        image: The Image that the descent on its content loss found, from noise.
        error: Root of the mean squared difference of its pixels from the original's.
        losses: ½‖a − a*‖² / ½‖a*‖² of the layer at every step.
    """

    layer: str
    image: Image
    error: float
    losses: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class ContentInspection:
    """What each layer keeps of an image.

    Attributes:
        original: The image as it was looked at.
        reconstructions: One for each layer, from the image to the deepest.
        backbone: The network's name.
        steps: Of every descent.
        seconds: Wall time.
    """

    original: Image
    reconstructions: tuple[Reconstruction, ...]
    backbone: str
    steps: int
    seconds: float


def inspect_content(
    image: Source,
    *,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = no_progress,
) -> ContentInspection:
    """Reconstruct an image from each layer alone, starting from white noise.

    Args:
        image: A Image or the path of one.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: Layers, size, steps, optimizer, pooling and seed.
        on_progress: Told of every step.

    Returns:
        The reconstructions, their errors and the curves of their losses.

    Raises:
        ImageError: If it is no image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    began, settings = time.monotonic(), settings or InspectSettings()
    backbone = find_network(backbone, on_progress)
    original, layers, network = open_subject(image, backbone, settings)
    made = [_reconstruct(network, layer, original, settings, on_progress) for layer in layers]
    seconds = time.monotonic() - began
    return ContentInspection(original, tuple(made), backbone.name, settings.steps, seconds)


def _reconstruct(
    backbone: Backbone,
    layer: str,
    original: Image,
    settings: InspectSettings,
    on_progress: Reporter,
) -> Reconstruction:
    target = extract_features(backbone.tap([layer]), original)[layer]
    found = descend(
        backbone,
        [layer],
        original.shape,
        lambda maps: {layer: measure_content(maps[layer], target)},
        settings,
        on_progress,
    )
    return Reconstruction(layer, found.image, rms_error(found.image, original), found.losses)


def rms_error(one: Image, other: Image) -> float:
    """Root of the mean squared difference of two images' pixels, 0 to 1."""
    return float(np.sqrt(np.mean(np.square(one - other, dtype=np.float64))))
