"""Hooks of MkDocs: the navigation follows index.md; links out of docs/ lead to the code host."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
_LINK = re.compile(r"\[([^]]*)\]\(([^)#\s]+)\)")
_OUTSIDE = re.compile(r"(?<=\]\()\.\./([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make each section of index.md a section of the navigation, with the pages it links to."""
    opening, *sections = (DOCS / "index.md").read_text(encoding="utf-8").split("\n## ")
    pages = [target for _, target in _LINK.findall(opening) if not target.startswith("../")]
    config.nav = [{"Home": "index.md"}, *pages]
    for section in sections:
        title, _, body = section.partition("\n")
        links = {target: name for name, target in _LINK.findall(body)}
        entries = [
            {name: _to_host(target[3:], config)} if target.startswith("../") else target
            for target, name in links.items()
        ]
        config.nav.append({title: entries})
    return config


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files of the repository outside of docs/ lead to the code host."""
    return _OUTSIDE.sub(lambda found: _to_host(found[1], config), markdown)


def _to_host(path: str, config: MkDocsConfig) -> str:
    if not (DOCS.parent / path).exists():
        raise PluginError(f"there is no {path}")
    kind = "tree" if (DOCS.parent / path).is_dir() else "blob"
    return f"{config.extra['source']}/{kind}/main/{path}"
