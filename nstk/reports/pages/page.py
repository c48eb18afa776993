"""A page: a title and blocks, in one self-contained HTML file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nstk.reports.figures.colors import Color, Hue
from nstk.reports.pages.blocks import Block, Section, format_value
from nstk.storage.files import atomic_write

LINKED_SECTIONS = 4
"""A page with at least this many sections begins with links to them."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Page:
    """The content of a page.

    Attributes:
        title: The heading, also the title of the browser tab.
        subtitle: One or two sentences below it.
        blocks: The content, from the top down.
        footer: A last line in smaller letters, such as versions.
    """

    title: str
    subtitle: str
    blocks: Sequence[Block]
    footer: str = ""


def render_page(page: Page) -> str:
    """Render a page as one HTML document.

    The document contains its style and images, no script and no reference to other files, follows
    the reader's choice of light or dark, and prints on white. All text is escaped; characters
    that HTML forbids become U+FFFD.

    Args:
        page: The page.

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
    """Write a page as one HTML file, atomically.

    Args:
        page: The page.
        path: The file, ``NAME.html``.

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
    environment.filters |= {"cell": format_value, "paint": _paint}
    return environment


def _paint(color: Color, attribute: str) -> Markup:
    """Return the attributes that paint a shape; browsers before 2024 show the light color only."""
    if isinstance(color, Hue):
        style = f"light-dark({color.light}, {color.dark})"
        return Markup(f'{attribute}="{color.light}" style="{attribute}: {style}"')
    return Markup(f'style="{attribute}: var(--{color})"')


def _printable(value: object) -> object:
    """Replace characters that HTML forbids; file names may contain them."""
    return _UNPRINTABLE.sub("\ufffd", value) if type(value) is str else value
