"""Arithmetic of convolutions: bfloat16 only where it is faster, the image always in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from nstk.backbones import arithmetic, conv_benchmark
from nstk.backbones.arithmetic import choose_precision
from nstk.backbones.backbone import Backbone
from nstk.backbones.conv_benchmark import Speed, time_convolutions
from nstk.backbones.loading import load_backbone
from nstk.errors import BackboneError
from nstk.stylization.objective import ObjectiveWeights, StyleObjective


@pytest.fixture(scope="module")
def halved(tiny_backbone):
    return tiny_backbone.prepared(precision="bfloat16")


@pytest.fixture
def speeds(monkeypatch):
    """Convolutions that take the time that a test sets."""
    given = {"float32": Speed(1.0, 2.0), "bfloat16": Speed(1.0, 2.0)}

    def look_up(kernels, precision):
        return dict.fromkeys(kernels, given[precision])

    monkeypatch.setattr(arithmetic, "time_convolutions", look_up)
    monkeypatch.setattr(arithmetic, "MIN_FLOPS", 0)
    return given


def test_maps_are_bfloat16_and_weights_are_not(halved, tiny_backbone, scene):
    maps = halved.tap(["block1_conv1", "block3_conv1"])(scene[np.newaxis])
    assert {tensor.dtype for tensor in maps.values()} == {tf.bfloat16}
    assert {weight.dtype for weight in halved.model.weights} == {"float32"}
    assert halved.digest == tiny_backbone.digest


def test_preprocessing_stays_float32(halved):
    assert halved.model.get_layer("preprocessing").compute_dtype == "float32"
    assert halved.model.get_layer("block1_conv1").compute_dtype == "bfloat16"


@pytest.mark.parametrize("pooling", ["average", "l2"])
def test_other_pools_are_bfloat16(tiny_backbone, scene, pooling):
    network = tiny_backbone.prepared(pooling=pooling, precision="bfloat16")
    assert network.tap(["block1_pool"])(scene[np.newaxis])["block1_pool"].dtype == tf.bfloat16


def test_losses_and_gradients_are_float32_and_close(scene, strokes):
    weights = ObjectiveWeights(
        0.4, 1.0, 0.1, {"block3_conv1": 1.0}, {"block1_conv1": 0.7, "block3_conv1": 0.3}
    )
    backbone = load_backbone("compact")
    losses = []
    for kind in ("float32", "bfloat16"):
        network = backbone.prepared(edge="replicate", precision=kind)
        objective = StyleObjective.from_images(network, scene, [strokes], weights)
        evaluation = objective.evaluate(tf.constant(0.5 * scene))
        assert evaluation.loss.dtype == evaluation.gradient.dtype == tf.float32
        losses.append(float(evaluation.loss))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_an_unknown_precision_is_refused(tiny_backbone):
    with pytest.raises(BackboneError, match="float16"):
        tiny_backbone.prepared(precision="float16")


def test_bfloat16_is_chosen_only_where_it_is_faster(tiny_backbone, speeds):
    layers = ("block1_conv1", "block3_conv1")
    assert choose_precision("auto", tiny_backbone, layers) == "float32"
    speeds["bfloat16"] = Speed(0.95, 1.95)
    assert choose_precision("auto", tiny_backbone, layers) == "float32"
    speeds["bfloat16"] = Speed(0.5, 1.0)
    assert choose_precision("auto", tiny_backbone, layers) == "bfloat16"


def test_an_explicit_request_is_honored(tiny_backbone, speeds):
    layers = ("block1_conv1",)
    assert choose_precision("bfloat16", tiny_backbone, layers) == "bfloat16"
    speeds["bfloat16"] = Speed(0.1, 0.1)
    assert choose_precision("float32", tiny_backbone, layers) == "float32"


def test_a_network_limited_by_memory_is_not_timed(tiny_backbone, monkeypatch):
    monkeypatch.setattr(arithmetic, "time_convolutions", None)
    assert choose_precision("auto", tiny_backbone, ("block1_conv1",)) == "float32"


def test_convolutions_are_timed_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(conv_benchmark, "TIMED_FLOPS", 1e5)
    kernels = [(3, 3, 4, 8), (3, 3, 8, 8)]
    before = time_convolutions(kernels, "float32")
    assert all(speed.forward > 0 and speed.backward > 0 for speed in before.values())
    monkeypatch.setattr(conv_benchmark, "_time", None)
    again = time_convolutions(kernels[1:], "float32")
    assert again == {kernels[1]: before[kernels[1]]}


@pytest.mark.parametrize(
    "content",
    [
        "[1, 2",
        "[1, 2]",
        '{"MACHINE": 5}',
        '{"MACHINE": {"float32 1×1×2×2": null}}',
        '{"MACHINE": {"float32 1×1×2×2": [1.0, "fast"]}}',
    ],
)
def test_a_broken_cache_is_measured_again(monkeypatch, tmp_path, content):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "nstk").mkdir()
    content = content.replace("MACHINE", conv_benchmark.describe_machine())
    (tmp_path / "nstk" / "speeds.json").write_text(content)
    monkeypatch.setattr(conv_benchmark, "_time", lambda kernel, used: Speed(1.0, 2.0))
    assert time_convolutions([(1, 1, 2, 2)], "float32") == {(1, 1, 2, 2): Speed(1.0, 2.0)}


def test_a_network_with_normalization_computes_in_bfloat16(scene):
    keras.utils.set_random_seed(5)
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    maps = keras.layers.ReLU(name="rectified")(keras.layers.BatchNormalization()(maps))
    network = Backbone("normalized", keras.Model(inputs, maps), 32, "seeded")
    halved = network.prepared(precision="bfloat16")
    wide, half = (b.tap(["rectified"])(scene[np.newaxis])["rectified"] for b in (network, halved))
    np.testing.assert_allclose(tf.cast(half, tf.float32), wide, atol=0.02)
