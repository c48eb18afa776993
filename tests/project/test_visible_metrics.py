"""What the eye sees of a stylized image: noise of color, octaves, and the origin of patches."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import visible_metrics


def wave(cycles, color, size=64):
    """A vertical grating of a color around gray."""
    phase = 2 * np.pi * cycles * np.arange(size)
    return np.float32(0.5 + 0.2 * np.sin(phase)[None, :, None] * np.float32(color)) + np.zeros(
        (size, size, 3), np.float32
    )


RED, GRAY = (1, -0.509, 0), (1, 1, 1)  # red against green keeps the luma, to three digits


def test_an_image_has_the_color_noise_of_itself(strokes):
    assert visible_metrics.chroma_noise(strokes, strokes) == pytest.approx(1)


def test_fine_waves_of_color_are_noise_and_of_luma_are_not(strokes):
    fine, coarse = (visible_metrics.chroma_noise(strokes, wave(f, RED)) for f in (0.4, 0.05))
    gray = visible_metrics.chroma_noise(strokes, wave(0.4, GRAY))
    assert fine > 1000 * coarse
    assert fine > 1000 * gray


def test_the_energy_of_a_wave_is_in_its_octave():
    luma = visible_metrics.split_luma_chroma(wave(0.09, GRAY))[0]
    energies = [visible_metrics.octave_energy(luma, each) for each in visible_metrics.OCTAVES]
    assert np.argmax(energies) == 2
    assert energies[2] == pytest.approx(0.2**2 / 2, rel=0.05)


def test_patches_of_an_image_stand_in_it():
    features = np.random.default_rng(0).random((12, 16, 8), np.float32)
    patches = visible_metrics.neighborhoods(features).reshape(-1, 72)
    assert visible_metrics.nearest_distance(patches, patches) == pytest.approx(0, abs=1e-5)
    part = patches[:20]
    assert visible_metrics.nearest_distance(part, patches) == pytest.approx(0, abs=1e-5)
    assert visible_metrics.nearest_distance(patches, part) > 0.01


@pytest.mark.slow
def test_a_style_consists_of_its_own_patches(shared, scene):
    distance, coverage = visible_metrics.compare_patches(scene, scene)
    assert distance == pytest.approx(0, abs=1e-4)
    assert coverage == pytest.approx(0, abs=1e-4)
