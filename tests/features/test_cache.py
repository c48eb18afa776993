"""Features on disk: rows are found again, damage is noticed, problems are never errors."""

import os
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled_images import draw_folder

from nstk.features import cache as cache_module
from nstk.features.cache import FeatureCache, find_cache_folder
from nstk.features.crops import CROPS
from nstk.features.extractor import FeatureExtractor, extract_features
from nstk.features.networks import BLOCKS

RECIPE = {"network": "a", "size": 32}


def digest(number: int) -> str:
    return f"{number:064x}"


def store_rows(folder, rows, recipe=RECIPE, **options):
    store = FeatureCache(folder, **options)
    for number, row in rows.items():
        store.shard(recipe).add(digest(number), row)
    store.close()
    return store


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@given(st.dictionaries(st.integers(0, 2**200), st.integers(0, 2**64 - 1), max_size=20))
def test_rows_are_restored_bit_for_bit(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("cache")
    store_rows(folder, {key: np.array([value], np.uint64) for key, value in numbers.items()})
    shard = FeatureCache(folder).shard(RECIPE)
    for key, value in numbers.items():
        assert shard.find(digest(key)).tolist() == [value]
    assert shard.find(digest(2**201)) is None


def test_every_recipe_has_its_own_shard(tmp_path):
    store_rows(tmp_path, {1: np.ones(3)})
    assert FeatureCache(tmp_path).shard({**RECIPE, "size": 33}).find(digest(1)) is None
    reordered = dict(reversed(RECIPE.items()))
    assert FeatureCache(tmp_path).shard(reordered).find(digest(1)) is not None


def test_many_rows_are_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_ROWS_PER_FILE", 4)
    store_rows(tmp_path, {number: np.full(2, number) for number in range(10)})
    assert len(files(tmp_path)) == 3
    shard = FeatureCache(tmp_path).shard(RECIPE)
    assert [int(shard.find(digest(number))[0]) for number in range(10)] == list(range(10))


def test_the_same_content_is_one_file(tmp_path):
    for _ in range(3):
        store_rows(tmp_path, {1: np.ones(3), 2: np.zeros(3)})
    assert len(files(tmp_path)) == 1


def test_without_a_folder_nothing_is_stored():
    store = store_rows(None, {1: np.ones(3)})
    assert store.shard(RECIPE).find(digest(1)) is None
    assert store.notices == ()


@pytest.mark.parametrize("place", [0.001, 0.3, 0.9])
@pytest.mark.parametrize("cut", [True, False])
def test_damaged_files_are_removed_with_a_notice(tmp_path, place, cut):
    rows = {number: np.full(40, number) for number in range(20)}
    store_rows(tmp_path, rows)
    [path] = files(tmp_path)
    content = bytearray(path.read_bytes())
    where = int(place * len(content))
    content[where] ^= 255
    path.write_bytes(content[:where] if cut else content)
    store = FeatureCache(tmp_path)
    found = {number: store.shard(RECIPE).find(digest(number)) for number in rows}
    assert any(row is None for row in found.values())
    assert all(row is None or row.tolist() == [number] * 40 for number, row in found.items())
    [notice] = store.notices
    assert str(path) in notice
    assert "damaged" in notice
    assert not files(tmp_path)


def test_pickles_are_never_opened(tmp_path):
    store_rows(tmp_path, {1: np.ones(3)})
    [path] = files(tmp_path)
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    assert FeatureCache(tmp_path).shard(RECIPE).find(digest(1)) is None


def test_the_least_recently_used_files_are_removed(tmp_path):
    for number in range(3):
        store_rows(tmp_path, {number: np.full(1000, number)})
    for age, path in enumerate(files(tmp_path)):
        os.utime(path, (1e9 + age, 1e9 + age))
    oldest, *_ = files(tmp_path)
    FeatureCache(tmp_path, limit=3 * oldest.stat().st_size - 1).close()
    shard = FeatureCache(tmp_path).shard(RECIPE)
    assert not oldest.exists()
    assert sum(shard.find(digest(number)) is not None for number in range(3)) == 2


def test_use_updates_the_modification_time(tmp_path):
    store_rows(tmp_path, {1: np.ones(3)})
    [path] = files(tmp_path)
    os.utime(path, (1e9, 1e9))
    FeatureCache(tmp_path).shard(RECIPE).find(digest(1))
    assert path.stat().st_mtime > 1.7e9


def test_a_folder_that_cannot_be_written_is_a_notice(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    store = store_rows(tmp_path / "file", {1: np.ones(3)})
    [notice] = store.notices
    assert "memory only" in notice
    assert "\n" not in notice


def test_a_full_disk_is_a_notice_and_leaves_no_file(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module.os, "replace", fail)
    store = store_rows(tmp_path, {1: np.ones(3)})
    assert "No space left on device" in store.notices[0]
    assert not files(tmp_path)
    keep_on = store.shard(RECIPE)
    keep_on.add(digest(2), np.ones(3))
    store.close()
    assert len(store.notices) == 1


def test_concurrent_writers_lose_nothing(tmp_path):
    def write(first):
        store_rows(tmp_path, {number: np.full(3, number) for number in range(first, first + 30)})

    writers = [threading.Thread(target=write, args=(10 * each,)) for each in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    shard = FeatureCache(tmp_path).shard(RECIPE)
    assert [int(shard.find(digest(number))[0]) for number in range(80)] == list(range(80))
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_removed_by_another_process_is_only_missing(tmp_path):
    store_rows(tmp_path, {1: np.ones(3)})
    store = FeatureCache(tmp_path)
    shard = store.shard(RECIPE)
    files(tmp_path)[0].unlink()
    assert shard.find(digest(1)) is None
    assert store.notices == ()


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is a standard of Linux")
def test_the_cache_is_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_cache_folder() == tmp_path / "nstk"


# Features through the cache


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = draw_folder(tmp_path_factory.mktemp("images"), 5)
    return sorted(path for path in root.rglob("*") if path.is_file())


def extract(backbone, images, folder, choice="pooled", views=1):
    extractor = FeatureExtractor(backbone, 32, BLOCKS[choice], CROPS[:views])
    return extract_features(extractor, images, cache=FeatureCache(folder))


def test_cached_features_are_not_computed_again(tiny_backbone, images, tmp_path):
    first = extract(tiny_backbone, images, tmp_path)
    again = extract(tiny_backbone, images, tmp_path)
    assert (first.forward_passes, again.forward_passes) == (10, 0)
    assert again.vectors("pooled").tobytes() == first.vectors("pooled").tobytes()
    assert again.hashes == first.hashes


def test_only_missing_features_are_computed(tiny_backbone, images, tmp_path):
    extract(tiny_backbone, images[:6], tmp_path)
    assert extract(tiny_backbone, images, tmp_path).forward_passes == 4
    assert extract(tiny_backbone, images, tmp_path, views=3).forward_passes == 20
    assert extract(tiny_backbone, images, tmp_path, "pooled+statistics").forward_passes == 10
    assert extract(tiny_backbone, images[2:], tmp_path, "pooled+statistics").forward_passes == 0


def test_an_image_is_identified_by_its_content(tiny_backbone, images, tmp_path):
    extract(tiny_backbone, images, tmp_path / "cache")
    moved = tmp_path / "another name"
    moved.write_bytes(images[3].read_bytes())
    assert extract(tiny_backbone, [moved], tmp_path / "cache").forward_passes == 0


def test_damaged_features_are_computed_again(tiny_backbone, images, tmp_path):
    first = extract(tiny_backbone, images, tmp_path)
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:-5])
    again = extract(tiny_backbone, images, tmp_path)
    assert again.forward_passes == 10
    assert again.vectors("pooled") == pytest.approx(first.vectors("pooled"), abs=1e-6)
    assert extract(tiny_backbone, images, tmp_path).forward_passes == 0


def test_rows_are_written_every_half_minute(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr(cache_module.time, "monotonic", lambda: now)
    shard = FeatureCache(tmp_path).shard(RECIPE)
    for number, moment in enumerate((110.0, 125.0, 131.0, 140.0)):
        now = moment
        shard.add(digest(number), np.ones(2))
    assert len(files(tmp_path)) == 1
    assert FeatureCache(tmp_path).shard(RECIPE).find(digest(2)) is not None
    assert FeatureCache(tmp_path).shard(RECIPE).find(digest(3)) is None
