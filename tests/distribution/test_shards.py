"""Shards are disjoint and complete; merged, they are the bytes of one run."""

import hashlib
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell import complaint, invoke

from nstk.classifiers.classifier import Classifier
from nstk.distribution.shards import WHOLE, Shard
from nstk.errors import SettingsError
from nstk.features.cache import FeatureCache, merge_caches
from nstk.features.crops import CROPS
from nstk.features.extractor import FeatureExtractor, extract_features
from nstk.features.networks import BLOCKS


@given(st.binary(max_size=20), st.integers(1, 40))
def test_exactly_one_shard_holds_a_file(content, count):
    digest = hashlib.sha256(content).hexdigest()
    holders = [Shard(index, count).holds(digest) for index in range(1, count + 1)]
    assert sum(holders) == 1
    assert WHOLE.holds(digest)


@pytest.mark.parametrize("text", ["", "3", "0/2", "3/2", "-1/2", "1/0", "a/b", "1/2/3"])
def test_an_invalid_shard_is_refused(text):
    with pytest.raises(SettingsError, match="`shard`"):
        Shard.parse(text)


@pytest.fixture
def model(color_classifier, color_model, monkeypatch):
    monkeypatch.setattr(Classifier, "load", staticmethod(lambda _: color_classifier))
    return color_model


@pytest.fixture(scope="module")
def photos(color_folder, tmp_path_factory):
    """Twenty-four images, an unreadable one and a text, in two folders in no natural order."""
    folder = tmp_path_factory.mktemp("photos")
    for number, path in enumerate(sorted(color_folder.glob("*/*"))):
        place = folder / ("b" if number % 2 else "a")
        place.mkdir(exist_ok=True)
        shutil.copy(path, place / f"{path.parent.name}, {path.name}")
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "b" / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize(
    ("extension", "count", "executor"), [(".csv", 2, "tensorflow"), (".jsonl", 5, "litert")]
)
def test_merged_shards_are_the_bytes_of_one_run(
    model, photos, tmp_path, extension, count, executor
):
    command = ("predict", model, photos / "b", photos / "a", "--executor", executor, "-q", "-o")
    assert invoke(*command, tmp_path / f"whole{extension}").exit_code == 0
    parts = [tmp_path / f"part-{index}{extension}" for index in range(1, count + 1)]
    for index, part in enumerate(parts, 1):
        result = invoke(*command, part, "--shard", f"{index}/{count}")
        assert result.exit_code == 0, result.stderr
    merged = tmp_path / f"merged{extension}"
    result = invoke("merge", *reversed(parts), "-o", merged, "--json")
    assert result.exit_code == 0, result.stderr
    assert '"merged": 24' in result.stdout
    assert merged.read_bytes() == (tmp_path / f"whole{extension}").read_bytes()


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".parquet"])
def test_a_shard_may_be_empty(model, photos, tmp_path, extension):
    image = sorted((photos / "a").glob("*"))[1]
    parts = [tmp_path / f"{index}{extension}" for index in (1, 2, 3)]
    for index, part in enumerate(parts, 1):
        result = invoke("predict", model, image, "-q", "-o", part, "--shard", f"{index}/3")
        assert result.exit_code == 0, result.stderr
        assert part.exists()
    if extension == ".parquet":  # which is not merged
        return
    invoke("predict", model, image, "-q", "-o", tmp_path / f"whole{extension}")
    assert invoke("merge", *parts, "-o", tmp_path / f"merged{extension}").exit_code == 0
    merged, whole = (tmp_path / f"{name}{extension}" for name in ("merged", "whole"))
    assert merged.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(("count", "batch"), [(2, 16), (3, 5), (7, 16)])
def test_batches_of_a_shard_give_the_numbers_of_one_run(color_classifier, photos, count, batch):
    shared = {"batch": batch, "executor": "tensorflow"}
    whole = color_classifier.predict(photos, **shared)
    parts = [
        color_classifier.predict(photos, **shared, shard=f"{k + 1}/{count}") for k in range(count)
    ]
    merged = sorted((each for part in parts for each in part), key=lambda each: each.position)
    assert [each.top for each in merged] == [each.top for each in whole]
    assert sorted(each.path for part in parts for each in part.skipped) == sorted(
        each.path for each in whole.skipped
    )


def test_what_does_not_belong_together_is_not_merged(model, photos, tmp_path):
    part, whole, other = tmp_path / "1.csv", tmp_path / "whole.csv", tmp_path / "other.csv"
    shared = ("predict", model, photos / "a", "-q", "-o")
    invoke(*shared, part, "--shard", "1/2")
    invoke(*shared, other, "--shard", "2/2", "--top", 1)
    invoke(*shared, whole)
    for parts, said in [
        ((part, part), "once"),
        ((part, whole), "position"),
        ((part, other), "columns"),
        ((part, tmp_path), "one kind"),
    ]:
        assert said in complaint(invoke("merge", *parts, "-o", tmp_path / "merged.csv"))
    assert not (tmp_path / "merged.csv").exists()


def test_an_evaluation_of_a_shard_counts_its_images_alone(color_classifier, color_folder):
    reports = [color_classifier.evaluate(color_folder, shard=f"{k}/3") for k in (1, 2, 3)]
    counts = [len(report.predictions.paths) for report in reports]
    assert sum(counts) == 24
    assert all(0 < count < 24 for count in counts)


def test_merged_caches_hold_the_features_of_one_run(tiny_backbone, color_folder, tmp_path):
    images = sorted(color_folder.glob("*/*"))
    extractor = FeatureExtractor(tiny_backbone, 32, BLOCKS["pooled"], CROPS[:3], images=len(images))
    whole = extract_features(extractor, images)
    for index in (1, 2):
        cache = FeatureCache(tmp_path / str(index))
        extract_features(extractor, images, cache=cache, shard=Shard(index, 2))
    merge_caches([tmp_path / "1", tmp_path / "2"], tmp_path / "all")
    merged = extract_features(extractor, images, cache=FeatureCache(tmp_path / "all"))
    assert (whole.forward_passes, merged.forward_passes) == (72, 0)
    assert merged.blocks["pooled"].tobytes() == whole.blocks["pooled"].tobytes()


def test_features_of_shards_make_the_classifier_of_one_run(small_compact, color_folder, tmp_path):
    command = ("finetune", color_folder, "--backbone", "compact", "--executor", "tensorflow", "-q")
    caches = [tmp_path / "cache-1", tmp_path / "cache-2"]
    for index, cache in enumerate(caches, 1):
        result = invoke(*command, "--shard", f"{index}/2", "--cache", cache, "--json")
        assert result.exit_code == 0, result.stderr
        assert 0 < json.loads(result.stdout)["images"] < json.loads(result.stdout)["total"] == 24
    assert invoke("merge", *caches, "-o", tmp_path / "all").exit_code == 0
    for name, cache in (("merged", tmp_path / "all"), ("whole", "off")):
        result = invoke(*command, "--cache", cache, "-o", tmp_path / f"{name}.keras")
        assert result.exit_code == 0, result.stderr
    merged, whole = (tmp_path / f"{name}.keras" for name in ("merged", "whole"))
    assert merged.read_bytes() == whole.read_bytes()


def test_features_alone_need_a_cache(small_compact, color_folder):
    command = ("finetune", color_folder, "--backbone", "compact", "--shard", "1/2")
    assert "--cache" in complaint(invoke(*command, "--cache", "off"))
