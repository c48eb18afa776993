"""Zip archives from strangers, before anything in them is believed."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nstk.storage.files import check_regular

DAMAGE = (EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What a damaged archive may raise, apart from an OSError."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextmanager
def open_packed(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose members are stored or deflated, as nearly all are.

    The other methods let an archive ask for as much memory as it likes, and are refused.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        zipfile.BadZipFile: If it is no such zip. Reading may raise any other `DAMAGE`.
    """
    check_regular(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type not in _METHODS:
                raise zipfile.BadZipFile("it is packed in a rare way; deflate is what is read")
        yield archive
