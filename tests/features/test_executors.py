"""The executors of the frozen network: the same features, chosen by measured time."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import nstk
from nstk.backbones.backbone import Backbone
from nstk.backbones.packaged import build_efficientnet_lite0
from nstk.errors import SettingsError
from nstk.features import executors
from nstk.features.crops import CROPS
from nstk.features.executors import NetworkExecutor
from nstk.features.extractor import FeatureExtractor
from nstk.features.networks import BLOCKS

SIZE = 32


@pytest.fixture(scope="module")
def backbone():
    """EfficientNet-Lite0's kinds of layers, with few channels."""
    keras.utils.set_random_seed(5)
    stages = ((1, 4, 1, 1, 3), (2, 6, 2, 2, 5))
    model = build_efficientnet_lite0(stages=stages, stem=4, head=8)
    return Backbone("tiny-lite0", model, SIZE, "random")


@pytest.fixture(scope="module")
def extractor(backbone):
    return FeatureExtractor(backbone, SIZE, BLOCKS["pooled+statistics"], executor="litert")


@pytest.fixture(scope="module")
def squares():
    return np.random.default_rng(0).random((5, SIZE, SIZE, 3), np.float32)


def test_both_executors_compute_the_same_features(backbone, extractor, squares):
    expected = FeatureExtractor(backbone, SIZE, BLOCKS["pooled+statistics"]).extract(squares)
    extracted = extractor.extract(squares)
    assert extracted.keys() == expected.keys()
    for block, rows in expected.items():
        np.testing.assert_allclose(extracted[block], rows, atol=1e-4 * np.abs(rows).max())


def test_a_row_of_litert_does_not_depend_on_the_others(extractor, squares):
    together = extractor.extract(squares)
    for index, square in enumerate(squares):
        alone = extractor.extract(square[np.newaxis])
        for block, rows in together.items():
            np.testing.assert_array_equal(alone[block][0], rows[index])


def test_rows_of_different_executors_are_cached_apart(backbone, extractor):
    other = FeatureExtractor(backbone, SIZE, BLOCKS["pooled+statistics"])
    [recipe, other_recipe] = [each.recipe("pooled", CROPS[0]) for each in (extractor, other)]
    assert recipe != other_recipe
    assert recipe | {"executor": "tensorflow"} == other_recipe


@pytest.fixture
def measured(monkeypatch, extractor, tmp_path):
    """A network for which TensorFlow takes 3 s a row, LiteRT 1 s and the conversion 20 s."""
    measurements = []

    def measure(executor):
        measurements.append(executor)
        return [3.0, 1.0, 20.0]

    monkeypatch.setattr(executors, "_MIN_PRODUCTS", 0)
    monkeypatch.setattr(executors, "find_cache_folder", lambda: tmp_path)
    monkeypatch.setattr(NetworkExecutor, "_measure_speeds", measure)
    yield NetworkExecutor(extractor.network)
    assert len(measurements) == 1


def test_auto_counts_the_time_of_the_conversion(measured):
    assert measured.choose("auto", 9) == "tensorflow"
    assert measured.choose("auto", 11) == "litert"


def test_a_short_run_measures_nothing(extractor, monkeypatch):
    monkeypatch.setattr(NetworkExecutor, "_measure_speeds", None)
    network = NetworkExecutor(extractor.network)
    assert network.choose("auto", 10) == "tensorflow"
    assert network.choose("litert", 10) == "litert"


def test_a_measurement_is_kept_for_the_machine(extractor, monkeypatch, tmp_path):
    monkeypatch.setattr(executors, "_MIN_PRODUCTS", 0)
    monkeypatch.setattr(executors, "find_cache_folder", lambda: tmp_path)
    NetworkExecutor(extractor.network).choose("auto", 100)
    [machine] = json.loads((tmp_path / "executors.json").read_text("utf-8")).values()
    [[tensorflow, litert, conversion]] = machine.values()
    assert min(tensorflow, litert, conversion) > 0
    assert conversion < float("inf")


def test_a_gpu_and_a_strategy_keep_tensorflow(extractor, monkeypatch):
    monkeypatch.setattr(executors, "_MIN_PRODUCTS", 0)
    monkeypatch.setattr(NetworkExecutor, "_measure_speeds", None)
    network = NetworkExecutor(extractor.network)
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        assert network.choose("auto", 10**6) == "tensorflow"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    assert network.choose("auto", 10**6) == "tensorflow"


def test_a_network_that_cannot_be_converted_is_refused_in_one_line(monkeypatch):
    image = keras.Input((4, 4, 3))
    refused = NetworkExecutor(keras.Model(image, keras.layers.ReLU()(image)))
    monkeypatch.setattr(executors, "_LiteRT", lambda function: 1 / 0)
    with pytest.raises(SettingsError, match=r"`executor='tensorflow'`"):
        refused.run("litert")


def test_every_job_takes_the_executor(color_folder, tiny_backbone, color_classifier):
    made = nstk.finetune(color_folder, backbone=tiny_backbone, executor="litert")
    assert (made.executor, made.accuracy) == ("litert", 1.0)
    assert made.to_dict()["executor"] == "litert"
    images = sorted(color_folder.rglob("*.png"))[:3]
    one, other = (
        color_classifier.predict_proba(images, executor=executor)
        for executor in ("tensorflow", "litert")
    )
    np.testing.assert_allclose(one, other, atol=1e-4)
    maps, others = (
        [each.evidence for each in color_classifier.explain(images, executor=executor)]
        for executor in ("tensorflow", "litert")
    )
    np.testing.assert_allclose(maps, others, atol=1e-4 * np.abs(maps).max())


def test_an_unknown_executor_is_refused(color_classifier):
    with pytest.raises(SettingsError, match="`executor`"):
        color_classifier.predict_proba([], executor="onnx")
