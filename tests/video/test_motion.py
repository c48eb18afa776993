import sys
from pathlib import Path

import numpy as np
import pytest
from clip_files import draw_frame

from nstk.video import measuring, motion


def shifted_pair(pixels=2, height=64, width=96):
    return [draw_frame(number * pixels / 2, height, width) for number in (0, 1)]


def test_the_flow_of_a_moving_scene_is_its_motion():
    earlier, levels = shifted_pair(3)
    inner = motion.compute_flow(levels, earlier)[8:-8, 8:-8]
    assert inner[..., 0].mean() == pytest.approx(-3, abs=0.1)
    assert np.abs(inner[..., 1]).mean() < 0.1


@pytest.mark.parametrize("size", [(8, 8), (12, 200), (1, 1)])
def test_tiny_frames_have_a_flow_of_their_size(size):
    levels = draw_frame(0, *size)
    assert motion.compute_flow(levels, levels).shape == (*size, 2)


def test_warping_takes_each_pixel_from_where_the_flow_points():
    image = motion.to_unit(draw_frame(0))
    flow = np.zeros((*image.shape[:2], 2), np.float32)
    np.testing.assert_array_equal(motion.warp(image, flow), image)
    flow[..., 0], flow[..., 1] = 1.5, 2
    expected = (image[2:, 1:-1] + image[2:, 2:]) / 2
    np.testing.assert_allclose(motion.warp(image, flow)[:-2, :-2], expected, atol=1e-6)


def test_a_still_scene_is_reliable_everywhere():
    still = np.zeros((20, 30, 2), np.float32)
    np.testing.assert_array_equal(motion.measure_reliability(still, still), np.ones((20, 30)))


def test_what_the_earlier_frame_hides_is_not_reliable():
    """An object of ten columns moves five to the right: what it uncovers was not visible."""
    backward, forward = (np.zeros((40, 60, 2), np.float32) for _ in range(2))
    backward[:, 25:35, 0], forward[:, 20:30, 0] = -5, 5
    reliability = motion.measure_reliability(backward, forward)
    assert reliability[:, 21:24].max() == 0
    assert reliability[:, 28:32].min() > 0.99
    assert reliability[:, :15].min() > 0.99
    assert reliability[:, 45:].min() > 0.99


def test_pixels_that_come_from_outside_the_frame_are_not_reliable():
    backward = np.full((20, 40, 2), [-6, 0], np.float32)
    reliability = motion.measure_reliability(backward, -backward)
    assert reliability[:, :5].max() == 0
    assert reliability[:, 10:].min() > 0.99


def test_near_frames_come_first_and_far_ones_fill_what_they_leave():
    near, far = (np.array([[a, b, c]], np.float32) for a, b, c in ((1, 0.4, 0), (1, 1, 0.5)))
    first, second = motion.prefer_nearest([near, far])
    np.testing.assert_allclose(first, near)
    np.testing.assert_allclose(second, [[0, 0.6, 0.5]], atol=1e-6)


def test_one_target_has_the_gradient_of_all_terms_together():
    generator = np.random.default_rng(0)
    x = generator.random((4, 5, 3), np.float32)
    several = [
        motion.Warped(generator.random((4, 5, 3), np.float32), generator.random((4, 5), np.float32))
        for _ in range(3)
    ]
    weights = motion.prefer_nearest([each.reliability for each in several])
    expected = sum(
        weight[..., None] * (x - each.image) for weight, each in zip(weights, several, strict=True)
    )
    image, reliability = motion.combine(several)
    np.testing.assert_allclose(reliability[..., None] * (x - image), expected, atol=1e-5)
    assert reliability.max() <= 1 + 1e-6


def test_without_flow_a_result_changes_as_its_content_does():
    earlier, levels = shifted_pair()
    image, reliability = motion.follow_difference(levels, earlier, motion.to_unit(earlier))
    np.testing.assert_allclose(image, motion.to_unit(levels), atol=1e-6)
    assert reliability.min() == 1
    assert motion.share_changed(levels, levels) == 0
    assert motion.share_changed(np.zeros_like(levels), np.full_like(levels, 200)) == 1


def test_the_warping_error_is_small_for_motion_and_large_for_flicker():
    contents = [draw_frame(number, 64, 96) for number in range(3)]
    generator = np.random.default_rng(0)
    flicker = [
        np.clip(each + generator.normal(0, 30, each.shape), 0, 255).astype(np.uint8)
        for each in contents
    ]
    calm = measuring.measure_stability(contents, contents)
    wild = measuring.measure_stability(flicker, contents)
    assert len(calm.result) == 2
    assert calm.result == calm.content == wild.content
    assert max(calm.result) < 0.003
    assert min(wild.result) > 0.01


@pytest.fixture(scope="module")
def scene_with_known_motion():
    """The size of a frame, and the layers of a scene in which three photographs move."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    import moving_scene

    size = (64, 96)
    images = [motion.to_unit(draw_frame(number, 70, 100)) for number in (0, 5, 11)]
    return moving_scene, size, moving_scene.compose(images, *size)


def test_a_drawn_scene_moves_as_it_says(scene_with_known_motion):
    moving_scene, size, layers = scene_with_known_motion
    earlier, levels = moving_scene.frames_of(layers, 2, size)
    known = moving_scene.known_motion(layers, 1, size)
    still = measuring.Motion(np.zeros_like(known.backward), known.visible)
    assert 0.7 < known.visible.mean() < 1
    error = measuring.warping_error(levels, earlier, known)
    assert error < 0.3 * measuring.warping_error(levels, earlier, still)


def test_the_flow_of_a_drawn_scene_is_the_known_one_where_both_frames_show_it(
    scene_with_known_motion,
):
    moving_scene, size, layers = scene_with_known_motion
    earlier, levels = moving_scene.frames_of(layers, 2, size)
    known = moving_scene.known_motion(layers, 1, size)
    found = measuring.find_motion(levels, earlier)
    both = known.visible & found.visible
    errors = np.linalg.norm(known.backward - found.backward, axis=-1)[both]
    assert both.mean() > 0.5
    assert np.median(errors) < 0.3
