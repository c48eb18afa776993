"""Manifests in object storage, or of images there: fetched into a temporary folder."""

import json
from pathlib import Path

from nstk.datasets.catalogs import TemporaryFolder
from nstk.datasets.manifests import find_path_column
from nstk.datasets.tables import read_table
from nstk.errors import FolderError, ImageError
from nstk.storage.remote import as_path, fetch_remote, is_remote

MANIFEST = "manifest.jsonl"


def fetch_manifest(manifest: Path) -> TemporaryFolder | None:
    """Fetch the images of a manifest that is remote or names URLs, with a manifest of the copies.

    None if everything is local. Relative paths of a remote manifest lie in its folder.

    Raises:
        FolderError: If a file cannot be read.
    """
    if not is_remote(manifest) and not _names_urls(manifest):
        return None
    folder, local = TemporaryFolder(manifest), manifest
    if is_remote(manifest):
        local = folder.path / manifest.name
        _fetch([manifest], [local])
    table = read_table(local)
    column = find_path_column(table.columns)
    if column is None and not is_remote(manifest):
        return None
    if column is None:
        raise FolderError(f"{manifest} has no column path, which names the images; add one.")
    named = [str(row.get(column) or "").strip() for _, row in table.rows]
    urls = [
        url
        if is_remote(url := as_path(name)) or not is_remote(manifest)
        else manifest.parent / name
        for name in named
    ]
    if not any(map(is_remote, urls)):
        return None  # a URL elsewhere in the table
    if not all(map(is_remote, urls)):
        raise FolderError(f"{manifest} names URLs and local files; name one kind.")
    if any(".." in url.parts for url in urls):
        raise FolderError(f"{manifest} names a URL with .., which may lead anywhere; remove it.")
    copies = [Path("images", *url.parts[1:]) for url in urls]
    _fetch(urls, [folder.path / copy for copy in copies])
    rows = [
        {**row, column: copy.as_posix()} for (_, row), copy in zip(table.rows, copies, strict=True)
    ]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder.path / MANIFEST).write_text(text, encoding="utf-8")
    return folder


def _names_urls(manifest: Path) -> bool:
    try:
        return b"://" in manifest.read_bytes()
    except OSError:
        return False


def _fetch(urls: list[Path], targets: list[Path]) -> None:
    try:
        fetch_remote(urls, targets)
    except ImageError as error:
        raise FolderError(str(error)) from error
    except OSError as error:
        raise FolderError(
            f"{urls[0]} cannot be fetched ({error.strerror or error}); free some disk space."
        ) from error
