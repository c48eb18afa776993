"""Where a figure goes: its ending says whether it is a page or an image."""

from pathlib import Path

from nstk.images.image import check_output
from nstk.storage.files import check_writable

_PAGE_EXTENSIONS = (".html", ".htm")


def is_page(path: str | Path) -> bool:
    """Whether a path has the ending of a page."""
    return Path(path).suffix.lower() in _PAGE_EXTENSIONS


def check_figure(path: str | Path) -> None:
    """Refuse, before any long work, a place where no figure can be written.

    Args:
        path: Where a page (``.html``) or an image is to be written later.

    Raises:
        OutputError: If its ending is that of neither, or nothing can be written there.
    """
    if is_page(path):
        check_writable(path)
    else:
        check_output(path)
