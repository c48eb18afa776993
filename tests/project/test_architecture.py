"""The house stands: imports go down, nothing goes round, and the façade costs nothing."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nstk

ROOT = Path(__file__).resolve().parents[2]

FLOORS = {
    "errors": 0,
    "progress": 0,
    "settings": 0,
    "media": 1,
    "pages": 2,
    "backbones": 2,
    "optimizers": 2,
    "stylization": 3,
    "finetuning": 3,
    "sheets": 3,
    "inspecting": 4,
    "sweeping": 4,
    "predicting": 4,
    "exporting": 5,
    "evaluating": 5,
    "explaining": 5,
    "auditing": 5,
    "reporting": 6,
}


def modules(package: Path) -> dict[str, ast.Module]:
    """Every module below a package by its dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


LIBRARY = modules(ROOT / "nstk")
SHELL = modules(ROOT / "cli" / "nstk_cli")


def imports(tree: ast.AST) -> set[str]:
    """Every module a tree imports anywhere; names imported from a package count as its own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import in line {node.lineno}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def home(name: str) -> str | None:
    """The library module that a dotted name is, or lies in."""
    while name:
        if name in LIBRARY:
            return name
        name = name.rpartition(".")[0]
    return None


def links(name: str) -> set[str]:
    """The library modules that a library module imports."""
    return {target for target in map(home, imports(LIBRARY[name])) if target}


def room(name: str) -> str:
    return name.split(".")[1]


ROOMS = [name for name in LIBRARY if name != "nstk"]


def test_every_room_has_a_floor():
    assert {room(name) for name in ROOMS} <= set(FLOORS)


@pytest.mark.parametrize("name", ROOMS)
def test_imports_go_down_and_never_into_the_room_next_door(name):
    for target in links(name):
        assert target != "nstk", f"{name} imports through the façade above it"
        if room(target) == room(name):
            continue
        floor, below = FLOORS[room(name)], FLOORS[room(target)]
        assert below < floor or below == floor == 0, f"{name} imports {target}"


def test_no_imports_go_round():
    resting, done = [], set()

    def visit(name):
        assert name not in resting, " → ".join([*resting[resting.index(name) :], name])
        if name in done:
            return
        resting.append(name)
        for target in links(name) - {name}:
            visit(target)
        done.add(resting.pop())

    for name in ROOMS:
        visit(name)


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library_knows_no_shell_never_prints_and_never_exits(name):
    for imported in imports(LIBRARY[name]):
        assert imported.split(".")[0] not in {"nstk_cli", "typer", "rich"}
    for node in ast.walk(LIBRARY[name]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "exit", "quit", "sys.exit", "os._exit"}, called


@pytest.mark.parametrize("name", SHELL)
def test_the_shell_uses_public_names_of_the_library_only(name):
    tree = SHELL[name]
    for imported in imports(tree):
        top, _, rest = imported.partition(".")
        assert top not in {"click", "tensorflow", "keras", "numpy", "PIL"}, imported
        if top == "nstk" and rest:
            assert rest in nstk.__all__, imported
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "nstk":
            assert node.attr in {*nstk.__all__, "__version__"}, node.attr


def fresh(code: str) -> dict:
    """Run code in a new interpreter; it prints one JSON object."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")])}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)


def test_the_facade_is_imported_in_no_time_without_tensorflow():
    code = (
        "import time, sys, json; began = time.process_time(); import nstk\n"
        "seconds = time.process_time() - began; heavy = {'tensorflow', 'keras', 'numpy', 'PIL'}\n"
        "print(json.dumps({'seconds': seconds, 'heavy': sorted(heavy & set(sys.modules))}))"
    )
    answers = [fresh(code) for _ in range(3)]
    assert not answers[0]["heavy"]
    assert min(answer["seconds"] for answer in answers) <= 0.1


def test_the_facade_sets_nothing_global():
    code = (
        "import os, sys, json, logging, warnings\n"
        "def world():\n"
        "    return [dict(os.environ), list(sys.path), repr(warnings.filters),\n"
        "            logging.root.level, logging.root.handlers, repr(sys.stderr)]\n"
        "before = world(); import nstk; dir(nstk); nstk.NstkError; nstk.StylizeSettings()\n"
        "print(json.dumps({'same': before == world()}))"
    )
    assert fresh(code)["same"]


def test_settings_media_pages_and_sheets_need_no_tensorflow():
    names = [
        name for name in LIBRARY if room(f"{name}.") in {"settings", "media", "pages", "sheets"}
    ]
    code = (
        f"import sys, json; [__import__(name) for name in {names!r}]\n"
        "print(json.dumps({'heavy': sorted({'tensorflow', 'keras'} & set(sys.modules))}))"
    )
    assert not fresh(code)["heavy"]
