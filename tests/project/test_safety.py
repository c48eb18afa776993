"""nstk never runs code from a file: the source has no call that could."""

import ast
import hashlib
from functools import cache
from pathlib import Path

import pytest

from nstk.backbones import listing
from nstk.backbones.loading import load_backbone
from nstk.errors import WeightsError

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for place in ("nstk", "cli") for path in (ROOT / place).rglob("*.py"))

FOREIGN_CODE = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),
    *("code", "codeop", "runpy", "yaml", "torch"),
}
CALLS = {
    *("eval", "exec", "compile", "__import__", "execfile"),
    *("enable_unsafe_deserialization", "unsafe_load", "legacy_h5_format"),
}
SAFE = {"safe_mode": True, "allow_pickle": False, "shell": False}
"""Keywords that must be these constants wherever they appear."""

DOWNLOADS = {"urllib.request", "requests", "httpx", "http.client", "ftplib"}


@cache
def nodes(path):
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported(node):
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return set()


def find_fault(node):
    """Describe how a syntax node could run code from a file or download one; None if it cannot."""
    names = imported(node)
    if foreign := {name.split(".")[0] for name in names} & FOREIGN_CODE | names & DOWNLOADS:
        return f"imports {foreign}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
        return f"calls {node.func.id}"
    if isinstance(node, ast.Attribute) and node.attr in CALLS - {"compile"}:
        return f"calls {node.attr}"
    if isinstance(node, ast.keyword) and node.arg in SAFE:
        value = node.value.value if isinstance(node.value, ast.Constant) else None
        return None if value is SAFE[node.arg] else f"sets {node.arg}={value}"
    return None


def test_no_source_file_can_run_foreign_code():
    found = {
        f"{path.relative_to(ROOT)} line {getattr(node, 'lineno', 0)} {fault}"
        for path in SOURCES
        for node in nodes(path)
        if (fault := find_fault(node))
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import urllib.request",
        "eval('1')",
        "keras.config.enable_unsafe_deserialization()",
        "keras.models.load_model(path, safe_mode=False)",
        "keras.models.load_model(path, safe_mode=chosen)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(words, shell=True)",
    ],
)
def test_unsafe_code_is_detected(source):
    assert any(find_fault(node) for node in ast.walk(ast.parse(source)))


def calls(name, of=None):
    """List the calls of a function: file and keywords, optionally only as an attribute of `of`."""
    return [
        (path.relative_to(ROOT).as_posix(), {keyword.arg for keyword in node.keywords})
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
        and (of is None or ast.unparse(node.func.value) == of)
    ]


def test_models_are_loaded_in_safe_mode_and_only_where_they_are_checked():
    """`reload` opens only what nstk has just written, in a process that does not import nstk."""
    loading = [*calls("load_model"), *calls("deserialize_keras_object")]
    assert {place for place, _ in loading} == {
        "nstk/backbones/archives.py",
        "nstk/exporting/reload.py",
    }
    assert all("safe_mode" in keywords for _, keywords in loading)


def test_no_model_is_built_from_hdf5():
    for name in ("load_weights", "model_from_json", "model_from_config", "load_model_from_hdf5"):
        assert calls(name) == [], name
    assert {place for place, _ in calls("File")} == {"nstk/backbones/weights.py"}


def test_arrays_are_read_without_pickle():
    named = [("load", "np"), ("save", "np"), ("write_array", "np.lib.format")]
    found = [call for name, of in named for call in calls(name, of)]
    assert found
    assert all("allow_pickle" in keywords for _, keywords in found), found
    assert calls("read_array", "np.lib.format") == []  # it allocates what a header claims


def test_downloads_are_those_of_keras_applications():
    assert {place for place, _ in calls("get_file")} == set()
    assert "keras.applications" in (ROOT / "nstk/backbones/networks.py").read_text("utf-8")


@pytest.mark.parametrize("name", listing.PACKAGED)
def test_modified_packaged_weights_are_refused(name, tmp_path, monkeypatch):
    packaged = listing.PACKAGED[name]
    whole = packaged.find_file().read_bytes()
    assert hashlib.sha256(whole).hexdigest() == packaged.digest
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / f"{name}.npz").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(listing.resources, "files", lambda _: tmp_path)
    with pytest.raises(WeightsError, match=rf"{name}\.npz"):
        load_backbone(name)


def test_the_guarantees_are_documented():
    words = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for heading in ("What nstk guarantees", "What nstk does not guarantee", "Reporting a"):
        assert heading in words
