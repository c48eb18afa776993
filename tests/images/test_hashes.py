"""Images that are nearly the same are found, and strangers are left alone."""

import io
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nstk.images.hashes import NEAR, group_duplicates, image_hash
from nstk.images.image import resize_image
from nstk.images.loading import load_image

hashes = st.lists(st.integers(0, 2**64 - 1), max_size=12)


def differing_bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(np.uint8(pixels * 255)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32) / 255


CHANGES = {
    "twice the size": lambda pixels: resize_image(pixels, *(2 * np.array(pixels.shape[:2]))),
    "half the size": lambda pixels: resize_image(pixels, *(np.array(pixels.shape[:2]) // 2)),
    "coarse JPEG": lambda pixels: compressed(pixels, 30),
    "darker": lambda pixels: 0.7 * pixels,
    "gray": lambda pixels: np.repeat(pixels @ np.float32([[0.299], [0.587], [0.114]]), 3, axis=-1),
    "bytes": lambda pixels: np.uint8(np.rint(pixels * 255)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_hash_of_a_copy_is_close(scene, strokes, change):
    for pixels in (scene, strokes):
        copy = CHANGES[change](pixels)
        assert differing_bits(image_hash(pixels), image_hash(copy)) <= NEAR


def test_the_hashes_of_different_images_are_far(scene, strokes):
    seen = [scene, strokes, scene[::-1], scene[:, ::-1], strokes[:, ::-1], 1 - scene]
    found = [image_hash(pixels) for pixels in seen]
    assert group_duplicates(found) == list(range(6))
    assert all(0 <= each < 2**64 for each in found)


@given(
    color=st.tuples(*[st.floats(0, 255)] * 3), height=st.integers(1, 70), width=st.integers(1, 70)
)
def test_an_image_of_one_color_has_no_pattern(color, height, width):
    assert image_hash(np.full((height, width, 3), color, np.float32)) == 0


@given(given_hashes=hashes, distance=st.integers(0, 64), odd=st.booleans())
def test_groups_are_connected_components_numbered_by_first_member(given_hashes, distance, odd):
    def alike(place, others):
        return (others - place) % 2 == 1

    groups = group_duplicates(given_hashes, distance, alike if odd else None)
    assert list(dict.fromkeys(groups)) == list(range(len(set(groups))))
    count = len(given_hashes)
    reached = np.eye(count, dtype=int)
    for i, j in np.ndindex(count, count):
        close = differing_bits(given_hashes[i], given_hashes[j]) <= distance
        reached[i, j] |= close and (not odd or (i - j) % 2 == 1)
    connected = np.linalg.matrix_power(np.minimum(reached, 1), count) > 0
    assert (connected == (np.array(groups)[:, None] == groups)).all()


def test_duplicates_of_duplicates_are_one_group():
    assert group_duplicates([0b0, 0b11, 0b1111, 0xFF00, 0b0], distance=2) == [0, 0, 0, 1, 0]
    assert group_duplicates([0b0, 0b11, 0b1111, 0xFF00, 0b0], distance=0) == [0, 1, 2, 3, 0]
    assert group_duplicates([]) == []


def test_ten_thousand_images_are_grouped_at_once():
    generator = np.random.default_rng(0)
    found = generator.integers(0, 2**64, 9_000, np.uint64)
    found = [*found.tolist(), *(found[:1_000] ^ np.uint64(5)).tolist()]
    began = time.process_time()
    groups = group_duplicates(found)
    assert time.process_time() - began < 5
    assert groups[9_000:] == groups[:1_000]
    assert len(set(groups)) == 9_000


def test_thousands_of_frames_of_one_scene_are_one_group_in_little_memory():
    found = np.uint64(2**63 + 12345) ^ np.uint64(1) << np.arange(4_000, dtype=np.uint64) % 64
    asked = []

    def alike(place, others):
        asked.append(len(others))
        return np.ones(len(others), bool)

    tracemalloc.start()
    try:
        groups = group_duplicates(found.tolist(), alike=alike)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert set(groups) == {0}
    assert sum(asked) == 3_999  # of eight million pairs
    assert peak < 100 * 2**20


def test_exactly_the_subjects_photographed_twice_are_found(shared):
    folder = shared / "data" / "trashnet"
    twice = [
        "metal120",
        "metal50",
        "metal11",
        "metal221",
        "paper135",
        "paper496",
        "paper180",
        "paper284",
    ]
    paths = sorted(
        path for name in ("metal", "paper", "trash") for path in (folder / name).iterdir()
    )
    groups = group_duplicates([image_hash(load_image(path).pixels) for path in paths])
    alike: dict[int, set[str]] = {}
    for path, group in zip(paths, groups, strict=True):
        alike.setdefault(group, set()).add(path.stem)
    assert [names for names in map(sorted, alike.values()) if len(names) > 1] == sorted(
        sorted(twice[place : place + 2]) for place in range(0, 8, 2)
    )
