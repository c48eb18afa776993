"""Manifests in object storage, or of images there: fetched into a temporary folder."""

import json
from pathlib import Path

from nstk.datasets.catalogs import TemporaryFolder
from nstk.datasets.manifests import find_path_column
from nstk.datasets.tables import EXTENSIONS, read_table
from nstk.errors import FolderError, ImageError
from nstk.storage.remote import as_path, fetch_remote, is_remote

MANIFEST = "manifest.jsonl"


def fetch_manifest(manifest: Path) -> TemporaryFolder | None:
    """Fetch the images of a manifest that is remote or names URLs, with a manifest of the copies.

    None if everything is local. Relative paths of a remote manifest lie in its folder.

    Raises:
        FolderError: If a file cannot be read.
    """
    table = None
    if is_remote(manifest):
        if manifest.suffix.casefold() not in EXTENSIONS:
            raise FolderError(
                f"{manifest} is not a manifest; give a table of images, as in s3://data/labels.csv."
            )
        folder = TemporaryFolder(manifest)
        _fetch([manifest], [folder.path / manifest.name])
        table = read_table(folder.path / manifest.name)
    else:
        table = read_table(manifest)
        folder = TemporaryFolder(manifest)
    column = find_path_column(table.columns)
    if column is None:
        return folder if is_remote(manifest) else None
    named = [str(row.get(column) or "").strip() for _, row in table.rows]
    urls = [
        url
        if is_remote(url := as_path(name)) or not is_remote(manifest)
        else manifest.parent / name
        for name in named
    ]
    if not any(map(is_remote, urls)):
        return None
    if not all(map(is_remote, urls)):
        raise FolderError(f"{manifest} names URLs and local files; name one kind.")
    copies = [Path("images", *url.parts[1:]) for url in urls]
    _fetch(urls, [folder.path / copy for copy in copies])
    rows = [
        {**row, column: copy.as_posix()} for (_, row), copy in zip(table.rows, copies, strict=True)
    ]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder.path / MANIFEST).write_text(text, encoding="utf-8")
    return folder


def _fetch(urls: list[Path], targets: list[Path]) -> None:
    try:
        fetch_remote(urls, targets)
    except ImageError as error:
        raise FolderError(str(error)) from error
    except OSError as error:
        raise FolderError(
            f"{urls[0]} cannot be fetched ({error.strerror or error}); free some disk space."
        ) from error
