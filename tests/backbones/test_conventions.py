"""Whatever a project tells Keras, nstk builds the same networks and leaves its settings alone."""

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
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.networks import preprocess
from nstk.exporting.saved_model import write_saved_model
from nstk.exporting.tflite import write_tflite


@pytest.fixture(params=["mixed_float16", "float64", "channels_first"])
def project(request):
    """A project that wants something else of Keras."""
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
    """What a project that wants nothing special gets."""
    return learn(folder, tmp_path_factory.mktemp("usual") / "usual.keras")


def learn(folder, path):
    settings = nstk.FinetuneSettings(size=32, features="pooled+statistics", views=2)
    nstk.finetune(folder, settings=settings).classifier.save(path)
    return path


def test_a_classifier_has_the_same_bytes_in_every_project(project, folder, usual, tmp_path):
    before = read_settings()
    assert learn(folder, tmp_path / "here.keras").read_bytes() == usual.read_bytes()
    classifier = nstk.Classifier.load(usual)
    shares = [each.top for each in nstk.predict(classifier, folder).predictions]
    assert read_settings() == before
    with pinned_keras_config():
        again = nstk.predict(nstk.Classifier.load(usual), folder)
    assert shares == [each.top for each in again.predictions]


def test_a_backbone_is_float32_with_channels_last_in_every_project(project):
    backbone = nstk.load_backbone("compact")
    images = np.random.default_rng(0).random((1, 32, 48, 3)).astype(np.float32)
    for network in (backbone, backbone.prepared(edge="replicate", pooling="l2")):
        maps = network.tap(["block2_conv1"])(images)["block2_conv1"]
        assert (maps.dtype, maps.shape) == ("float32", (1, 16, 24, 32))
        assert network.embed(images).dtype == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("project", ["mixed_float16"], indirect=True)
def test_what_learns_and_what_is_exported_is_float32_in_every_project(project, folder, tmp_path):
    settings = nstk.FinetuneSettings(size=32, unfreeze=1, augment="strong")
    made = nstk.finetune(folder, settings=settings)
    assert made.second_stage is not None
    write_tflite(made.classifier, tmp_path / "model.tflite")
    write_saved_model(made.classifier, tmp_path / "served")
    [told] = nstk.explain(made.classifier, next(folder.rglob("*.png")))
    assert told.evidence.dtype == np.float32


@pytest.mark.parametrize("name", ["mobilenet-0.25", "resnet50", "efficientnet_b0"])
def test_every_preprocessing_works_in_every_project(project, name):
    family = APPLICATIONS[name].family
    images = np.random.default_rng(0).random((1, 4, 5, 3)).astype(np.float32)
    with pinned_keras_config():
        given = keras.Input((None, None, 3))
        network = keras.Model(given, preprocess(given, family.convention))
        expected = network(images)
    np.testing.assert_array_equal(network(images), expected)


def test_threads_that_build_at_once_leave_the_settings_as_they_were(project):
    before = read_settings()[1:]
    threads = [threading.Thread(target=nstk.load_backbone) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_settings()[1:] == before


@pytest.mark.parametrize("tiling", ["jax", "torch"])
def test_another_engine_is_refused_in_one_line(tiling, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / f"{tiling}.py").write_text("raise ModuleNotFoundError(name=__name__)")
    source = "import nstk\ntry: nstk.load_backbone()\nexcept nstk.BackboneError as e: print(e)"
    run = subprocess.run(
        [sys.executable, "-c", source],
        env=environment(KERAS_BACKEND=tiling)
        | {"PYTHONPATH": os.pathsep.join(map(str, (tmp_path / "there", ROOT)))},
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = run.stdout.splitlines()
    assert tiling in line
    assert "start Python with KERAS_BACKEND=tensorflow" in line


def test_an_engine_that_is_there_is_refused_too(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(nstk.BackboneError, match="Keras computes with jax here"):
        nstk.load_backbone("compact")
