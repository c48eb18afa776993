"""The program that stylizes and measures a gallery: its pairs, its table and its measure."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import gallery


def test_the_table_has_a_row_for_each_result_and_the_mean_of_each_group():
    rows = {name: dict.fromkeys(gallery.COLUMNS, value) for name, value in (("a", 1), ("b", 2))}
    lines = gallery.format_table(rows, {"both": ["a", "b"], "none": []}).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| a", "| b", "| mean of both (2)"]
    assert lines[-1].split(" | ")[1] == "1.500"


def test_every_ninth_pair_has_another_photograph_and_another_painting(monkeypatch, tmp_path):
    for kind, count in (("content", 12), ("style", 9)):
        folder = tmp_path / "data" / "styleid" / kind
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number:02}.jpg").touch()
    monkeypatch.setenv("NSTK_SHARED", str(tmp_path))
    published, every, diagonal = (gallery.list_pairs(n) for n in (0, 1, 9))
    assert len(published) == 3
    assert all(pair.published for pair in published)
    assert len(every) == 3 + 12 * 8
    assert len({pair.content for pair in diagonal[3:]}) == len(diagonal[3:]) == 11
    assert len({pair.style for pair in diagonal[3:]}) == 8


@pytest.mark.slow
def test_the_structure_of_an_image_is_its_own_and_that_of_another_is_not(shared, scene):
    noisy = np.clip(scene + np.random.default_rng(0).normal(0, 0.05, scene.shape), 0, 1)
    assert gallery.compare_structure(scene, scene) == pytest.approx(0, abs=1e-4)
    slightly, wholly = (
        gallery.compare_structure(scene, other)
        for other in (noisy.astype(np.float32), scene[::-1].copy())
    )
    assert 0 < slightly < wholly
