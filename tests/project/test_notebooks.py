"""The notebooks run from top to bottom, and show what their text says."""

import base64
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from write_notebooks import digest_code, run_cell

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def read_cells(path, kind):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def run(path):
    """Run all cells in one namespace; return it, and the value that each cell displays."""
    names, shown = {"__name__": "__main__"}, {}
    for cell in read_cells(path, "code"):
        _, value = run_cell(cell, names)
        if value is not None:
            shown[cell["id"]] = value
    return names, shown


@pytest.fixture(scope="module")
def lesson():
    """A function that runs a notebook at its small size, in its own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSTK_NOTEBOOK_SMALL", "1")
        patch.setattr("nstk.finetuning.unfreezing.planning.EPOCHS", 4)
        patch.chdir(EXAMPLES)
        patch.setattr(sys, "path", [*sys.path])
        yield run


@pytest.fixture(scope="module")
def style_transfer(lesson):
    return lesson(EXAMPLES / "neural_style_transfer.ipynb")


@pytest.fixture(scope="module")
def transfer_learning(lesson):
    return lesson(EXAMPLES / "transfer_learning.ipynb")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_named_cells_and_the_outputs_of_its_code(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z-]{0,63}", name) for name in ids)
    assert notebook["metadata"]["outputs_of"] == digest_code(notebook), (
        "run docs/write_notebooks.py"
    )
    outputs = [output for cell in read_cells(path, "code") for output in cell["outputs"]]
    images = [
        Image.open(io.BytesIO(base64.b64decode(content)))
        for output in outputs
        for content in output.get("data", {}).values()
    ]
    assert len(images) >= 7
    assert all(image.width >= 300 for image in images)
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_heading_and_paragraph_is_in_korean_too(path):
    for cell in read_cells(path, "markdown"):
        text = "".join(cell["source"])
        headings = re.findall(r"^#+ .*$", text, re.MULTILINE)
        assert not headings or re.search("[가-힣]", " ".join(headings)), headings
        assert re.search("[가-힣]", text) or cell["id"] == "settings-heading", cell["id"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_to_files(path):
    text = "".join("".join(cell["source"]) for cell in read_cells(path, "markdown"))
    targets = re.findall(r"\]\((\.\.[^)#]+)\)", text)
    assert all((path.parent / target).is_file() for target in targets), targets


@pytest.mark.slow
def test_the_formulas_of_style_transfer_are_what_the_library_computes(style_transfer):
    names, _ = style_transfer
    assert names["by_hand"] == pytest.approx(names["library"], rel=1e-4)
    np.testing.assert_allclose(names["gram"], names["by_hand_gram"], rtol=1e-3, atol=1e-2)
    assert names["same_when_shuffled"]


@pytest.mark.slow
def test_every_optimization_reduces_its_loss(style_transfer):
    names, _ = style_transfer
    paths = [names["by_hand_losses"], names["history"]["L"], *names["texture_losses"].values()]
    paths += [losses for _, losses in names["paths"].values()]
    for losses in paths:
        assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_newton_reaches_the_minimum_of_a_quadratic_in_one_step(style_transfer):
    names, _ = style_transfer
    start, end = names["newton"]
    assert start > 1
    assert end < 1e-9
    assert names["slow"][1] > 1
    assert names["roots"][-1] == pytest.approx(2**0.5, abs=1e-12)


@pytest.mark.slow
def test_deep_layers_preserve_fewer_pixels_and_a_larger_alpha_more_content(style_transfer):
    names, _ = style_transfer
    errors = [*names["pixel_errors"].values()]
    assert errors[0] < errors[-1]
    content = [names["swept"][alpha][1] for alpha in sorted(names["swept"])]
    style = [names["swept"][alpha][2] for alpha in sorted(names["swept"])]
    assert content == sorted(content, reverse=True)
    assert style[0] < style[-1]
    assert content[0] > 2 * content[-1]


@pytest.mark.slow
def test_leave_one_out_by_hand_equals_the_formula(transfer_learning):
    names, _ = transfer_learning
    assert names["exact"]
    assert names["share"] > 0.3, "a tenth would be chance"
    assert names["ridge_accuracy"] > 0.5


@pytest.mark.slow
def test_transfer_beats_random_weights_where_images_are_few(transfer_learning):
    names, _ = transfer_learning
    pretrained, random = (
        np.array([each.accuracy for each in names[which]]) for which in ("pretrained", "random")
    )
    assert pretrained.mean() > random.mean() + 0.05
    assert pretrained[-1] > 0.6
    assert names["study"].transfer.accuracy > names["study"].trained.accuracy + 0.3


@pytest.mark.slow
def test_the_saved_model_classifies_new_digits_without_nstk(transfer_learning):
    names, _ = transfer_learning
    assert names["right"] >= 7
    assert names["stage"].mcnemar.p_value <= 1


@pytest.mark.slow
def test_photographs_are_stylized_and_classified(style_transfer, transfer_learning):
    stylized = style_transfer[0]["stylized"]
    assert len(stylized) == 2
    assert all(np.isfinite(image).all() and image.std() > 0.05 for image in stylized.values())
    assert transfer_learning[0]["tested"].accuracy > 0.5, "a third would be chance"


@pytest.mark.slow
def test_every_figure_is_an_image_that_is_not_blank(style_transfer, transfer_learning):
    figures = [
        value
        for _, shown in (style_transfer, transfer_learning)
        for value in shown.values()
        if isinstance(value, Image.Image)
    ]
    assert len(figures) >= 15
    for figure in figures:
        assert 300 <= figure.width <= 1300
        assert np.asarray(figure).std() > 5
