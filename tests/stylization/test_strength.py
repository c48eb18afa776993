import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstk.errors import SettingsError
from nstk.settings import StylizeSettings
from nstk.stylization.recipe import content_weight_at, search_strength


def test_half_strength_at_512_pixels_is_the_content_weight_itself():
    assert content_weight_at(0.5, 0.3, 512) == pytest.approx(0.3)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_strength_lowers_the_content_weight(one, other):
    weak, strong = sorted((one, other))
    assert content_weight_at(strong, 0.3, 256) <= content_weight_at(weak, 0.3, 256)


@given(st.floats(0.05, 0.95))
def test_the_search_finds_the_strength_of_a_similarity(target):
    found = search_strength(lambda strength: 1 - strength, target)
    assert 1 - found == pytest.approx(target, abs=0.01)


@pytest.mark.parametrize(("target", "end"), [(0.9, 0.0), (0.1, 1.0)])
def test_a_similarity_out_of_range_gives_the_nearer_end(target, end):
    assert search_strength(lambda strength: 0.7 - 0.4 * strength, target) == end


@pytest.mark.parametrize("word", ["auto=2", "auto=x", "weak", "auto=-0.5"])
def test_a_strength_must_be_a_number_or_a_target(word):
    with pytest.raises(SettingsError, match=f"strength.*{word}"):
        StylizeSettings(strength=word)


def test_auto_has_a_default_target_and_accepts_another():
    assert 0 < StylizeSettings(strength="auto").target_similarity < 1
    assert StylizeSettings(strength="auto=0.42").target_similarity == 0.42
    assert StylizeSettings(strength=0.3).target_similarity is None
