"""Architecture of the packaged network: VGG's layout with a twelfth of its computation."""

from collections.abc import Sequence

import keras

from nstk.backbones.keras_config import pinned_keras_config
from nstk.errors import SettingsError
from nstk.types import KerasModel

WIDTHS = (16, 32, 64, 160, 384)
DEPTHS = (2, 2, 3, 3, 2)


@pinned_keras_config()
def build_compact(
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    widths: Sequence[int] = WIDTHS,
    depths: Sequence[int] = DEPTHS,
) -> KerasModel:
    """Build a network with the layout of VGG, without trained weights.

    Every block is a sequence of 3×3 convolutions with bias and ReLU. There is a 2×2 max-pool
    between two blocks and none after the last. Layers are named as in Keras's VGG19
    (``block1_conv1``, ``block1_pool``, …), so the same layer names work for both networks.

    Args:
        input_shape: Height, width and channels of an image; ``None`` is any size.
        widths: Channels of each block.
        depths: Convolutions of each block.

    Returns:
        A ``keras.Model`` with newly initialized weights, from ``(N, H, W, 3)`` float32 in
        ``[0, 1]`` to ``(N, H / 2^(B−1), W / 2^(B−1), widths[-1])`` for B blocks.

    Raises:
        SettingsError: If ``widths`` and ``depths`` do not describe the same blocks.
    """
    if len(widths) != len(depths) or not widths:
        raise SettingsError(
            f"`widths` has {len(widths)} values and `depths` has {len(depths)}; give one of each "
            "per block, and at least one block."
        )
    inputs = keras.Input(input_shape, name="image")
    # From [0, 1] to a mean of about 0 and a standard deviation of about 1, as in training.
    maps = keras.layers.Rescaling(4.0, offset=-1.8, name="preprocessing")(inputs)
    for block, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        if block > 1:
            maps = keras.layers.MaxPooling2D(2, name=f"block{block - 1}_pool")(maps)
        for convolution in range(1, depth + 1):
            maps = keras.layers.Conv2D(
                width,
                3,
                padding="same",
                activation="relu",
                name=f"block{block}_conv{convolution}",
            )(maps)
    return keras.Model(inputs, maps, name="compact")
