"""Zips of images, unpacked into a temporary folder.

Images are unpacked, not read in place, so that several threads can read ordinary files: members of
an archive cannot be sought and are read under one lock. All claims of an archive are checked before
the first byte is written.
"""

import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NoReturn

from nstk.datasets.catalogs import TemporaryFolder, private_opener
from nstk.datasets.listing import is_hidden
from nstk.errors import FolderError
from nstk.progress import Progress, Reporter, no_progress
from nstk.storage.array_files import ZIP_ERRORS, open_zip

MAX_FILES = 1_000_000
"""Largest number of files in an archive."""

MAX_BYTES = 100 * 2**30
"""Largest total size of its files, in bytes."""

MAX_RATIO = 100
"""Largest compression ratio of an archive; photographs hardly shrink at all."""

_SMALL = 10 * 2**20
_CHUNK = 2**20
_ENCRYPTED = 0x1
_KINDS = {stat.S_IFREG, stat.S_IFDIR, 0}  # 0: archives of other systems have no type


def unpack_zip(
    archive: Path,
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
    on_progress: Reporter = no_progress,
) -> TemporaryFolder:
    """Unpack a zip into a new temporary folder; nothing is written if it is invalid.

    Hidden files and system files are left out, and zips inside it stay packed.

    Args:
        archive: The zip.
        max_files: Largest number of files.
        max_bytes: Largest total size of the files.
        max_ratio: Largest compression ratio, for archives that unpack to more than 10 MiB.
        on_progress: Called after each file, stage ``"unpack"``.

    Raises:
        FolderError: If it is damaged, encrypted, too large, or holds a link or a path outside its
            folder; or if there is not enough disk space.
    """
    try:
        with open_zip(archive) as opened:
            members = _check(archive, opened.infolist(), max_files)
            _check_size(archive, members, max_bytes, max_ratio)
            return _unpack(archive, opened, members, on_progress)
    except (*ZIP_ERRORS, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FolderError(
            f"{archive} cannot be unpacked ({reason}); fetch it or pack it again."
        ) from error
    except OSError as error:
        raise FolderError(
            f"{archive} cannot be unpacked ({error.strerror or error}); "
            f"free disk space in {tempfile.gettempdir()}, or unpack it and give the folder."
        ) from error


_Members = dict[PurePosixPath, zipfile.ZipInfo]


def _check(archive: Path, infos: list[zipfile.ZipInfo], max_files: int) -> _Members:
    """The visible files by path; refuse suspicious archives."""
    if len(infos) > max_files:
        _refuse(archive, f"holds {len(infos)} files, at most {max_files} are allowed")
    members: _Members = {}
    for info in infos:
        name = info.filename.replace("\\", "/")
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or PureWindowsPath(name).drive:
            _refuse(archive, f"holds {info.filename!r}, which is outside of it")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            _refuse(archive, f"holds the link {info.filename!r}")
        if kind not in _KINDS:
            _refuse(archive, f"holds {info.filename!r}, which is not a file")
        if info.flag_bits & _ENCRYPTED:
            _refuse(archive, "is encrypted")
        if info.is_dir() or name.endswith("/"):
            continue
        if any(map(is_hidden, place.parts)):
            continue
        if place in members:
            _refuse(archive, f"holds {info.filename!r} twice")
        members[place] = info
    if not members:
        raise FolderError(f"{archive} holds no files; pack the folder of images again.")
    return members


def _check_size(archive: Path, members: _Members, max_bytes: int, max_ratio: float) -> None:
    # Reading stops at the size that a header claims.
    claimed = sum(info.file_size for info in members.values())
    packed = archive.stat().st_size
    if claimed > max_bytes:
        _refuse(archive, f"unpacks to {claimed} bytes, at most {max_bytes} are allowed")
    if claimed > max(_SMALL, max_ratio * packed):
        _refuse(archive, f"unpacks from {packed} to {claimed} bytes, more than any images")
    room = shutil.disk_usage(tempfile.gettempdir()).free
    if claimed > room:
        raise FolderError(
            f"{archive} unpacks to {claimed} bytes, but {tempfile.gettempdir()} has {room} free; "
            "free some disk space there, or set TMPDIR to another folder."
        )


def _unpack(
    archive: Path, opened: zipfile.ZipFile, members: _Members, on_progress: Reporter
) -> TemporaryFolder:
    folder = TemporaryFolder(archive)
    on_progress(Progress(stage="unpack", step=0, total=len(members)))
    for step, (name, info) in enumerate(members.items(), 1):
        target = folder.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(info) as source, open(target, "xb", opener=private_opener) as file:
            shutil.copyfileobj(source, file, _CHUNK)
        on_progress(Progress(stage="unpack", step=step, total=len(members)))
    return folder


def _refuse(archive: Path, what: str) -> NoReturn:
    raise FolderError(f"{archive} {what}; unpack it yourself if you trust it.")
