from itertools import pairwise

import keras
import pytest

from nstk.backbones.backbone import Backbone
from nstk.backbones.packaged import build_compact
from nstk.errors import BackboneError
from nstk.stylization.recipe import choose_content_layer, choose_style_layers


@pytest.fixture(scope="module")
def vgg19_shaped():
    """VGG19's depths, with few channels."""
    model = build_compact(widths=(2, 2, 2, 2, 2), depths=(2, 2, 4, 4, 4))
    return Backbone(name="vgg19-shaped", model=model, input_size=224, source="random")


def test_style_is_every_activation_up_to_the_first_of_the_fifth_block(vgg19_shaped):
    blocks = {1: 2, 2: 2, 3: 4, 4: 4, 5: 1}
    expected = [f"block{b}_conv{c}" for b, count in blocks.items() for c in range(1, count + 1)]
    assert list(choose_style_layers(vgg19_shaped)) == expected


def test_style_weights_halve_from_stride_to_stride_and_sum_to_one(vgg19_shaped):
    weights = choose_style_layers(vgg19_shaped)
    assert sum(weights.values()) == pytest.approx(1.0)
    blocks = [
        sum(weight for name, weight in weights.items() if name.startswith(f"block{block}_"))
        for block in range(1, 6)
    ]
    for shallow, deep in pairwise(blocks):
        assert shallow == pytest.approx(2 * deep)


def test_content_is_the_first_activation_at_stride_eight(vgg19_shaped):
    assert choose_content_layer(vgg19_shaped) == "block4_conv1"


@pytest.mark.parametrize("nonlinearity", [keras.layers.ReLU, keras.layers.LeakyReLU])
def test_a_separate_nonlinearity_layer_is_used(nonlinearity):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(image)
    x = nonlinearity(name="first")(keras.layers.BatchNormalization()(x))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", use_bias=False)(x)
    model = keras.Model(image, keras.layers.Activation("swish", name="second")(x))
    backbone = Backbone(name="separate", model=model, input_size=32, source="random")
    assert list(choose_style_layers(backbone)) == ["first", "second"]
    assert choose_content_layer(backbone) == "second"


def test_a_shallow_network_uses_all_its_layers(tiny_backbone):
    assert list(choose_style_layers(tiny_backbone)) == [
        "block1_conv1",
        "block2_conv1",
        "block3_conv1",
    ]
    assert choose_content_layer(tiny_backbone) == "block3_conv1"


def test_a_network_with_only_coarse_layers_is_refused(tiny_backbone):
    class Coarse(Backbone):
        def stride(self, name):
            return 32

    coarse = Coarse(tiny_backbone.name, tiny_backbone.model, 32, "seeded")
    for choose in (choose_style_layers, choose_content_layer):
        with pytest.raises(BackboneError, match="tiny"):
            choose(coarse)
