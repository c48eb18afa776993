"""Content: what each layer keeps of an image, shown by minimizing the content loss alone.

After Mahendran and Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them", and
Gatys et al. 2016, fig. 1: shallow layers keep the pixels; deep layers keep the objects, but neither
their exact positions nor their colors.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.inspecting.optimization import open_subject, optimize_noise
from nstk.progress import Reporter, Stopwatch, no_progress
from nstk.settings import InspectSettings, resolve_settings
from nstk.stylization.inputs import Source, with_range
from nstk.stylization.losses import content_loss
from nstk.stylization.styles import extract_features
from nstk.types import Json, SettingValue


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An image reconstructed from the feature map of one layer.

    Attributes:
        layer: The content layer k.
        image: The image that minimizes its content loss, starting from noise.
        error: Root-mean-square difference from the original's pixels.
        losses: ½‖a − a*‖² / ½‖a*‖² of the layer at every step.
    """

    layer: str
    image: Image
    error: float
    losses: tuple[float, ...]


@dataclass(frozen=True, eq=False, repr=False)
class ContentInspection:
    """What each layer keeps of an image.

    Attributes:
        original: The image at inspection size.
        reconstructions: One for each layer, in forward order.
        backbone: The network's name.
        steps: Optimization steps.
        seconds: Wall time.
    """

    original: Image
    reconstructions: tuple[Reconstruction, ...]
    backbone: str
    steps: int
    seconds: float

    def __repr__(self) -> str:
        errors = ", ".join(f"{each.layer} {each.error:.3f}" for each in self.reconstructions)
        return f"ContentInspection({errors})"

    def to_dict(self) -> dict[str, Json]:
        """Errors and losses as plain values for JSON."""
        height, width, _ = self.original.shape
        return {
            "backbone": self.backbone,
            "width": width,
            "height": height,
            "steps": self.steps,
            "layers": [
                {
                    "layer": each.layer,
                    "error": each.error,
                    "loss": each.losses[-1],
                    "losses": each.losses,
                }
                for each in self.reconstructions
            ],
            "seconds": self.seconds,
        }


def inspect_content(
    image: Source,
    *,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "compact",
    settings: InspectSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> ContentInspection:
    """Reconstruct an image from each layer alone, starting from white noise.

    Args:
        image: An image or its path.
        value_range: Values of black and white in arrays of floats, as in Keras.
        backbone: The network, or a name for `nstk.load_backbone`.
        settings: All settings as one object (layers, size, steps, optimizer, pooling and seed are
            used); or give them as keyword arguments.
        on_progress: Called after every step.
        **options: Fields of `InspectSettings`, instead of ``settings``.

    Returns:
        The reconstructions, their errors and their loss curves.

    Raises:
        ImageError: If the file is not an image, or too small for a layer.
        BackboneError: If the network has no such layer.
    """
    watch, chosen = Stopwatch(), resolve_settings(InspectSettings, settings, options)
    backbone = load_backbone(backbone, on_progress=on_progress)
    original, layers, network = open_subject(with_range(image, value_range), backbone, chosen)
    made = [_reconstruct(network, layer, original, chosen, on_progress) for layer in layers]
    return ContentInspection(original, tuple(made), backbone.name, chosen.steps, watch.total)


def _reconstruct(
    backbone: Backbone,
    layer: str,
    original: Image,
    settings: InspectSettings,
    on_progress: Reporter,
) -> Reconstruction:
    target = extract_features(backbone.tap([layer]), original)[layer]
    optimized = optimize_noise(
        backbone,
        [layer],
        original.shape,
        lambda maps: {layer: content_loss(maps[layer], target)},
        settings,
        on_progress,
    )
    return Reconstruction(
        layer, optimized.image, rms_error(optimized.image, original), optimized.losses
    )


def rms_error(one: Image, other: Image) -> float:
    """Root-mean-square difference of two images' pixels, 0 to 1."""
    return float(np.sqrt(np.mean(np.square(one - other, dtype=np.float64))))
