"""Content: what is left of a picture in each layer, seen by descending on the content loss alone.

After Mahendran and Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them", and
Gatys et al. 2016, fig. 1: a layer near the picture keeps its pixels, a deep one keeps what is there
and forgets where exactly, and in which colour.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.images.image import Picture
from nstk.inspecting.optimizations import descend
from nstk.inspecting.subjects import open_subject
from nstk.progress import Reporter, ignore
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source
from nstk.stylization.losses import measure_content
from nstk.stylization.preparing import find_network
from nstk.stylization.styles import look


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A picture made anew from what one layer sees in it.

    Attributes:
        layer: The content layer k.
        picture: The Picture that the descent on its content loss found, from noise.
        error: Root of the mean squared difference of its pixels from the original's.
        losses: ½‖a − a*‖² / ½‖a*‖² of the layer at every step.
    """

    layer: str
    picture: Picture
    error: float
    losses: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class ContentInspection:
    """What each layer keeps of a picture.

    Attributes:
        original: The picture as it was looked at.
        reconstructions: One for each layer, from the picture to the deepest.
        backbone: The network's name.
        steps: Of every descent.
        seconds: Wall time.
    """

    original: Picture
    reconstructions: tuple[Reconstruction, ...]
    backbone: str
    steps: int
    seconds: float


def inspect_content(
    picture: Source,
    *,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = ignore,
) -> ContentInspection:
    """Reconstruct a picture from each layer alone, starting from white noise.

    Args:
        picture: A Picture or the path of one.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: Layers, size, steps, minimizer, pooling and seed.
        on_progress: Told of every step.

    Returns:
        The reconstructions, their errors and the curves of their losses.

    Raises:
        PictureError: If it is no picture, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    began, settings = time.monotonic(), settings or InspectSettings()
    backbone = find_network(backbone, on_progress)
    original, layers, network = open_subject(picture, backbone, settings)
    made = [_reconstruct(network, layer, original, settings, on_progress) for layer in layers]
    seconds = time.monotonic() - began
    return ContentInspection(original, tuple(made), backbone.name, settings.steps, seconds)


def _reconstruct(
    backbone: Backbone,
    layer: str,
    original: Picture,
    settings: InspectSettings,
    on_progress: Reporter,
) -> Reconstruction:
    target = look(backbone.tap([layer]), original)[layer]
    found = descend(
        backbone,
        [layer],
        original.shape,
        lambda maps: {layer: measure_content(maps[layer], target)},
        settings,
        on_progress,
    )
    return Reconstruction(layer, found.picture, rms_error(found.picture, original), found.losses)


def rms_error(one: Picture, other: Picture) -> float:
    """Root of the mean squared difference of two pictures' pixels, 0 to 1."""
    return float(np.sqrt(np.mean(np.square(one - other, dtype=np.float64))))
