"""Every example runs, at a tiny size."""

import ast
import importlib
import json
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shell import invoke

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
IN_PYTHON = [
    "stylize_in_python.py",
    "custom_loss.py",
    "keep_colors.py",
    "finetune_in_python.py",
    "tap_in_your_model.py",
    "classifier_as_layer.py",
]


@pytest.fixture(scope="module", autouse=True)
def _siblings():
    """Examples import what lies beside them, as scripts do."""
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A small copy of the demo's labeled folder."""
    from draw_samples import write_digits

    folder = tmp_path_factory.mktemp("samples")
    write_digits(folder, per_class=5, new=1, side=32)
    return folder


@pytest.fixture
def small_drawings(monkeypatch, scene, strokes):
    """Small images in place of the drawn ones, which take seconds."""
    import landscape
    import painting

    for module, name, pixels in (
        (landscape, "draw_landscape", scene),
        (painting, "draw_painting", strokes),
    ):
        drawn = Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
        monkeypatch.setattr(module, name, lambda drawn=drawn: drawn)


def test_samples_are_the_same_every_time_and_not_blank():
    from landscape import draw_landscape
    from painting import draw_painting

    for draw in (draw_landscape, partial(draw_painting, density=0.05)):
        drawn, again = np.asarray(draw(96, 64)), np.asarray(draw(96, 64))
        np.testing.assert_array_equal(drawn, again)
        assert drawn.shape == (64, 96, 3)
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 500
        assert drawn.std() > 30


def test_digits_are_balanced_and_the_new_ones_are_others(digits):
    labeled = sorted((digits / "digits").rglob("*.png"))
    new = sorted((digits / "new-digits").glob("*.png"))
    assert len(labeled) == 50
    assert len(new) == 10
    assert {path.parent.name for path in labeled} == set("0123456789")
    seen = {Image.open(path).tobytes() for path in labeled}
    assert len(seen) == 50
    assert not seen & {Image.open(path).tobytes() for path in new}


@pytest.mark.parametrize("name", IN_PYTHON)
def test_an_example_fits_on_a_page(name):
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 60


def read_code(path):
    """The code of a program or a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


# These build the packaged weights, out of the architectures of `nstk.backbones`.
BUILD_WEIGHTS = {"convert_efficientnet_lite0.py"}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(EXAMPLES.glob("*.[pi]*")) if path.name not in BUILD_WEIGHTS],
    ids=lambda path: path.name,
)
def test_examples_and_notebooks_use_public_names_only(path):
    import nstk

    modules = {"nstk", *(f"nstk.{name}" for name in nstk.NAMESPACES)}
    for node in ast.walk(ast.parse(read_code(path))):
        if isinstance(node, ast.Import):
            imported = [each.name for each in node.names if each.name.split(".")[0] == "nstk"]
            assert set(imported) <= modules, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nstk":
            assert node.module in modules, ast.unparse(node)
            module = importlib.import_module(node.module)
            public = nstk.__all__ if module is nstk else dir(module)
            assert {each.name for each in node.names} <= set(public), ast.unparse(node)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "nstk":
            assert node.attr in (*nstk.__all__, "__version__"), ast.unparse(node)


@pytest.mark.usefixtures("small_compact")
def test_stylizing_in_python(tmp_path, scene, strokes):
    import nstk

    nstk.save_image(tmp_path / "scene.png", scene)
    nstk.save_image(tmp_path / "strokes.png", strokes)
    main = runpy.run_path(str(EXAMPLES / "stylize_in_python.py"))["main"]
    files = [str(tmp_path / name) for name in ("scene.png", "strokes.png", "out.png")]
    made = main(*files, size="64", steps="2")
    assert made.steps >= 2
    assert (tmp_path / "out.png").is_file()
    assert (tmp_path / "out-64×48.png").is_file()


@pytest.mark.usefixtures("small_drawings", "small_compact")
def test_keeping_colors_shows_every_mode(tmp_path, capsys):
    import nstk
    from nstk.stylization.color_transfer import COLOR_MODES

    main = runpy.run_path(str(EXAMPLES / "keep_colors.py"))["main"]
    assert set(main.__globals__["MODES"]) == set(COLOR_MODES)
    main.__globals__["MODES"] = ("style", "lab")  # every mode compiles a network of its own
    strip = main(str(tmp_path), "64", "1")
    assert {path.stem for path in tmp_path.iterdir()} == {"style", "lab", "colors"}
    assert nstk.load_image(strip).pixels.shape[1] == 64 * 2
    assert capsys.readouterr().out.count("mean color") == 2


@pytest.mark.usefixtures("small_compact")
def test_a_loss_term_of_ones_own_reddens_the_result(tmp_path, scene, strokes, capsys):
    import nstk

    nstk.save_image(tmp_path / "scene.png", scene)
    nstk.save_image(tmp_path / "strokes.png", strokes)
    main = runpy.run_path(str(EXAMPLES / "custom_loss.py"))["main"]
    files = [str(tmp_path / name) for name in ("scene.png", "strokes.png", "out.png")]
    main(*files, size="64", steps="8")
    assert "'red': " in capsys.readouterr().out
    reddened = nstk.load_image(files[2]).pixels
    assert reddened[..., 0].mean() > scene[..., 0].mean()


@pytest.mark.usefixtures("small_compact")
def test_finetuning_in_python_needs_nstk_only_for_the_making(digits, tmp_path, capsys):
    main = runpy.run_path(str(EXAMPLES / "finetune_in_python.py"))["main"]
    image = next((digits / "new-digits").glob("*.png"))
    label = main(str(digits / "digits"), str(image), str(tmp_path / "digits.keras"))
    said = capsys.readouterr().out
    assert said.count(f"shows {label} (") == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*shuffle=True.*:UserWarning")
def test_tapping_in_a_model_of_ones_own(digits, capfd):
    main = runpy.run_path(str(EXAMPLES / "tap_in_your_model.py"))["main"]
    main(str(digits / "digits"), "1")
    printed = capfd.readouterr().out
    assert "accuracy" in printed
    assert "gradient" in printed


@pytest.mark.slow
@pytest.mark.usefixtures("small_drawings", "small_compact")
def test_the_demo_lists_its_results_at_the_end(tmp_path, monkeypatch, capsys):
    """`make demo` runs the same steps in processes of their own."""

    def run_here(command, check):
        program, *words = map(str, command)
        if Path(program).name == "nstk":
            return subprocess.CompletedProcess(command, invoke(*words).exit_code)
        monkeypatch.setattr(sys, "argv", words)
        runpy.run_path(words[0], run_name="__main__")
        return subprocess.CompletedProcess(command, 0)

    main = runpy.run_path(str(EXAMPLES / "demo.py"))["main"]
    monkeypatch.setattr(subprocess, "run", run_here)
    small = ["--size", "64", "--steps", "2", "--per-class", "5"]
    monkeypatch.setattr(sys, "argv", ["demo.py", str(tmp_path), *small])
    assert main() == 0
    summary = capsys.readouterr().out.partition("Done:")[2]
    for name in ("stylized.png", "digits.keras", "labels.csv"):
        assert str(tmp_path / name) in summary
        assert (tmp_path / name).is_file()
    assert (tmp_path / "overview.jpg").is_file()
