from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.errors import SettingsError
from nstk.stylization.recipe import COARSEST, plan_scales


@given(
    height=st.integers(40, 3000),
    width=st.integers(40, 3000),
    size=st.integers(64, 4000),
    steps=st.integers(1, 500),
    scales=st.one_of(st.just("auto"), st.integers(1, 12)),
)
def test_scales_end_at_the_full_size_with_the_requested_steps(height, width, size, steps, scales):
    shorter = max(1, round(size * min(height, width) / max(height, width)))
    if shorter < 8:
        return
    plan = plan_scales(height, width, size=size, steps=steps, scales=scales, smallest=8)
    assert plan[-1].longer_side == size
    assert {scale.steps for scale in plan} == {steps}
    assert all(a.longer_side < b.longer_side for a, b in pairwise(plan))
    assert all(min(scale.height, scale.width) >= 8 for scale in plan)


def test_one_scale_is_the_full_size():
    assert len(plan_scales(300, 400, size=512, steps=10, scales=1, smallest=8)) == 1


def test_automatic_scales_grow_by_the_square_root_of_2_from_64():
    plan = plan_scales(300, 400, size=512, steps=100, scales="auto", smallest=8)
    assert [scale.longer_side for scale in plan] == [COARSEST, 91, 128, 181, 256, 362, 512]


def test_an_image_too_narrow_for_the_network_is_refused_with_its_shorter_side():
    with pytest.raises(SettingsError, match=r"size=400.* 4 px.* 32 px"):
        plan_scales(30, 3000, size=400, steps=1, scales="auto", smallest=32)
