"""What the layers of a network respond to: activation maps, patches, and what a channel likes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.datasets.listing import SkippedFile
from nstk.images.image import Image
from nstk.inspecting.excitation import Maps, Patch, pick_strongest
from nstk.inspecting.filters import Filters, read_filters
from nstk.inspecting.layers import Field, choose_layers, trace_fields
from nstk.inspecting.survey import find_responses, gather_images, survey_images
from nstk.inspecting.visualization import choose_side, visualize_channels
from nstk.progress import Reporter, no_progress
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source
from nstk.stylization.preparing import find_network


@dataclass(frozen=True, eq=False)
class ChannelInspection:
    """What one channel responds to.

    Attributes:
        channel: Its number.
        energy: Its mean squared activation over all places of the images.
        activation: Its feature map of the first image, ``(height, width)``.
        patches: The nine patches that excite it most, the strongest first, as one cell sees them.
        visualization: A Image found by gradient ascent on its mean activation.
    """

    channel: int
    energy: float
    activation: Maps
    patches: tuple[Patch, ...]
    visualization: Image


@dataclass(frozen=True, eq=False)
class LayerInspection:
    """What one layer responds to.

    Attributes:
        layer: Its name.
        stride: Pixels from one of its cells to the next.
        field: What one of its cells sees.
        width: How many channels it has.
        channels: The strongest of them, the strongest first.
    """

    layer: str
    stride: int
    field: Field
    width: int
    channels: tuple[ChannelInspection, ...]


@dataclass(frozen=True, eq=False)
class NetworkInspection:
    """What the layers of a network respond to.

    Attributes:
        backbone: The network's name.
        names: Of the images that were looked at.
        image: The first of them, as it was looked at.
        filters: Those of the first convolution; None where it does not see three colors.
        layers: From the image to the deepest.
        skipped: Files that were left out, and why.
        seconds: Wall time.
    """

    backbone: str
    names: tuple[str, ...]
    image: Image
    filters: Filters | None
    layers: tuple[LayerInspection, ...]
    skipped: tuple[SkippedFile, ...]
    seconds: float


def inspect_layers(
    images: Source | Sequence[Source],
    *,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = no_progress,
) -> NetworkInspection:
    """Show what layers of a network respond to.

    Args:
        images: What it is shown: Images, files, and folders, which are searched to the bottom.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: Layers, size, channels, steps and seed.
        on_progress: Told of every image and of every step of gradient ascent.

    Returns:
        For each layer its strongest channels: where the first image excites them, the patches
        that excite them most, and what they like best.

    Raises:
        ImageError: If there is no image, or none is large enough for the layers.
        BackboneError: If the network has no such layer.
    """
    began, settings = time.monotonic(), settings or InspectSettings()
    backbone = find_network(backbone, on_progress)
    layers = choose_layers(backbone, settings.layers)
    sources, skipped = gather_images(images)
    survey = survey_images(sources, layers, backbone, settings.size, on_progress)
    strongest = {
        layer: pick_strongest(energy, settings.channels)
        for layer, energy in survey.energies.items()
    }
    responses = find_responses(survey.sources, strongest, backbone, settings.size, on_progress)
    fields, network = trace_fields(backbone), backbone.prepared(edge="replicate")
    found = []
    for layer in layers:
        stride = backbone.stride(layer)
        liked = visualize_channels(
            network,
            layer,
            strongest[layer],
            side=choose_side(fields[layer], stride),
            steps=settings.steps,
            seed=settings.seed,
            on_progress=on_progress,
        )
        channels = tuple(
            ChannelInspection(channel, float(survey.energies[layer][channel]), *response, image)
            for channel, response, image in zip(
                strongest[layer], responses[layer], liked, strict=True
            )
        )
        width = len(survey.energies[layer])
        found.append(LayerInspection(layer, stride, fields[layer], width, channels))
    return NetworkInspection(
        backbone=backbone.name,
        names=survey.names,
        image=survey.first,
        filters=read_filters(backbone),
        layers=tuple(found),
        skipped=(*skipped, *survey.skipped),
        seconds=time.monotonic() - began,
    )
