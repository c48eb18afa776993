"""What layers keep of an image, shown by optimizing white noise until it has their features.

Content, after Mahendran and Vedaldi 2015, "Understanding Deep Image Representations by Inverting
Them", and Gatys et al. 2016, fig. 1: shallow layers keep the pixels; deep layers keep the objects,
but neither their exact positions nor their colors. Style, after Gatys et al. 2015, "Texture
Synthesis Using Convolutional Neural Networks": correlations in a few shallow layers capture colors
and strokes, those in more layers motifs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.inspecting.optimization import Subject, open_subject, optimize_noise
from nstk.progress import Reporter, Stopwatch, no_progress
from nstk.settings import InspectSettings, resolve_settings
from nstk.stylization.inputs import Source, with_range
from nstk.stylization.losses import content_loss, gram_loss
from nstk.stylization.statistics import Moments, feature_sums, to_moments
from nstk.stylization.styles import extract_features
from nstk.types import FeatureMaps, Json, SettingValue, Tensor


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An image reconstructed from the feature map of one layer.

    The losses are ½‖a − a*‖² / ½‖a*‖² at every step; the error is the root-mean-square difference
    from the original's pixels. Snapshots are images on the way with their steps.
    """

    layer: str
    image: Image
    error: float
    losses: tuple[float, ...]
    snapshots: tuple[tuple[int, Image], ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class ContentInspection:
    """What each layer keeps of an image, which is at inspection size."""

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
        return {
            **_describe(self),
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
    subject = open_subject(with_range(image, value_range), backbone, chosen)
    made = [_reconstruct(subject, layer, on_progress) for layer in subject.layers]
    return ContentInspection(subject.image, tuple(made), backbone.name, chosen.steps, watch.total)


def _reconstruct(subject: Subject, layer: str, on_progress: Reporter) -> Reconstruction:
    target = extract_features(subject.network.tap([layer]), subject.image)[layer]

    def compare(maps: FeatureMaps) -> dict[str, Tensor]:
        return {layer: content_loss(maps[layer], target)}

    made = optimize_noise(subject, [layer], compare, on_progress)
    error = rms_error(made.image, subject.image)
    return Reconstruction(layer, made.image, error, made.losses, made.snapshots)


def rms_error(one: Image, other: Image) -> float:
    """Root-mean-square difference of two images' pixels, 0 to 1."""
    return float(np.sqrt(np.mean(np.square(one - other, dtype=np.float64))))


@dataclass(frozen=True, eq=False)
class Texture:
    """An image made from the Gram matrices of some layers.

    The losses are the mean over these layers of ‖G − G*‖²_F / ‖G*‖²_F at every step; the errors,
    ‖G − G*‖_F / ‖G*‖_F, are of every inspected layer, including the unused ones. Snapshots are
    images on the way with their steps.
    """

    layers: tuple[str, ...]
    image: Image
    errors: Mapping[str, float]
    losses: tuple[float, ...]
    snapshots: tuple[tuple[int, Image], ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class StyleInspection:
    """What the Gram matrices of layers 1, 1–2, … 1–n keep of an image."""

    original: Image
    textures: tuple[Texture, ...]
    backbone: str
    steps: int
    seconds: float

    def __repr__(self) -> str:
        return f"StyleInspection({len(self.textures)} textures, {self.steps} steps each)"

    def to_dict(self) -> dict[str, Json]:
        """Errors and losses as plain values for JSON."""
        return {
            **_describe(self),
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
    subject = open_subject(with_range(image, value_range), backbone, chosen)
    taps = subject.network.tap(subject.layers)
    targets = layer_moments(extract_features(taps, subject.image))
    compare, textures = partial(_compare, targets=targets), []
    for count in range(1, len(subject.layers) + 1):
        used = subject.layers[:count]
        made = optimize_noise(subject, used, compare, on_progress)
        final = compare(extract_features(taps, made.image))
        errors = {name: float(loss) ** 0.5 for name, loss in final.items()}
        textures.append(Texture(used, made.image, errors, made.losses, made.snapshots))
    return StyleInspection(subject.image, tuple(textures), backbone.name, chosen.steps, watch.total)


def layer_moments(maps: FeatureMaps) -> dict[str, Moments]:
    """The moments of every layer's feature map."""
    return {name: to_moments(feature_sums(features)) for name, features in maps.items()}


def _compare(maps: FeatureMaps, targets: Mapping[str, Moments]) -> dict[str, Tensor]:
    """‖G − G*‖²_F / ‖G*‖²_F of every layer."""
    return {
        name: gram_loss(moments, targets[name]) for name, moments in layer_moments(maps).items()
    }


def _describe(made: ContentInspection | StyleInspection) -> dict[str, Json]:
    height, width, _ = made.original.shape
    return {"backbone": made.backbone, "width": width, "height": height, "steps": made.steps}
