"""Fixtures shared by all tests: a tiny network, small images, and the real data where it is."""

import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is not a fault: nothing depends on how long an example takes.
settings.register_profile("nstk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nstk")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items):
    """Run files with slow tests first: processes share files, and should end at the same time."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_sessionfinish(session):
    """Save what was covered in a process that runs tests for another, which soon kills it."""
    coverage = sys.modules.get("coverage")
    measured = coverage and coverage.Coverage.current()
    if measured and hasattr(session.config, "workerinput"):
        measured.save()


@pytest.fixture(scope="session", autouse=True)
def cache_of_their_own(tmp_path_factory):
    """Tests leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights, ``NSTK_SHARED`` or beside the project."""
    folder = Path(os.environ.get("NSTK_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent; set NSTK_SHARED to its place")
    return folder


@pytest.fixture(scope="session")
def tiny_backbone():
    """The packaged network's own class with three convolutions and seeded weights."""
    import keras

    from nstk.backbones.backbone import Backbone
    from nstk.backbones.packaged import build_compact

    keras.utils.set_random_seed(7)
    model = build_compact(widths=(4, 6, 8), depths=(1, 1, 1))
    return Backbone(name="tiny", model=model, input_size=32, source="seeded")


@pytest.fixture(scope="session")
def four_blocks():
    """A small seeded network with the layer that similarities are measured at, block4_conv2."""
    from small_networks import make_backbone

    return make_backbone(widths=(4, 6, 8, 8), depths=(1, 1, 1, 2))


@pytest.fixture
def small_compact(monkeypatch, four_blocks):
    """A small network in place of the packaged ones, for all that loads these by their names."""
    from nstk.backbones import loading

    monkeypatch.setattr(loading, "_load_packaged", lambda *_: four_blocks)


@pytest.fixture(scope="session")
def color_folder(tmp_path_factory) -> Path:
    """Eight images of each of three colors, in a folder for each: not to be changed."""
    from labeled_images import COLORS, draw_folder

    return draw_folder(tmp_path_factory.mktemp("colors"), 8, tuple(COLORS))


@pytest.fixture(scope="session")
def color_result(color_folder, tiny_backbone):
    """The result of finetune on `color_folder`."""
    from nstk.finetuning.job import finetune

    return finetune(color_folder, backbone=tiny_backbone)


@pytest.fixture(scope="session")
def color_classifier(color_result):
    """A classifier that recognizes every image of `color_folder`."""
    return color_result.classifier


@pytest.fixture(scope="session")
def color_model(color_classifier, tmp_path_factory) -> Path:
    """The saved `color_classifier`."""
    return color_classifier.save(tmp_path_factory.mktemp("model") / "colors.keras")


@pytest.fixture(scope="session")
def scene() -> np.ndarray:
    """A small image with edges, colors and texture: float32 (48, 64, 3) in [0, 1].

    It carries this range, as what nstk returns does.
    """
    from unit_images import unit_image

    rows, columns = np.mgrid[0:48, 0:64].astype(np.float32)
    sky = np.stack([0.4 + 0.2 * rows / 48, 0.6 + 0 * rows, 0.9 - 0.3 * rows / 48], axis=-1)
    ground = (rows > 30 + 4 * np.sin(columns / 9))[..., None]
    sun = ((rows - 12) ** 2 + (columns - 46) ** 2 < 49)[..., None]
    image = np.where(ground, np.float32([0.25, 0.45, 0.2]), sky)
    image = np.where(sun, np.float32([0.98, 0.85, 0.35]), image)
    grain = np.random.default_rng(3).normal(0, 0.02, image.shape)
    return unit_image(np.clip(image + grain, 0, 1))


@pytest.fixture(scope="session")
def strokes() -> np.ndarray:
    """A small painterly image: float32 (40, 56, 3) in [0, 1], diagonal colored bands."""
    from unit_images import unit_image

    rows, columns = np.mgrid[0:40, 0:56].astype(np.float32)
    phase = (rows + 0.7 * columns) / 3.0 + np.sin(columns / 6.0)
    bands = [0.5 + 0.45 * np.sin(phase + shift) for shift in (0.0, 1.1, 2.7)]
    return unit_image(np.clip(np.stack(bands, axis=-1), 0, 1))


@pytest.fixture
def act(monkeypatch):
    """What happens while the watcher sleeps, one act after the other; then Ctrl-C."""
    from nstk.classifiers.prediction import reading

    acts = []

    def sleep(seconds):
        if not acts:
            raise KeyboardInterrupt
        acts.pop(0)()

    monkeypatch.setattr(reading.time, "sleep", sleep)
    return acts
