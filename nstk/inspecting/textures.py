"""Style: textures with the Gram matrices of an image in layers 1, 1–2, … 1–n.

After Gatys et al. 2015, "Texture Synthesis Using Convolutional Neural Networks", and 2016, fig. 1:
correlations in a few shallow layers capture colors and strokes, those in more layers motifs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.inspecting.optimization import open_subject, optimize_noise
from nstk.progress import Reporter, Stopwatch, no_progress
from nstk.settings import InspectSettings, resolve_settings
from nstk.stylization.inputs import Source, with_range
from nstk.stylization.losses import gram_loss
from nstk.stylization.statistics import Moments, feature_sums, to_moments
from nstk.stylization.styles import extract_features
from nstk.types import FeatureMaps, Json, SettingValue, Tensor


@dataclass(frozen=True, eq=False)
class Texture:
    """An image made from the Gram matrices of some layers.

    Attributes:
        layers: The layers, in forward order.
        image: The optimized image, starting from noise.
        errors: ‖G − G*‖_F / ‖G*‖_F of every inspected layer, including the unused ones.
        losses: The mean over ``layers`` of ‖G − G*‖²_F / ‖G*‖²_F at every step.
    """

    layers: tuple[str, ...]
    image: Image
    errors: Mapping[str, float]
    losses: tuple[float, ...]


@dataclass(frozen=True, eq=False, repr=False)
class StyleInspection:
    """What the Gram matrices of more and more layers keep of an image.

    Attributes:
        original: The image at inspection size.
        textures: From layer 1, from layers 1 and 2, and so on.
        backbone: The network's name.
        steps: Optimization steps.
        seconds: Wall time.
    """

    original: Image
    textures: tuple[Texture, ...]
    backbone: str
    steps: int
    seconds: float

    def __repr__(self) -> str:
        return f"StyleInspection({len(self.textures)} textures, {self.steps} steps each)"

    def to_dict(self) -> dict[str, Json]:
        """Errors and losses as plain values for JSON."""
        height, width, _ = self.original.shape
        return {
            "backbone": self.backbone,
            "width": width,
            "height": height,
            "steps": self.steps,
            "textures": [
                {
                    "layers": each.layers,
                    "errors": each.errors,
                    "loss": each.losses[-1],
                    "losses": each.losses,
                }
                for each in self.textures
            ],
            "seconds": self.seconds,
        }


def inspect_style(
    image: Source,
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> StyleInspection:
    """Make textures from the Gram matrices of layers 1, 1–2, … 1–n of an image.

    Args:
        image: An image or its path.
        value_range: Values of black and white in arrays of floats, as in Keras.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: All settings as one object (layers, size, steps, optimizer, pooling and seed are
            used); or give them as keyword arguments.
        on_progress: Called after every step.
        **options: Fields of `InspectSettings`, instead of ``settings``.

    Returns:
        The textures, the errors of their Gram matrices, and their loss curves.

    Raises:
        ImageError: If the file is not an image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    watch, chosen = Stopwatch(), resolve_settings(InspectSettings, settings, options)
    backbone = load_backbone(backbone, on_progress=on_progress)
    original, layers, network = open_subject(with_range(image, value_range), backbone, chosen)
    targets = layer_moments(extract_features(network.tap(layers), original))
    textures = []
    for count in range(1, len(layers) + 1):
        used = layers[:count]
        optimized = optimize_noise(
            network,
            used,
            original.shape,
            lambda maps: _compare(maps, targets),
            chosen,
            on_progress,
        )
        losses = _compare(extract_features(network.tap(layers), optimized.image), targets)
        errors = {name: float(loss) ** 0.5 for name, loss in losses.items()}
        textures.append(Texture(used, optimized.image, errors, optimized.losses))
    return StyleInspection(original, tuple(textures), backbone.name, chosen.steps, watch.total)


def layer_moments(maps: FeatureMaps) -> dict[str, Moments]:
    """The moments of every layer's feature map."""
    return {name: to_moments(feature_sums(features)) for name, features in maps.items()}


def _compare(maps: FeatureMaps, targets: Mapping[str, Moments]) -> dict[str, Tensor]:
    """‖G − G*‖²_F / ‖G*‖²_F of every layer."""
    return {
        name: gram_loss(moments, targets[name]) for name, moments in layer_moments(maps).items()
    }
