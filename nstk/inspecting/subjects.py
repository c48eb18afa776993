"""What a descent from noise is about: one image, and the network that looks at it."""

from typing import NamedTuple

from nstk.backbones.backbone import Backbone
from nstk.images.image import Image
from nstk.inspecting.layers import bring_to_size, check_stride, choose_layers
from nstk.settings import InspectSettings
from nstk.stylization.inputs import Source, open_image


class Subject(NamedTuple):
    """An image, the layers that it is seen in, and the network they belong to.

    Attributes:
        image: The Image, at the size that it is looked at.
        layers: From the image to the deepest.
        network: With replicated borders and the pools asked for.
    """

    image: Image
    layers: tuple[str, ...]
    network: Backbone


def open_subject(image: Source, backbone: Backbone, settings: InspectSettings) -> Subject:
    """Read an image and check that every layer has something to see in it.

    Args:
        image: A Image or the path of one.
        backbone: The network.
        settings: Layers, size and pooling.

    Raises:
        ImageError: If it is no image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    layers = choose_layers(backbone, settings.layers)
    network = backbone.prepared(edge="replicate", pooling=settings.pooling)
    loaded = open_image(image, "the image")
    original = bring_to_size(loaded.pixels, settings.size)
    check_stride(original, str(loaded.path), layers, backbone)
    return Subject(original, layers, network)
