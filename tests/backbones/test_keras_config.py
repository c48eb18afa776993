"""nstk builds the same networks under any Keras settings, and does not change them."""

import os
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
from labeled_images import draw_folder
from shell import ROOT, environment

import nstk
from nstk.backbones.applications import APPLICATIONS
from nstk.backbones.backbone import Backbone
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.networks import preprocess
from nstk.backbones.packaged import build_compact, build_efficientnet_lite0
from nstk.errors import BackboneError
from nstk.exporting.saved_model import write_saved_model
from nstk.exporting.tflite import write_tflite


@pytest.fixture(params=["mixed_float16", "float64", "channels_first"])
def project(request):
    """A project with other Keras settings."""
    policy, order = keras.config.dtype_policy(), keras.config.image_data_format()
    precision = keras.config.floatx()
    if request.param == "channels_first":
        keras.config.set_image_data_format(request.param)
    else:
        keras.config.set_dtype_policy(request.param)
        keras.config.set_floatx(request.param.removeprefix("mixed_"))
    yield request.param
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(policy)
    keras.config.set_image_data_format(order)


def read_settings():
    config = keras.config
    return config.dtype_policy().name, config.floatx(), config.image_data_format()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 6, ("blue", "red"))


@pytest.fixture(scope="module")
def usual(folder, tmp_path_factory):
    """The classifier under the default settings."""
    return train(folder, tmp_path_factory.mktemp("usual") / "usual.keras")


def build_backbone():
    """Build a small network of the kinds of layers in EfficientNets, under the settings now."""
    with pinned_keras_config():
        keras.utils.set_random_seed(1)
    stages = ((1, 4, 1, 2, 3), (2, 6, 2, 2, 5))
    return Backbone("tiny", build_efficientnet_lite0(stages=stages, stem=4, head=8), 32, "seeded")


def train(folder, path):
    settings = nstk.FinetuneSettings(size=32, features="pooled+statistics", views=2)
    nstk.finetune(folder, backbone=build_backbone(), settings=settings).classifier.save(path)
    return path


@pytest.mark.parametrize("project", ["mixed_float16", "channels_first"], indirect=True)
def test_a_classifier_has_the_same_bytes_in_every_project(project, folder, usual, tmp_path):
    before = read_settings()
    assert train(folder, tmp_path / "here.keras").read_bytes() == usual.read_bytes()
    classifier = nstk.Classifier.load(usual)
    shares = [each.top for each in nstk.predict(classifier, folder).predictions]
    assert read_settings() == before
    with pinned_keras_config():
        again = nstk.predict(nstk.Classifier.load(usual), folder)
    assert shares == [each.top for each in again.predictions]


def test_a_backbone_is_float32_with_channels_last_in_every_project(project):
    backbone = Backbone("tiny", build_compact(widths=(4, 6), depths=(1, 1)), 32, "random")
    images = np.random.default_rng(0).random((1, 32, 48, 3)).astype(np.float32)
    for network in (backbone, backbone.prepared(edge="replicate", pooling="l2")):
        maps = network.tap(["block2_conv1"])(images)["block2_conv1"]
        assert (maps.dtype, maps.shape) == ("float32", (1, 16, 24, 6))
        assert network.embed(images).dtype == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("project", ["mixed_float16"], indirect=True)
def test_fine_tuning_and_exports_are_float32_in_every_project(
    project, folder, tmp_path, monkeypatch
):
    for limit in ("EPOCHS", "MAX_EPOCHS"):
        monkeypatch.setattr(f"nstk.finetuning.unfreezing.planning.{limit}", 2)
    settings = nstk.FinetuneSettings(size=32, unfreeze=1, augment="mixup")
    made = nstk.finetune(folder, backbone=build_backbone(), settings=settings)
    assert made.second_stage is not None
    write_tflite(made.classifier, tmp_path / "model.tflite")
    write_saved_model(made.classifier, tmp_path / "served")
    [explanation] = nstk.explain(made.classifier, next(folder.rglob("*.png")))
    assert explanation.evidence.dtype == np.float32


@pytest.mark.parametrize("name", ["mobilenet-0.25", "resnet50", "efficientnet_b0"])
def test_every_preprocessing_works_in_every_project(project, name):
    family = APPLICATIONS[name].family
    images = np.random.default_rng(0).random((1, 4, 5, 3)).astype(np.float32)
    with pinned_keras_config():
        given = keras.Input((None, None, 3))
        network = keras.Model(given, preprocess(given, family.convention))
        expected = network(images)
    np.testing.assert_array_equal(network(images), expected)


def test_parallel_threads_restore_the_settings(project):
    before = read_settings()[1:]
    threads = [threading.Thread(target=build_backbone) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_settings()[1:] == before


def test_another_engine_is_refused_in_one_line(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "torch.py").write_text("raise ModuleNotFoundError(name=__name__)")
    source = "import nstk\ntry: nstk.load_backbone()\nexcept nstk.NstkError as e: print(e)"
    run = subprocess.run(
        [sys.executable, "-c", source],
        env=environment(KERAS_BACKEND="torch")
        | {"PYTHONPATH": os.pathsep.join(map(str, (tmp_path / "there", ROOT)))},
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = run.stdout.splitlines()
    assert "torch" in line
    assert "KERAS_BACKEND=tensorflow" in line


def test_an_installed_engine_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(BackboneError, match="jax"):
        build_backbone()
