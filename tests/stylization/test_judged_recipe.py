"""What the judge, who looks through another network, says of the defaults."""

import pytest

import nstk
from benchmarks.style_metrics import measure_style

SIZES = (256, 512)


@pytest.fixture(scope="module")
def images(shared):
    folder = shared / "data" / "pictures"
    return tuple(
        nstk.load_image(folder / kind / f"{name}.jpg").pixels
        for kind, name in (("content", "tubingen"), ("style", "starry_night"))
    )


def paint(images, **chosen):
    return nstk.stylize(*images, settings=nstk.StylizeSettings(**chosen)).image


@pytest.mark.slow
def test_more_content_weight_is_less_content_error_for_the_judge(images):
    errors = [
        measure_style(*images, paint(images, size=192, steps=40, content_weight=weight))[
            "content_error"
        ]
        for weight in (1e-4, 1e-3, 1e-2, 1e-1)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.9 * errors[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_strength_means_the_same_at_256_and_at_512(images):
    small, large = (measure_style(*images, paint(images, size=size, steps=40)) for size in SIZES)
    assert large["content_cosine"] == pytest.approx(small["content_cosine"], rel=0.1)
    assert large["style_error"] == pytest.approx(small["style_error"], rel=0.1)
