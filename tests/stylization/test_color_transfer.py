"""Color spaces, and what each color mode does before and after the transfer."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nstk.errors import SettingsError
from nstk.images.color_spaces import (
    from_oklab,
    reduce_chroma,
    to_luma,
    to_oklab,
)
from nstk.stylization.color_transfer import (
    COLOR_MODES,
    FAINTEST_STD,
    MATCH_METHODS,
    NEEDS_STYLE_PIXELS,
    match_colors,
    match_histogram,
    match_luminance,
    prepare_colors,
    restore_colors,
)

LEVEL = 1 / 255

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3))
IMAGES = SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
SEEDS = st.integers(0, 2**16)


def cloud(seed: int, spread: float = 0.04, side: int = 12) -> np.ndarray:
    """An image of correlated normal colors, far enough from black and white not to be clipped."""
    random = np.random.default_rng(seed)
    mixture = random.normal(size=(3, 3)) + 2 * np.eye(3)
    mixture *= spread / np.abs(mixture).sum(axis=0).max()
    colors = random.uniform(-1.7, 1.7, (side, side, 3)) @ mixture
    return (colors + random.uniform(0.42, 0.58, 3)).astype(np.float32)


def covariance(image: np.ndarray) -> np.ndarray:
    return np.cov(image.reshape(-1, 3).astype(np.float64), rowvar=False, bias=True)


def gray(image: np.ndarray) -> np.ndarray:
    return np.repeat(to_luma(image)[..., None], 3, axis=-1)


# Color spaces


@given(arrays(np.float32, (4, 4), elements=st.floats(0, 1, width=32)))
def test_a_gray_image_is_its_own_luma(plane):
    np.testing.assert_array_equal(to_luma(np.repeat(plane[..., None], 3, axis=-1)), plane)


def test_luma_has_the_weights_of_rec_601():
    np.testing.assert_allclose(to_luma(np.eye(3, dtype=np.float32)[None]), [[0.299, 0.587, 0.114]])


@given(image=IMAGES)
def test_oklab_can_be_inverted(image):
    np.testing.assert_allclose(from_oklab(to_oklab(image)), image, atol=1e-4)


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ((1, 1, 1), (1, 0, 0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_matches_published_values(color, expected):
    np.testing.assert_allclose(to_oklab(np.float32([[color]])), [[expected]], atol=1e-4)


@given(arrays(np.float32, (5, 3), elements=st.floats(-0.375, 0.375, width=32)), SEEDS)
def test_chroma_shrinks_until_the_color_exists_and_no_further(chroma, seed):
    lightness = np.random.default_rng(seed).uniform(0.05, 0.95, (5, 1))
    wanted = np.concatenate([lightness, chroma[:, :2]], axis=-1).astype(np.float32)[None]
    found = reduce_chroma(wanted)
    np.testing.assert_array_equal(found[..., 0], wanted[..., 0])
    cross = found[..., 1] * wanted[..., 2] - found[..., 2] * wanted[..., 1]
    np.testing.assert_allclose(cross, 0, atol=1e-6)  # the hue is the same
    shown = from_oklab(found)
    assert shown.min() >= -1e-3
    assert shown.max() <= 1 + 1e-3
    sizes, wishes = np.hypot(*found[0, :, 1:].T), np.hypot(*wanted[0, :, 1:].T)
    assert np.all(sizes <= wishes + 1e-6)
    more = found.copy()
    more[..., 1:] *= 1 + 2 / 4096 / np.maximum(sizes / np.maximum(wishes, 1e-9), 1e-3)[:, None]
    beyond = np.abs(from_oklab(more) - 0.5).max(axis=-1)[0] > 0.5
    assert np.all(beyond | (sizes >= wishes - 1e-6) | (sizes < 1e-3))


@given(IMAGES)
def test_colors_that_exist_keep_their_chroma(image):
    np.testing.assert_array_equal(reduce_chroma(to_oklab(image)), to_oklab(image))


# Linear matching


@pytest.mark.parametrize("method", MATCH_METHODS)
@settings(max_examples=25)
@given(seeds=st.tuples(SEEDS, SEEDS))
def test_a_match_has_the_mean_and_the_covariance_of_its_target(method, seeds):
    image, target = cloud(seeds[0], spread=0.2), cloud(seeds[1], spread=0.1)
    assume(np.linalg.eigvalsh(covariance(image))[0] >= FAINTEST_STD**2)
    matched = match_colors(image, target, method=method)
    assume(matched.min() > 0 and matched.max() < 1)
    np.testing.assert_allclose(matched.mean((0, 1)), target.mean((0, 1)), atol=1e-5)
    np.testing.assert_allclose(covariance(matched), covariance(target), atol=1e-6)


@pytest.mark.parametrize("method", MATCH_METHODS)
def test_an_image_matched_to_itself_is_unchanged(method, scene):
    np.testing.assert_allclose(match_colors(scene, scene, method=method), scene, atol=1e-4)


@given(SEEDS)
def test_the_symmetric_match_moves_colors_least(seed):
    image, target = cloud(seed, spread=0.2), cloud(seed + 1, spread=0.1)
    assume(np.linalg.eigvalsh(covariance(image))[0] >= FAINTEST_STD**2)
    matched = {method: match_colors(image, target, method=method) for method in MATCH_METHODS}
    assume(all(made.min() > 0 and made.max() < 1 for made in matched.values()))
    moved = {method: np.mean((made - image) ** 2) for method, made in matched.items()}
    assert moved["symmetric"] <= min(moved.values()) + 1e-7


def test_only_cholesky_depends_on_the_order_of_the_channels(scene, strokes):
    def turned(method):
        return match_colors(scene[..., ::-1], strokes[..., ::-1], method=method)[..., ::-1]

    for method in ("pca", "symmetric"):
        straight = match_colors(scene, strokes, method=method)
        np.testing.assert_allclose(turned(method), straight, atol=1e-4)
    assert np.abs(turned("cholesky") - match_colors(scene, strokes, method="cholesky")).max() > 0.02


@pytest.mark.parametrize("method", MATCH_METHODS)
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_an_image_of_one_color_becomes_the_mean_color(method, value, scene):
    flat = np.full((4, 5, 3), value, np.float32)
    matched = match_colors(flat, scene, method=method)
    np.testing.assert_allclose(matched, np.broadcast_to(scene.mean((0, 1)), (4, 5, 3)), atol=1e-5)


@pytest.mark.parametrize("method", MATCH_METHODS)
def test_a_match_to_one_color_is_that_color(method, scene):
    flat = np.broadcast_to(np.float32([0.2, 0.5, 0.7]), (3, 3, 3))
    matched = match_colors(scene, flat, method=method)
    np.testing.assert_allclose(matched, np.broadcast_to(flat[0, 0], scene.shape), atol=1e-4)


@pytest.mark.parametrize("method", MATCH_METHODS)
def test_a_match_to_a_gray_image_is_gray(method, scene, strokes):
    matched = match_colors(scene, gray(strokes), method=method)
    assert np.ptp(matched, axis=-1).max() < 1e-3


@pytest.mark.parametrize("method", MATCH_METHODS)
def test_a_gray_image_keeps_its_colors_on_a_line(method, scene, strokes):
    matched = match_colors(gray(scene), strokes * 0.4 + 0.3, method=method)
    assert np.linalg.eigvalsh(covariance(matched))[1] < 1e-8
    assert np.linalg.eigvalsh(covariance(matched))[2] > 1e-4


@pytest.mark.parametrize("method", MATCH_METHODS)
def test_faint_noise_does_not_become_bright_colors(method, scene):
    target = cloud(3, spread=0.2)
    clean = gray(scene) * 0.2 + 0.4
    noisy = clean + np.random.default_rng(0).normal(0, 0.3 * LEVEL, clean.shape)
    added = match_colors(noisy.astype(np.float32), target, method=method)
    added -= match_colors(clean, target, method=method)
    assert added.std() < 6 * LEVEL


# Histograms


@given(SEEDS)
def test_a_histogram_match_has_the_values_of_its_target(seed):
    random = np.random.default_rng(seed)
    image, target = random.random((6, 7, 3), np.float32), random.random((7, 6, 3), np.float32)
    matched = match_histogram(image, target)
    for channel in range(3):
        expected = np.sort(target[..., channel], axis=None)
        np.testing.assert_allclose(np.sort(matched[..., channel], axis=None), expected, atol=1e-6)


@given(IMAGES)
def test_an_image_matched_to_its_own_histogram_is_unchanged(image):
    np.testing.assert_allclose(match_histogram(image, image), image, atol=1e-6)


@given(IMAGES, IMAGES)
def test_a_histogram_match_keeps_the_order_and_the_range(image, target):
    matched = match_histogram(image, target)
    for channel in range(3):
        before, after = image[..., channel].ravel(), matched[..., channel].ravel()
        order = np.argsort(before)
        assert np.all(np.diff(after[order]) >= 0)
        assert np.all(np.diff(after[order])[np.diff(before[order]) == 0] == 0)
        assert after.min() >= target[..., channel].min()
        assert after.max() <= target[..., channel].max()


@given(IMAGES)
def test_a_histogram_does_not_depend_on_the_size_of_the_target(target):
    image = cloud(5)
    tiled = np.tile(target, (2, 3, 1))
    np.testing.assert_allclose(
        match_histogram(image, target), match_histogram(image, tiled), atol=1e-6
    )


# Luminance


@given(st.tuples(SEEDS, SEEDS))
def test_luminance_matches_the_mean_and_optionally_the_standard_deviation(seeds):
    image, target = cloud(seeds[0], spread=0.2), cloud(seeds[1], spread=0.1)
    shifted = match_luminance(image, target)
    stretched = match_luminance(image, target, std=True)
    wanted, own = to_luma(target), to_luma(image)
    for made in (shifted, stretched):
        assert np.ptp(made, axis=-1).max() == 0
        assert made.mean() == pytest.approx(wanted.mean(), abs=1e-5)
    assert to_luma(shifted).std() == pytest.approx(own.std(), abs=1e-5)
    gain = min(1.0, own.std() / FAINTEST_STD)
    assert to_luma(stretched).std() == pytest.approx(gain * wanted.std(), abs=1e-5)


def test_a_flat_image_stays_flat_in_luminance(scene):
    flat = np.full((3, 3, 3), 0.3, np.float32)
    np.testing.assert_allclose(match_luminance(flat, scene, std=True), to_luma(scene).mean())


# Modes


def test_the_modes_are_the_six_of_the_settings():
    wanted = {"style", "luminance", "match", "match-luminance", "histogram", "lab"}
    assert set(COLOR_MODES) == wanted
    assert len(COLOR_MODES) == 6
    assert set(MATCH_METHODS) == {"cholesky", "pca", "symmetric"}


@pytest.mark.parametrize("mode", COLOR_MODES)
def test_only_the_listed_modes_change_the_pixels_of_the_style(mode, scene, strokes):
    _, prepared = prepare_colors(scene, strokes, mode)
    assert (prepared is strokes) == (mode not in NEEDS_STYLE_PIXELS)


@pytest.mark.parametrize("mode", COLOR_MODES)
def test_arguments_stay_unchanged_and_results_are_images(mode, scene, strokes):
    before = scene.copy(), strokes.copy()
    content, style = prepare_colors(scene, strokes, mode, "pca")
    restored = restore_colors(content, scene, mode)
    np.testing.assert_array_equal(scene, before[0])
    np.testing.assert_array_equal(strokes, before[1])
    for made, shape in ((content, scene.shape), (style, strokes.shape), (restored, scene.shape)):
        assert made.shape == shape
        assert made.dtype == np.float32
        assert made.min() >= 0
        assert made.max() <= 1


@pytest.mark.parametrize("mode", COLOR_MODES)
def test_the_prepared_content_does_not_depend_on_the_style(mode, scene, strokes):
    first, _ = prepare_colors(scene, strokes, mode)
    second, _ = prepare_colors(scene, strokes * 0.3, mode)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("mode", COLOR_MODES)
@given(image=IMAGES)
def test_a_result_equal_to_the_content_is_unchanged(mode, image):
    prepared, _ = prepare_colors(image, image, mode)
    if mode in ("luminance", "match-luminance", "lab"):
        np.testing.assert_allclose(restore_colors(prepared, image, mode), image, atol=5e-4)
    else:
        assert restore_colors(prepared, image, mode) is prepared


@pytest.mark.parametrize("mode", ["luminance", "match-luminance"])
@given(seeds=st.tuples(SEEDS, SEEDS))
def test_luminance_modes_keep_the_luma_of_the_result_and_the_hue_of_the_content(mode, seeds):
    result, content = (np.random.default_rng(s).random((4, 5, 3), np.float32) for s in seeds)
    restored = restore_colors(result, content, mode)
    np.testing.assert_allclose(to_luma(restored), to_luma(result), atol=1e-5)
    chroma, wanted = restored - gray(restored), content - gray(content)
    np.testing.assert_allclose(np.cross(chroma, wanted), 0, atol=1e-5)
    assert np.all(np.sum(chroma * wanted, axis=-1) >= -1e-6)
    reached = np.abs(restored - 0.5).max(axis=-1) > 0.5 - 1e-5
    full = np.abs(chroma - wanted).max(axis=-1) < 1e-5
    assert np.all(reached | full)  # chroma shrinks only at the edge of sRGB


@given(st.tuples(SEEDS, SEEDS))
def test_the_lab_mode_keeps_the_lightness_of_the_result_and_the_hue_of_the_content(seeds):
    result, content = (np.random.default_rng(s).random((4, 5, 3), np.float32) for s in seeds)
    restored = to_oklab(restore_colors(result, content, "lab"))
    np.testing.assert_allclose(restored[..., 0], to_oklab(result)[..., 0], atol=1e-3)
    wanted = to_oklab(content)
    cross = restored[..., 1] * wanted[..., 2] - restored[..., 2] * wanted[..., 1]
    np.testing.assert_allclose(cross, 0, atol=1e-4)


def test_a_content_of_another_size_is_resized_to_the_result(scene, strokes):
    for mode in ("luminance", "lab"):
        assert restore_colors(strokes, scene, mode).shape == strokes.shape


@pytest.mark.parametrize("act", [prepare_colors, restore_colors])
def test_an_unknown_mode_is_refused_with_the_known_ones(act, scene):
    with pytest.raises(SettingsError, match=r"color.*sepia.*histogram") as refused:
        act(scene, scene, "sepia")
    assert "\n" not in str(refused.value)


def test_an_unknown_method_is_refused_with_the_known_ones(scene):
    with pytest.raises(SettingsError, match=r"'magic'.*cholesky"):
        match_colors(scene, scene, method="magic")
