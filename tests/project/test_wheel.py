"""The wheel contains both packages and nothing else, and runs in a clean environment."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import hatchling.build
import pytest
from shell import environment

from nstk.backbones.listing import PACKAGED

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return folder / hatchling.build.build_wheel(str(folder))


def sources():
    """List the files that the wheel should contain: both packages."""
    for package, parent in ((ROOT / "nstk", ROOT), (ROOT / "cli" / "nstk_cli", ROOT / "cli")):
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(parent).as_posix()


def test_it_contains_both_packages_the_weights_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        rest = {name.partition("/")[2] for name in archive.namelist() if ".dist-info/" in name}
    assert names == set(sources())
    data = {f"nstk/backbones/data/{name}.npz" for name in PACKAGED}
    assert {"nstk/py.typed", "nstk_cli/py.typed", *data} <= names
    assert "nstk/backbones/data/NOTICE.txt" in names
    suffixes = {
        ".js",
        ".json",
        ".toml",
        ".webp",
        ".py",
        ".typed",
        ".npz",
        ".html",
        ".css",
        ".ttf",
        ".txt",
    }
    assert {Path(name).suffix for name in names} == suffixes
    assert rest == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_it_is_smaller_than_thirteen_megabytes(wheel):
    assert wheel.stat().st_size < 13e6


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of a clean environment with this wheel."""
    home = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "--python",
                python,
                "install",
                "--quiet",
                "--no-compile",
            ),
            *("--no-compile", "--no-deps", "--no-index", wheel),
        ],
        check=True,
    )
    return home / "bin"


def run(program, *arguments, cwd):
    # PYTHONPATH adds the dependencies; it does not include an editable nstk.
    borrowed = environment(PYTHONPATH=sysconfig.get_path("purelib"))
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env=borrowed,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout


def test_it_runs_in_a_clean_environment(installed, tmp_path):
    assert "Commands:" in run(installed / "nstk", "--help", cwd=tmp_path)
    where = run(
        installed / "python", "-c", "import nstk, nstk_cli; print(nstk.__file__)", cwd=tmp_path
    )
    assert where.startswith(os.fspath(installed.parent))


@pytest.mark.slow
def test_it_stylizes_with_the_packaged_weights(installed, tmp_path, scene):
    import nstk

    nstk.save_image(tmp_path / "scene.png", scene)
    command = ["stylize", "scene.png", "scene.png", "-o", "out.png", "--size", "32", "--steps", "1"]
    layers = ["--content-layers", "block2_conv1", "--style-layers", "block1_conv1"]
    answer = json.loads(run(installed / "nstk", *command, *layers, "--json", "-q", cwd=tmp_path))
    assert answer["backbone"] == "compact"
    assert (tmp_path / "out.png").is_file()
