"""Dask workers give the bytes of one process, even if one of them is killed in the middle."""

import os
import shutil
import signal
import sys

import pytest
from labeled_images import draw_folder
from shell import complaint, invoke

pytest.importorskip("distributed")

from nstk.classifiers.prediction.distribution import stream_on_engine
from nstk.classifiers.prediction.job import stream_predictions
from nstk.classifiers.prediction.prediction import Prediction, PredictSettings
from nstk.classifiers.prediction.results import ResultsFile
from nstk.distribution.dask_engine import DaskEngine
from nstk.errors import SettingsError
from nstk.features.cache import FeatureCache
from nstk.features.distribution import cache_features_on_engine
from nstk.features.extractor import FeatureExtractor, extract_features

SETTINGS = PredictSettings(batch=4, executor="tensorflow")


def run_here(function, tasks):
    """The engine of one process."""
    return map(function, tasks)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = draw_folder(tmp_path_factory.mktemp("photos"), 21)
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


def write(path, classifier, stream, **options):
    with ResultsFile(path, classifier, **options) as results:
        for each in stream:
            if isinstance(each, Prediction):
                results.append(each)
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole(color_classifier, photos, tmp_path_factory):
    """The predictions of one process."""
    path = tmp_path_factory.mktemp("whole") / "labels.csv"
    return write(path, color_classifier, stream_predictions(color_classifier, photos, SETTINGS))


def test_chunks_give_the_bytes_of_one_run(color_classifier, color_model, photos, whole, tmp_path):
    stream = stream_on_engine(run_here, color_model, color_classifier, photos, SETTINGS)
    assert write(tmp_path / "labels.csv", color_classifier, stream) == whole


def test_a_resumed_run_sends_only_what_is_missing(
    color_classifier, color_model, photos, whole, tmp_path
):
    path = tmp_path / "labels.csv"
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:20]))
    with ResultsFile(path, color_classifier, resume=True) as results:
        found = [
            *stream_on_engine(
                run_here, color_model, color_classifier, photos, SETTINGS, done=results.done
            )
        ]
    assert sum(isinstance(each, Prediction) for each in found) == len(lines) - 20


def test_features_from_an_engine_are_those_of_one_process(tiny_backbone, photos, tmp_path):
    from nstk.backbones.candidates import Candidate

    paths = sorted(photos.glob("*/*"))
    extractor = FeatureExtractor(tiny_backbone, 32, images=len(paths))
    expected = extract_features(extractor, paths)
    network, cache = Candidate(tiny_backbone), FeatureCache(tmp_path)
    assert cache_features_on_engine(run_here, network, extractor, paths, cache) == len(paths)
    cached = extract_features(extractor, paths, cache=FeatureCache(tmp_path))
    assert cached.forward_passes == 0
    assert cached.blocks["pooled"].tobytes() == expected.blocks["pooled"].tobytes()


@pytest.mark.parametrize("address", ["", "local:0", "local:x", "remote", "tcp://127.0.0.1:1"])
def test_an_address_that_is_none_is_refused(address, monkeypatch):
    monkeypatch.setattr("nstk.distribution.dask_engine._SECONDS_TO_CONNECT", 1)
    with pytest.raises(SettingsError, match="`dask`"):
        DaskEngine(address)


def test_without_dask_the_error_names_the_extra(monkeypatch, color_model, photos):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "nstk[dask]" in complaint(invoke("predict", color_model, photos, "--dask", "local"))


@pytest.mark.slow
def test_a_killed_worker_changes_no_byte(
    color_classifier, color_model, photos, whole, tmp_path_factory, tmp_path, monkeypatch
):
    for number in range(6):  # enough chunks for both workers
        shutil.copytree(photos / "blue", photos / f"more {number}")
    path = tmp_path / "whole.csv"
    expected = write(path, color_classifier, stream_predictions(color_classifier, photos, SETTINGS))
    with DaskEngine("local:2") as engine:
        stream = stream_on_engine(engine, color_model, color_classifier, photos, SETTINGS)
        first = next(stream)
        [victim, _] = engine.client.run(os.getpid).values()
        os.kill(victim, signal.SIGKILL)
        rest = [*stream]
        survivors = {*engine.client.run(os.getpid).values()}
    assert victim not in survivors
    assert write(tmp_path / "labels.csv", color_classifier, [first, *rest]) == expected
