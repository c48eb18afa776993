"""Sizes and resizing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nstk.images.image import fit_size, resize_image, resize_plane

# Sizes


@given(height=st.integers(1, 5000), width=st.integers(1, 5000), longer_side=st.integers(1, 5000))
def test_a_fitted_size_has_the_longer_side_and_the_aspect_ratio(height, width, longer_side):
    rows, columns = fit_size(height, width, longer_side)
    assert max(rows, columns) == longer_side
    assert min(rows, columns) >= 1
    factor = longer_side / max(height, width)
    assert abs(rows - height * factor) <= max(0.5, 1 - height * factor)
    assert abs(columns - width * factor) <= max(0.5, 1 - width * factor)
    assert fit_size(width, height, longer_side) == (columns, rows)


@settings(max_examples=30)
@given(
    pixels=arrays(np.float32, (6, 7, 3), elements=st.floats(0, 1, width=32)),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
)
def test_a_resized_image_is_an_image(pixels, height, width):
    resized = resize_image(pixels, height, width)
    assert resized.shape == (height, width, 3)
    assert resized.dtype == np.float32
    assert resized.min() >= 0
    assert resized.max() <= 1


def test_the_same_size_changes_nothing_and_gives_a_new_array(scene):
    resized = resize_image(scene, 48, 64)
    np.testing.assert_array_equal(resized, scene)
    assert not np.shares_memory(resized, scene)


def test_a_flat_image_stays_flat_at_any_size():
    flat = np.full((5, 9, 3), [0.2, 0.5, 0.8], np.float32)
    for size in ((1, 1), (3, 20), (40, 2)):
        np.testing.assert_allclose(
            resize_image(flat, *size), np.broadcast_to(flat[0, 0], (*size, 3)), atol=1e-6
        )


def test_reducing_averages_pixels():
    checks = np.indices((64, 64)).sum(axis=0) % 2
    small = resize_plane(checks.astype(np.float32), 8, 8)
    np.testing.assert_allclose(small, 0.5, atol=0.05)
