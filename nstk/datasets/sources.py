"""Opening labeled images of any kind: a folder, a manifest, a zip or images from memory.

Zips are unpacked into a temporary folder, not read in place, so that several threads can read
ordinary files. All claims of an archive are checked before the first byte is written.
"""

import re
import shutil
import stat
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NoReturn

from nstk.datasets.arrays import catalog_arrays
from nstk.datasets.catalogs import (
    DEFAULTS,
    Catalog,
    DataSettings,
    TemporaryFolder,
    private_opener,
    read_split,
)
from nstk.datasets.layout import catalog_folder
from nstk.datasets.listing import SkippedFile, is_hidden, list_folder, warn_system_folders
from nstk.datasets.manifests import read_manifest
from nstk.datasets.remote import MANIFEST, fetch_manifest
from nstk.datasets.tables import EXTENSIONS
from nstk.errors import FolderError
from nstk.progress import Progress, Reporter, no_progress
from nstk.storage.array_files import ZIP_ERRORS, open_zip
from nstk.storage.files import find_temporary_folder
from nstk.storage.remote import as_path, is_remote

Data = str | Path | Iterable[object]
"""Labeled images: the path of a folder, manifest or zip, or data for `catalog_arrays`."""

MAX_FILES = 1_000_000
MAX_BYTES = 100 * 2**30
MAX_RATIO = 100
"""Largest compression ratio of an archive; photographs hardly shrink at all."""

_SMALL = 10 * 2**20  # bytes that may be packed at any ratio
_CHUNK = 2**20
_ENCRYPTED = 0x1
_UTF8 = 0x800
_KINDS = {stat.S_IFREG, stat.S_IFDIR, 0}  # 0: archives of other systems have no type
_PACKED_MANIFEST = re.compile(r"(manifest|labels|metadata)\.(csv|tsv|jsonl|ndjson)", re.IGNORECASE)


def open_catalog(
    data: Data,
    settings: DataSettings = DEFAULTS,
    *,
    classes: Sequence[str] | None = None,
    on_progress: Reporter = no_progress,
) -> Catalog:
    """List labeled images to learn them, or to evaluate a classifier with these classes on them.

    A zip holds class folders or split folders, at its top or in a single folder, or a manifest
    named ``manifest``, ``labels`` or ``metadata`` beside its images.
    """
    if not isinstance(data, str | Path):
        if settings.label_pattern is not None:
            raise FolderError("The images come with labels; leave out `label_pattern`.")
        return catalog_arrays(data, settings, classes=classes, on_progress=on_progress)
    if settings.class_names is not None:
        raise FolderError(f"{data} names its classes itself; leave out `class_names`.")
    data = as_path(data)
    extension = data.suffix.casefold() if is_remote(data) or data.is_file() else ""
    if extension == ".zip":
        unpacked = unpack_zip(data, on_progress=on_progress)
        return _open_unpacked(unpacked, _find_data(unpacked.path), settings, classes)
    if extension in EXTENSIONS:
        if settings.label_pattern is not None:
            raise FolderError(f"{data} holds the labels; leave out `label_pattern`.")
        fetched = fetch_manifest(data)
        if fetched:
            return _open_unpacked(fetched, fetched.path / MANIFEST, settings, classes)
        return read_manifest(data, to_learn=classes is None)
    if is_remote(data):
        raise FolderError(f"{data} is not a manifest; give a table of images, such as a CSV file.")
    return catalog_folder(data, settings, classes)


def _open_unpacked(
    unpacked: TemporaryFolder,
    place: Path,
    settings: DataSettings,
    classes: Sequence[str] | None,
) -> Catalog:
    try:
        catalog = open_catalog(place, settings, classes=classes)
    except FolderError as error:
        raise FolderError(unpacked.display_message(str(error))) from error
    return replace(
        catalog,
        source=unpacked.source,
        skipped=tuple(
            SkippedFile(unpacked.display_path(file.path), file.reason) for file in catalog.skipped
        ),
        notices=(*unpacked.notices, *map(unpacked.display_message, catalog.notices)),
        unpacked=unpacked,
    )


def _find_data(place: Path) -> Path:
    """The manifest or the labeled folder; archives often hold a single folder with everything."""
    folders, files = list_folder(place)
    for file in files:
        if _PACKED_MANIFEST.fullmatch(file.name):
            return file
    if files or len(folders) != 1 or read_split(folders[0].name):
        return place
    below = _find_data(folders[0])
    return place if below == folders[0] and not list_folder(below)[0] else below


def unpack_zip(
    archive: Path,
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
    on_progress: Reporter = no_progress,
) -> TemporaryFolder:
    """Unpack the visible files of a zip into a new temporary folder; write nothing if invalid."""
    try:
        with open_zip(archive) as opened:
            members, notices = _check(archive, opened.infolist(), max_files)
            _check_size(archive, members, max_bytes, max_ratio)
            return _unpack(TemporaryFolder(archive, notices), opened, members, on_progress)
    except (*ZIP_ERRORS, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FolderError(
            f"{archive} cannot be unpacked ({reason}); fetch it or pack it again."
        ) from error
    except OSError as error:
        raise FolderError(
            f"{archive} cannot be unpacked ({error.strerror or error}); "
            f"free disk space in {find_temporary_folder()}, or unpack it and give the folder."
        ) from error


_Members = dict[PurePosixPath, zipfile.ZipInfo]


def _check(
    archive: Path, infos: list[zipfile.ZipInfo], max_files: int
) -> tuple[_Members, tuple[str, ...]]:
    """The visible files by path, and notices; refuse suspicious archives."""
    if len(infos) > max_files:
        _refuse(archive, f"holds {len(infos)} files, at most {max_files} are allowed")
    members: _Members = {}
    unknown: list[str] = []
    tops: list[str] = []
    for info in infos:
        name, is_known = _decode_name(info)
        # In an unknown encoding, a backslash may be the second byte of a letter.
        name = name.replace("\\", "/") if is_known else name
        place, windows = PurePosixPath(name), PureWindowsPath(name)
        if place.is_absolute() or windows.drive or ".." in (*place.parts, *windows.parts):
            _refuse(archive, f"holds {name!r}, which is outside of it")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            _refuse(archive, f"holds the link {name!r}")
        if kind not in _KINDS:
            _refuse(archive, f"holds {name!r}, which is not a file")
        if info.flag_bits & _ENCRYPTED:
            _refuse(archive, "is encrypted")
        tops += place.parts[:1]
        if info.is_dir() or name.endswith("/") or any(map(is_hidden, place.parts)):
            continue
        if place in members:
            _refuse(archive, f"holds {name!r} twice")
        members[place] = info
        unknown += [] if is_known else [name]
    if not members:
        raise FolderError(f"{archive} holds no files; pack the folder of images again.")
    notices = warn_system_folders(archive, tops)
    if unknown:
        notices += (
            f"{archive} does not say how {len(unknown)} of its names are encoded, so that they may "
            f"be wrong, as in {unknown[0]}; pack it again with UTF-8 names, or unpack it yourself.",
        )
    return members, notices


def _decode_name(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """The name of a member, and whether its encoding is known.

    Without a flag for UTF-8, `zipfile` decodes bytes as code page 437, where each has a letter of
    its own; macOS and others write UTF-8 without the flag.
    """
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename, True
    try:
        return info.filename.encode("cp437").decode(), True
    except UnicodeEncodeError:  # it comes from an extra field in Unicode
        return info.filename, True
    except UnicodeDecodeError:
        return info.filename, info.filename != info.orig_filename


def _check_size(archive: Path, members: _Members, max_bytes: int, max_ratio: float) -> None:
    # Reading stops at the size that a header claims.
    claimed = sum(info.file_size for info in members.values())
    packed = archive.stat().st_size
    if claimed > max_bytes:
        _refuse(archive, f"unpacks to {claimed} bytes, at most {max_bytes} are allowed")
    if claimed > max(_SMALL, max_ratio * packed):
        _refuse(archive, f"unpacks from {packed} to {claimed} bytes, more than any images")
    room = shutil.disk_usage(find_temporary_folder()).free
    if claimed > room:
        raise FolderError(
            f"{archive} unpacks to {claimed} bytes, but {find_temporary_folder()} has {room} free; "
            "free some disk space there, or set TMPDIR to another folder."
        )


def _unpack(
    folder: TemporaryFolder, opened: zipfile.ZipFile, members: _Members, on_progress: Reporter
) -> TemporaryFolder:
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
