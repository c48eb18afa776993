"""From a Image to what each family of networks was trained on, in plain Keras layers."""

from typing import Any

import keras

from nstk.backbones.applications import Convention

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's training images: red, green and blue in [0, 1] (torchvision)."""

CAFFE_MEAN = (103.939, 116.779, 123.68)
"""The same mean as Caffe's VGG subtracted it: blue, green and red in 0 … 255."""


def preprocess(images: Any, convention: Convention) -> Any:
    """Put the layers of one convention behind a symbolic batch of Images.

    They hold no weights, so freezing, unfreezing and weights files cannot touch them.

    Args:
        images: A Keras tensor ``(N, H, W, 3)``, RGB in ``[0, 1]``.
        convention: What the network behind it expects.

    Returns:
        A Keras tensor of the same shape.
    """
    match convention:
        case "symmetric":
            scale, offset = [2.0] * 3, [-1.0] * 3
        case "standardized":
            scale = [1 / std for std in STD]
            offset = [-mean / std for mean, std in zip(MEAN, STD, strict=True)]
        case "caffe":
            images = keras.ops.flip(images, axis=-1)
            scale, offset = [255.0] * 3, [-mean for mean in CAFFE_MEAN]
        case "inside":
            scale, offset = [255.0] * 3, [0.0] * 3
    # One number a color as (1, 1, 3): a list of three is turned over where, at the moment of the
    # call, Keras is set to channels first.
    return keras.layers.Rescaling([[scale]], offset=[[offset]], name="preprocessing")(images)
