"""What a descent from noise is about: one picture, and the network that looks at it."""

from typing import NamedTuple

from nstk.backbones.backbone import Backbone
from nstk.images.image import Picture
from nstk.inspecting.layers import bring_to_size, check_stride, choose_layers
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source, open_picture


class Subject(NamedTuple):
    """A picture, the layers that it is seen in, and the network they belong to.

    Attributes:
        picture: The Picture, at the size that it is looked at.
        layers: From the picture to the deepest.
        network: With replicated borders and the pools asked for.
    """

    picture: Picture
    layers: tuple[str, ...]
    network: Backbone


def open_subject(picture: Source, backbone: Backbone, settings: InspectSettings) -> Subject:
    """Read a picture and check that every layer has something to see in it.

    Args:
        picture: A Picture or the path of one.
        backbone: The network.
        settings: Layers, size and pooling.

    Raises:
        PictureError: If it is no picture, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    layers = choose_layers(backbone, settings.layers)
    network = backbone.prepared(edge="replicate", pooling=settings.pooling)
    loaded = open_picture(picture, "the picture")
    original = bring_to_size(loaded.pixels, settings.size)
    check_stride(original, str(loaded.path), layers, backbone)
    return Subject(original, layers, network)
