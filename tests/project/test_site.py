"""The documentation site builds strictly, loads nothing from elsewhere, and finds every name."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import nstk
from nstk.settings import StylizeSettings

ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=\"?(https?:[^\"> ]+)"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site; a missing page, a missing anchor or an unknown name of the API fails the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    built = subprocess.run(
        [*command, "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_a_page_loads_nothing_from_another_server(site):
    for page in site.glob("*.html"):
        text = re.sub(r'<link rel="?canonical"?[^>]*>', "", page.read_text(encoding="utf-8"))
        assert not LOADED.findall(text), page.name
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?https?:", sheet.read_text(encoding="utf-8")), sheet


def test_the_search_finds_every_page_and_every_public_name(site):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    pages = {page.with_suffix(".html").name for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {place.partition("#")[0] for place in places}
    assert {f"api.html#nstk.{name}" for name in nstk._HOME} <= places
    for namespace in nstk.NAMESPACES:
        tree = ast.parse(Path(find_spec(f"nstk.{namespace}").origin).read_text(encoding="utf-8"))
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        names = {alias.asname for node in imports for alias in node.names} - {None, *nstk._HOME}
        page = f"api-{namespace}.html#nstk.{namespace}"
        assert {f"{page}.{name}" for name in names} <= places


def test_a_setting_is_documented_by_its_help_text(site):
    page = (site / "api.html").read_text(encoding="utf-8")
    field = StylizeSettings.__dataclass_fields__["scales"]
    assert f"{field.metadata['help']}." in page


def test_every_page_is_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    navigation = "".join(re.findall(r"<nav .*?</nav>", home, re.DOTALL))
    pages = {page.with_suffix(".html").name for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r'href="([^"]+)"', navigation))
