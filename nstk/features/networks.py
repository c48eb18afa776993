"""Keras models from images to features.

A classifier is one plain Keras graph

    image → scale → samples → square → backbone → features → head → probabilities

made of Keras's own layers, so that it loads without nstk. With several crops, the layer ``square``
holds them all, ``(N, crops, size, size, 3)``, and ``features`` is their mean. Heads are fitted on
features from the same layers, from ``square`` on; the crops come from `nstk.features.crops`, which
computes what the layers before it compute. So a head is fitted on what the saved classifier sees.
"""

from collections.abc import Sequence

import keras

from nstk.backbones.backbone import Backbone, activated_taps
from nstk.backbones.keras_config import pinned_keras_config
from nstk.errors import SettingsError
from nstk.features.crops import CROPS, Crop, plan_sampling
from nstk.types import KerasModel, Tensor

SQUARE = "square"
FEATURES = "features"

POOLED = "pooled"
STATISTICS = "statistics"
BLOCKS: dict[str, tuple[str, ...]] = {
    "pooled": (POOLED,),
    "pooled+statistics": (POOLED, STATISTICS),
}
"""The blocks of each choice of features."""

_EPSILON = 1e-6


def choose_statistics_taps(backbone: Backbone) -> tuple[str, ...]:
    """The first activation after each change of stride: colors and textures, fine to coarse."""
    return tuple(names[0] for _, names in sorted(activated_taps(backbone).items()))


@pinned_keras_config()
def build_feature_network(backbone: Backbone, size: int, blocks: Sequence[str]) -> KerasModel:
    """Build the model from crops ``(N, size, size, 3)`` in ``[0, 1]`` to ``{block: (N, D)}``.

    Blocks are ``"pooled"``, the mean of the last feature map; ``"statistics"``, the mean and the
    standard deviation of every channel of `choose_statistics_taps`; or the name of a tap, for the
    mean of its channels.
    """
    square = keras.Input((size, size, 3), name=SQUARE)
    return keras.Model(square, _feature_blocks(backbone, square, blocks, prefix=""))


@pinned_keras_config()
def build_extractor(
    backbone: Backbone, size: int, features: str = POOLED, crops: Sequence[Crop] = CROPS[:1]
) -> KerasModel:
    """Build the model from images ``(N, H, W, 3)``, values 0 to 255, to vectors ``(N, D)``.

    Values are scaled first: a resize of uint8 would round, and differently in eager and compiled
    mode. A vector is the mean over the crops; ``features`` is a key of `BLOCKS`.
    """
    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    scaled = layers.Rescaling(1 / 255, name="scale")(image)
    if len(crops) == 1:
        square = _crop_layers(scaled, size, crops[0], "")
        outputs = _feature_blocks(backbone, square, BLOCKS[features], prefix="")
        return keras.Model(image, _concatenate(outputs, FEATURES), name="extractor")
    squares = [_crop_layers(scaled, size, crop, f"_{number}") for number, crop in enumerate(crops)]
    rows = [
        layers.Reshape((1, size, size, 3), name=f"view_{number}")(square)
        for number, square in enumerate(squares)
    ]
    square = layers.Concatenate(axis=1, name=SQUARE)(rows)
    batch = keras.ops.reshape(square, (-1, size, size, 3))
    outputs = _feature_blocks(backbone, batch, BLOCKS[features], prefix="view_")
    vectors = _concatenate(outputs, "view_features")
    grouped = keras.ops.reshape(vectors, (-1, len(crops), vectors.shape[-1]))
    mean = layers.GlobalAveragePooling1D(name=FEATURES)(grouped)
    return keras.Model(image, mean, name="extractor")


def _crop_layers(scaled: Tensor, size: int, crop: Crop, suffix: str) -> Tensor:
    """One crop of the images, as `nstk.features.crops` defines it."""
    layers, plan = keras.layers, plan_sampling(crop, size)
    name = f"samples{suffix}"
    samples = layers.Resizing(plan.side, plan.side, crop_to_aspect_ratio=True, name=name)(scaled)
    if plan.side > plan.window:
        below, right = (plan.side - plan.window - edge for edge in (plan.top, plan.left))
        edges = (plan.top, below), (plan.left, right)
        samples = layers.Cropping2D(edges, name=f"window{suffix}")(samples)
    rows = _antialias(samples, plan.factor, (1, 0), f"rows{suffix}")
    last = f"columns{suffix}" if crop.flipped or suffix else SQUARE
    columns = _antialias(rows, plan.factor, (0, 1), last)
    return keras.ops.flip(columns, axis=2) if crop.flipped else columns


def _antialias(samples: Tensor, factor: int, axes: tuple[int, int], name: str) -> Tensor:
    """Twice the mean of the k samples of each pixel less the mean of the 2·k around it."""
    layers = keras.layers
    steps = tuple(factor if axis else 1 for axis in axes)
    wide = tuple(2 * factor if axis else 1 for axis in axes)
    near = layers.AveragePooling2D(steps, steps, name=f"{name}_near")(samples)
    far = layers.AveragePooling2D(wide, steps, padding="same", name=f"{name}_far")(samples)
    twice = layers.Rescaling(2.0, name=f"{name}_twice")(near)
    return layers.Subtract(name=name)([twice, far])


def _feature_blocks(
    backbone: Backbone, crops: Tensor, blocks: Sequence[str], prefix: str
) -> dict[str, Tensor]:
    """The blocks of features of the crops, by name."""
    network, layers = backbone.model, keras.layers
    measured = choose_statistics_taps(backbone) if STATISTICS in blocks else ()
    if STATISTICS in blocks and not measured:
        raise SettingsError(
            f"`features` needs maps of earlier layers, which '{backbone.name}' does not have; use "
            "`features='pooled'`."
        )
    named = tuple(block for block in blocks if block not in (POOLED, STATISTICS))
    taps = (*measured, *named)
    outputs = [network.outputs[0], *(network.get_layer(name).output for name in taps)]
    frozen = keras.Model(network.inputs[0], outputs if taps else outputs[0], name="backbone")
    frozen.trainable = False
    try:
        # Keras's resizing layers would switch everything after them to training mode.
        outputs = frozen(crops, training=False)
    except ValueError as error:
        fixed = network.input_shape[1]
        raise SettingsError(
            f"`size` is {crops.shape[1]}, but '{backbone.name}' takes {fixed} only."
            if fixed
            else f"`size` is {crops.shape[1]}, too small for '{backbone.name}'; "
            f"it was trained at {backbone.input_size}, choose a size closer to it."
        ) from error
    last, *maps = outputs if taps else [outputs]
    pooled = f"{prefix}{POOLED}" if taps else f"{prefix}{FEATURES}"
    features = {POOLED: layers.GlobalAveragePooling2D(name=pooled)(last)}
    if measured:
        moments = [moment for each in maps[: len(measured)] for moment in channel_moments(each)]
        features[STATISTICS] = layers.Concatenate(name=f"{prefix}{STATISTICS}")(moments)
    for block, each in zip(named, maps[len(measured) :], strict=True):
        mean = layers.GlobalAveragePooling2D(name=f"{prefix}mean_{block}")
        features[block] = mean(each)
    return features


def channel_moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel.

    Rows and columns are averaged one after the other: LiteRT adds numbers in a sequence, which
    loses digits over thousands of them.
    """

    def mean(maps: Tensor) -> Tensor:
        rows = keras.ops.mean(maps, axis=1, keepdims=True)
        return keras.ops.mean(rows, axis=2, keepdims=True)

    means = mean(maps)
    centered = maps - means
    # The gradient of the root would be infinite where a channel is zero everywhere.
    stds = keras.ops.sqrt(mean(centered * centered) + _EPSILON)
    return tuple(keras.ops.squeeze(each, axis=(1, 2)) for each in (means, stds))


def _concatenate(blocks: dict[str, Tensor], name: str) -> Tensor:
    if len(blocks) == 1:
        return blocks[POOLED]
    return keras.layers.Concatenate(name=name)([*blocks.values()])
