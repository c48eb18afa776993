"""Quality of the default recipe, measured with a network that it does not optimize."""

import pytest
from unit_images import unit_image

import nstk
from benchmarks.style_metrics import measure_style

SIZES = (192, 384)


@pytest.fixture(scope="module")
def images(shared):
    folder = shared / "data" / "pictures"
    return tuple(
        unit_image(nstk.load_image(folder / kind / f"{name}.jpg"))
        for kind, name in (("content", "tubingen"), ("style", "starry_night"))
    )


@pytest.mark.slow
def test_a_larger_content_weight_lowers_the_content_error(images):
    """The weights are far enough apart for the errors to differ on every machine."""
    errors = [
        measure_style(
            *images, nstk.stylize(*images, size=128, steps=20, content_weight=weight).image
        )["content_error"]
        for weight in (1e-3, 0.1, 3.0)
    ]
    assert errors[0] > 1.03 * errors[1]
    assert errors[1] > 1.03 * errors[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_strength_means_the_same_at_twice_the_size(images):
    small, large = (
        measure_style(*images, nstk.stylize(*images, size=size, steps=24).image) for size in SIZES
    )
    assert large["content_cosine"] == pytest.approx(small["content_cosine"], rel=0.1)
    assert large["style_error"] == pytest.approx(small["style_error"], rel=0.1)
