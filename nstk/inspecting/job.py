"""What the layers of a network respond to: activation maps, patches and visualizations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.datasets.listing import SkippedFile
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.inspecting.layers import Field, Filters, choose_layers, read_filters, trace_fields
from nstk.inspecting.patches import (
    Maps,
    Patch,
    find_responses,
    find_sources,
    strongest_channels,
    survey_images,
)
from nstk.inspecting.visualization import choose_side, visualize_channels
from nstk.progress import Reporter, Stopwatch, no_progress
from nstk.settings import InspectSettings, resolve_settings
from nstk.stylization.inputs import Source
from nstk.types import Json, SettingValue


@dataclass(frozen=True, eq=False)
class ChannelInspection:
    """What one channel responds to.

    The energy is its mean squared activation over all positions of the images, the activation its
    feature map of the first image, ``(height, width)``.
    """

    channel: int
    energy: float
    activation: Maps
    patches: tuple[Patch, ...]
    visualization: Image


@dataclass(frozen=True, eq=False)
class LayerInspection:
    """What one layer responds to: those of its ``width`` channels with the most energy."""

    layer: str
    stride: int
    field: Field
    width: int
    channels: tuple[ChannelInspection, ...]


@dataclass(frozen=True, eq=False, repr=False)
class NetworkInspection:
    """What the layers of a network respond to; ``image`` is the first one at inspection size."""

    backbone: str
    names: tuple[str, ...]
    image: Image
    filters: Filters | None
    layers: tuple[LayerInspection, ...]
    skipped: tuple[SkippedFile, ...]
    seconds: float

    def __repr__(self) -> str:
        return (
            f"NetworkInspection({self.backbone}, {len(self.layers)} layers, "
            f"{len(self.names)} images)"
        )

    def to_dict(self) -> dict[str, Json]:
        """Filters, channels and patches as plain values for JSON, without pixels."""
        filters = self.filters
        return {
            "backbone": self.backbone,
            "images": list(self.names),
            "skipped": [file.to_dict() for file in self.skipped],
            "filters": filters
            and {
                "layer": filters.layer,
                "count": len(filters.kernels),
                "oriented": filters.oriented,
                "opponent": filters.opponent,
            },
            "layers": [self._describe(layer) for layer in self.layers],
            "seconds": self.seconds,
        }

    def _describe(self, layer: LayerInspection) -> dict[str, Json]:
        return {
            "layer": layer.layer,
            "stride": layer.stride,
            "receptive_field": [layer.field.height, layer.field.width],
            "channels": [
                {
                    "channel": each.channel,
                    "energy": each.energy,
                    "patches": [
                        {
                            "image": self.names[patch.source],
                            "top": patch.top,
                            "left": patch.left,
                            "activation": patch.activation,
                        }
                        for patch in each.patches
                    ],
                }
                for each in layer.channels
            ],
        }


def inspect_layers(
    images: Source | Sequence[Source],
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> NetworkInspection:
    """Show what layers of a network respond to.

    Args:
        images: Images, files, and folders, which are searched recursively.
        value_range: Values of black and white in arrays of floats, as in Keras.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: Layers, size, channels, steps and seed, if not given as keyword arguments.
        on_progress: Called for every image and after every step.
        **options: Fields of `InspectSettings`.

    Raises:
        NstkError: If no image is large enough, or the network has no such layer.
    """
    watch, chosen = Stopwatch(), resolve_settings(InspectSettings, settings, options)
    backbone = load_backbone(backbone, on_progress=on_progress)
    layers = choose_layers(backbone, chosen.layers)
    sources, skipped = find_sources(images, value_range)
    survey = survey_images(sources, layers, backbone, chosen.size, on_progress)
    energies = survey.energies
    strongest = {layer: strongest_channels(energies[layer], chosen.channels) for layer in layers}
    responses = find_responses(survey.sources, strongest, backbone, chosen.size, on_progress)
    network, fields = backbone.prepared(edge="replicate"), trace_fields(backbone)
    inspected = []
    for layer in layers:
        energy, stride, field = energies[layer], backbone.stride(layer), fields[layer]
        visualizations = visualize_channels(
            network,
            layer,
            strongest[layer],
            side=choose_side(field, stride),
            steps=chosen.steps,
            seed=chosen.seed,
            on_progress=on_progress,
        )
        channels = tuple(
            ChannelInspection(channel, float(energy[channel]), *response, image)
            for channel, response, image in zip(
                strongest[layer], responses[layer], visualizations, strict=True
            )
        )
        inspected.append(LayerInspection(layer, stride, field, len(energy), channels))
    return NetworkInspection(
        backbone=backbone.name,
        names=survey.names,
        image=survey.first,
        filters=read_filters(backbone),
        layers=tuple(inspected),
        skipped=(*skipped, *survey.skipped),
        seconds=watch.total,
    )
