"""What layers keep of an image, shown by optimizing white noise until it has their features.

Content, after Mahendran and Vedaldi 2015, "Understanding Deep Image Representations by Inverting
Them", and Gatys et al. 2016, fig. 1: shallow layers keep the pixels; deep layers keep the objects,
but neither their exact positions nor their colors. Style, after Gatys et al. 2015, "Texture
Synthesis Using Convolutional Neural Networks": correlations in a few shallow layers capture colors
and strokes, those in more layers motifs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.errors import DivergenceError
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.inspecting.layers import check_stride, choose_layers, limit_size
from nstk.optimizers import Evaluation, choose_optimizer
from nstk.progress import Progress, Reporter, Stopwatch, no_progress
from nstk.settings import InspectSettings, resolve_settings
from nstk.stylization.inputs import Source, open_image, with_range
from nstk.stylization.losses import content_loss, gram_loss
from nstk.stylization.statistics import Moments, feature_sums, to_moments
from nstk.stylization.styles import extract_features
from nstk.types import FeatureMaps, Json, SettingValue, Tensor

Compare = Callable[[FeatureMaps], Mapping[str, Tensor]]
"""From feature maps by layer to the loss of each layer."""


class Subject(NamedTuple):
    """An image at inspection size, the layers in forward order, and the prepared network."""

    image: Image
    layers: tuple[str, ...]
    network: Backbone
    settings: InspectSettings


def open_subject(image: Source, backbone: Backbone, settings: InspectSettings) -> Subject:
    """Read an image and check that it is large enough for every layer."""
    layers = choose_layers(backbone, settings.layers)
    loaded = open_image(image, "the image")
    original = limit_size(loaded.pixels, settings.size)
    check_stride(original, str(loaded.path), layers, backbone)
    network = backbone.prepared(edge="replicate", pooling=settings.pooling)
    return Subject(original, layers, network, settings)


def optimize_noise(
    subject: Subject, layers: Sequence[str], compare: Compare, on_progress: Reporter
) -> tuple[Image, tuple[float, ...]]:
    """Minimize the mean loss of some layers, from white noise; also the loss at each step."""
    settings, taps = subject.settings, subject.network.tap(layers)

    def evaluate(image: Tensor) -> Evaluation:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            terms = dict(compare(taps(image[tf.newaxis], training=False)))
            loss = tf.add_n(list(terms.values())) / len(terms)
        return Evaluation(loss, tape.gradient(loss, image), terms)

    optimizer = choose_optimizer(settings.optimizer, bounds=(0.0, 1.0))
    advance = tf.function(partial(optimizer.step, evaluate))
    noise = np.random.default_rng(settings.seed).random(subject.image.shape, np.float32)
    x = tf.constant(noise)
    state, losses = optimizer.init(x), list[float]()
    report = partial(Progress, stage=layers[-1], total=settings.steps)
    on_progress(report(step=0))
    for step in range(1, settings.steps + 1):
        x, state, evaluation = advance(x, state)
        losses.append(float(evaluation.loss))
        if not math.isfinite(losses[-1]):
            raise DivergenceError(
                f"the loss of {', '.join(layers)} is {losses[-1]} at step {step}; it must be "
                "finite: choose another `optimizer`, or check the weights of the backbone."
            )
        on_progress(report(step=step, loss=losses[-1]))
    return np.clip(optimizer.result(x, state).numpy(), 0, 1), tuple(losses)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """An image reconstructed from the feature map of one layer.

    The losses are ½‖a − a*‖² / ½‖a*‖² at every step; the error is the root-mean-square difference
    from the original's pixels.
    """

    layer: str
    image: Image
    error: float
    losses: tuple[float, ...]


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

    image, losses = optimize_noise(subject, [layer], compare, on_progress)
    return Reconstruction(layer, image, rms_error(image, subject.image), losses)


def rms_error(one: Image, other: Image) -> float:
    """Root-mean-square difference of two images' pixels, 0 to 1."""
    return float(np.sqrt(np.mean(np.square(one - other, dtype=np.float64))))


@dataclass(frozen=True, eq=False)
class Texture:
    """An image made from the Gram matrices of some layers.

    The losses are the mean over these layers of ‖G − G*‖²_F / ‖G*‖²_F at every step; the errors,
    ‖G − G*‖_F / ‖G*‖_F, are of every inspected layer, including the unused ones.
    """

    layers: tuple[str, ...]
    image: Image
    errors: Mapping[str, float]
    losses: tuple[float, ...]


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
        made, losses = optimize_noise(subject, used, compare, on_progress)
        final = compare(extract_features(taps, made))
        errors = {name: float(loss) ** 0.5 for name, loss in final.items()}
        textures.append(Texture(used, made, errors, losses))
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
