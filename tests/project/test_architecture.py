"""The library prints nothing, imports quickly, and loads TensorFlow only where it needs it.

Which package may import which is a contract in pyproject.toml; `make lint` checks it.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_TENSORFLOW = [
    *("settings", "storage", "images", "datasets"),
    *("reports/figures", "reports/pages.py", "reports/sheets.py"),
]


def fresh(code):
    """Run code in a new interpreter; it prints one JSON object."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")])}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)


def test_the_library_never_prints_and_never_exits():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} calls {ast.unparse(node.func)}"
        for path in sorted((ROOT / "nstk").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"print", "exit", "quit", "sys.exit", "os._exit"}
    ]
    assert not found


def test_importing_the_package_is_fast_and_loads_no_dependency():
    code = (
        "import time, sys, json; began = time.process_time(); import nstk\n"
        "seconds = time.process_time() - began; heavy = {'tensorflow', 'keras', 'numpy', 'PIL'}\n"
        "print(json.dumps({'seconds': seconds, 'heavy': sorted(heavy & set(sys.modules))}))"
    )
    answers = [fresh(code) for _ in range(3)]
    assert not answers[0]["heavy"]
    assert min(answer["seconds"] for answer in answers) <= 0.1


def test_importing_the_package_changes_no_global_state():
    code = (
        "import os, sys, json, logging, warnings\n"
        "def state():\n"
        "    return [dict(os.environ), list(sys.path), repr(warnings.filters),\n"
        "            logging.root.level, logging.root.handlers, repr(sys.stderr)]\n"
        "before = state(); import nstk; dir(nstk); nstk.NstkError; nstk.StylizeSettings()\n"
        "print(json.dumps({'same': before == state()}))"
    )
    assert fresh(code)["same"]


def test_files_settings_pages_and_sheets_work_without_tensorflow():
    places = [ROOT / "nstk" / name for name in WITHOUT_TENSORFLOW]
    assert all(place.exists() for place in places)
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for place in places
        for path in ([place] if place.suffix else place.rglob("*.py"))
    ]
    code = (
        f"import sys, json; [__import__(name) for name in {names!r}]\n"
        "print(json.dumps({'heavy': sorted({'tensorflow', 'keras'} & set(sys.modules))}))"
    )
    assert not fresh(code)["heavy"]
