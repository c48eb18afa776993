"""A page: a title, blocks below it, and everything it needs inside one file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from nstk.reports.pages.blocks import Block, Section, format_cell
from nstk.storage.files import atomic_write

LINKED_SECTIONS = 4
"""From this many sections on, a page begins with links to them."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Page:
    """What is to be read.

    Attributes:
        title: The heading, also the name of the browser's tab.
        subtitle: One or two sentences below it.
        blocks: The rest, from the top down.
        footer: A quiet last line, such as versions and the date.
    """

    title: str
    subtitle: str
    blocks: Sequence[Block]
    footer: str = ""


def render_page(page: Page) -> str:
    """Turn a page into one HTML document.

    It holds its own style and images, no script and no address of anything else, follows the
    reader's choice of light or dark, and prints on white paper. All text is escaped; characters
    that no document may hold become U+FFFD.

    Args:
        page: What is to be read.

    Returns:
        The document, to be encoded in UTF-8.
    """
    numbers = count(1)
    blocks = [
        (f"section-{next(numbers)}" if isinstance(block, Section) else "", block)
        for block in page.blocks
    ]
    links = [(anchor, block.title) for anchor, block in blocks if isinstance(block, Section)]
    template = _environment().get_template("page.html")
    shown = links if len(links) >= LINKED_SECTIONS else []
    return template.render(page=page, blocks=blocks, links=shown)


def write_page(page: Page, path: str | Path) -> Path:
    """Write a page as one HTML file, whole or not at all.

    Args:
        page: What is to be read.
        path: Where it is to stand; its name should end in ``.html``.

    Returns:
        ``path``.

    Raises:
        OutputError: If it cannot be written.
    """
    document = render_page(page).encode("utf-8")

    def write(target: Path) -> None:
        target.write_bytes(document)

    return atomic_write(path, write)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nstk.reports.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    environment.filters |= {"cell": format_cell}
    return environment


def _printable(value: Any) -> Any:
    """Replace what no document may hold; file names can hold it."""
    return _UNPRINTABLE.sub("\ufffd", value) if type(value) is str else value
