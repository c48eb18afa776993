"""Which feature maps of a network lie behind a nonlinearity."""

from typing import Any

import keras

from nstk.backbones.backbone import Backbone


def activated_taps(backbone: Backbone) -> dict[int, list[str]]:
    """The feature maps behind a nonlinearity, by their stride in pixels."""
    taps: dict[int, list[str]] = {}
    for name in backbone.taps:
        if _is_activation(backbone.model.get_layer(name)):
            taps.setdefault(backbone.stride(name), []).append(name)
    return taps


def _is_activation(layer: Any) -> bool:
    """Whether a layer ends in a nonlinearity, its own or as a layer of its own."""
    if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.PReLU):
        return True
    activation = getattr(layer, "activation", None)
    return activation is not None and activation.__name__ != "linear"
