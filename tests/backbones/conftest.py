"""Fixtures of the backbone tests."""

import numpy as np
import pytest
from small_networks import make_backbone


@pytest.fixture(scope="module")
def vgg_like():
    """A network of VGG's shape, deep enough to have every kind of layer, with active units."""
    backbone = make_backbone(widths=(4, 4, 6), depths=(2, 2, 2))
    for layer in backbone.model.layers:
        layer.set_weights([np.abs(weight) + 0.01 for weight in layer.get_weights()])
    return backbone
