"""Architectures of the packaged networks; `examples/` shows where their weights come from."""

from collections.abc import Sequence

import keras

from nstk.backbones.keras_config import pinned_keras_config
from nstk.errors import SettingsError
from nstk.types import KerasModel, Tensor

WIDTHS = (16, 32, 64, 160, 384)
DEPTHS = (2, 2, 3, 3, 2)

InputShape = tuple[int | None, int | None, int]
ANY_SIZE: InputShape = (None, None, 3)

LITE0_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, channels, blocks, stride of the first block, and side of the kernel of each stage."""

LITE0_STEM, LITE0_HEAD = 32, 1280


@pinned_keras_config()
def build_compact(
    input_shape: InputShape = ANY_SIZE,
    widths: Sequence[int] = WIDTHS,
    depths: Sequence[int] = DEPTHS,
) -> KerasModel:
    """Build a network with the layout of VGG, without trained weights.

    Every block is a sequence of 3×3 convolutions with bias and ReLU. There is a 2×2 max-pool
    between two blocks and none after the last. Layers are named as in Keras's VGG19
    (``block1_conv1``, ``block1_pool``, …), so the same layer names work for both networks.
    """
    if len(widths) != len(depths) or not widths:
        raise SettingsError(
            f"`widths` has {len(widths)} values and `depths` has {len(depths)}; give one of each "
            "per block, and at least one block."
        )
    layers = keras.layers
    inputs = keras.Input(input_shape, name="image")
    # From [0, 1] to a mean of about 0 and a standard deviation of about 1, as in training.
    maps = layers.Rescaling(4.0, offset=-1.8, name="preprocessing")(inputs)
    for block, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        if block > 1:
            maps = layers.MaxPooling2D(2, name=f"block{block - 1}_pool")(maps)
        for number in range(1, depth + 1):
            name = f"block{block}_conv{number}"
            maps = layers.Conv2D(width, 3, padding="same", activation="relu", name=name)(maps)
    return keras.Model(inputs, maps, name="compact")


@pinned_keras_config()
def build_efficientnet_lite0(
    input_shape: InputShape = ANY_SIZE,
    stages: Sequence[tuple[int, int, int, int, int]] = LITE0_STAGES,
    stem: int = LITE0_STEM,
    head: int = LITE0_HEAD,
) -> KerasModel:
    """Build EfficientNet-Lite0 (Tan and Le 2019; Liu 2020), without its top and trained weights.

    It is EfficientNet without squeeze-and-excitation and with ReLU6. Layers are named as in Keras's
    EfficientNets (``block2a_expand_conv``, ``block2b_add``, ``top_activation``, …). ``stem`` and
    ``head`` are the channels of the first and of the last convolution.
    """
    layers = keras.layers
    inputs = keras.Input(input_shape, name="image")
    # (x − 127) / 128 on values 0 to 255.
    maps = layers.Rescaling(255 / 128, offset=-127 / 128, name="preprocessing")(inputs)
    maps = layers.Conv2D(stem, 3, 2, padding="same", use_bias=False, name="stem_conv")(maps)
    maps = _activate(_normalize(maps, "stem"), "stem")
    for number, (expansion, channels, blocks, stride, kernel) in enumerate(stages, start=1):
        for block in range(blocks):
            step = 1 if block else stride
            name = f"block{number}{'abcdefgh'[block]}"
            maps = _mobile_block(maps, name, (expansion, channels, step, kernel))
    maps = layers.Conv2D(head, 1, use_bias=False, name="top_conv")(maps)
    maps = _activate(_normalize(maps, "top"), "top")
    return keras.Model(inputs, maps, name="efficientnet_lite0")


def _mobile_block(maps: Tensor, name: str, shape: tuple[int, int, int, int]) -> Tensor:
    """An inverted residual block: wider, depthwise, narrower; added to its input if it fits."""
    layers, (expansion, channels, stride, kernel) = keras.layers, shape
    wide = maps
    if expansion > 1:
        wide = layers.Conv2D(
            expansion * maps.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv"
        )(maps)
        wide = _activate(_normalize(wide, f"{name}_expand"), f"{name}_expand")
    wide = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )(wide)
    wide = _activate(_normalize(wide, name), name)
    narrow = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(wide)
    narrow = _normalize(narrow, f"{name}_project")
    if stride == 1 and maps.shape[-1] == channels:
        return layers.Add(name=f"{name}_add")([maps, narrow])
    return narrow


def _normalize(maps: Tensor, name: str) -> Tensor:
    return keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(maps)


def _activate(maps: Tensor, name: str) -> Tensor:
    return keras.layers.ReLU(6.0, name=f"{name}_activation")(maps)
