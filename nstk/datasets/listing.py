"""Listing files and other image sources, in natural order and without hidden files."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nstk.errors import ImageError
from nstk.storage.remote import as_path, is_remote, list_remote
from nstk.types import Images

NaturalKey = tuple[tuple[tuple[int, int, str], ...], str]

PAGE_FOLDER = "nstk-page"
"""The folder of results of `nstk page`, which are not data."""

_NUMBERS = re.compile(r"([0-9]+)")
_GAPS = re.compile(r"[\s_]+")
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "recycler", "system volume information",
     "lost+found", "__pycache__", ".ipynb_checkpoints", ".trashes"}
)  # fmt: skip


def natural_key(name: str) -> NaturalKey:
    """Order numbers inside names by value (1, 2, 10) and case last, never by the file system."""
    folded = tuple(
        (0, len(piece.lstrip("0")), piece.lstrip("0")) if position % 2 else (1, 0, piece.casefold())
        for position, piece in enumerate(_NUMBERS.split(name))
        if piece
    )
    return folded, name


def natural_path_key(path: Path) -> str:
    """The same for a path, part by part, as one text: a million tuples would fill the memory."""
    return "".join(map(_compact_key, str(path).split(os.sep)))


def _compact_key(name: str) -> str:
    """A text that sorts as `natural_key` does; no name has the control characters in it."""
    folded = "".join(
        f"\1{chr(2 + len(digits))}{digits}" if position % 2 else f"\2{piece.casefold()}\0"
        for position, piece in enumerate(_NUMBERS.split(name))
        if piece
        for digits in [piece.lstrip("0")]
    )
    return f"{folded}\0{name}\0"


def shorten(names: Iterable[str], most: int = 9) -> str:
    """The first names, separated by commas, and the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def warn_similar_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Warn about each group of classes that differ only in case, spaces and underscores."""
    similar: dict[str, list[str]] = {}
    for name in classes:
        similar.setdefault(_GAPS.sub(" ", name).strip().casefold(), []).append(name)
    return tuple(
        f"The classes {' and '.join(map(repr, names))} differ only in case or spaces; if they "
        "are the same class, give them one name."
        for names in similar.values()
        if len(names) > 1
    )


@dataclass(frozen=True)
class SkippedFile:
    """A file or folder that was left out, and why: in a few words without a full stop."""

    path: Path
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"path": str(self.path), "reason": self.reason}


def is_hidden(name: str) -> bool:
    """Whether a name begins with a dot, or is one that systems or `nstk page` add."""
    folded = name.casefold()
    return (
        name.startswith(".")
        or name == PAGE_FOLDER
        or folded in _SYSTEM_FILES
        or folded in _SYSTEM_FOLDERS
    )


def warn_system_folders(place: Path, names: Iterable[str]) -> tuple[str, ...]:
    found = sorted({name for name in names if name.casefold() in _SYSTEM_FOLDERS}, key=natural_key)
    listed = shorten(f"{name}/" for name in found)
    return (f"{place}: {listed} comes from the system and is left out.",) if found else ()


def list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the visible subfolders and the other visible entries, in natural order; or OSError."""
    with os.scandir(folder) as entries:
        found = [(each.name, _is_folder(each)) for each in entries if not is_hidden(each.name)]
    found.sort(key=lambda each: natural_key(each[0]))
    folders = [folder / name for name, is_folder in found if is_folder]
    return folders, [folder / name for name, is_folder in found if not is_folder]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link to itself is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def list_files(folder: Path) -> tuple[list[Path], list[SkippedFile]]:
    """List the visible files in a folder and its subfolders, and the folders not searched.

    Links to folders are followed, but no folder is searched twice, so circular links do no harm.
    """
    files: list[Path] = []
    skipped: list[SkippedFile] = []
    searched: set[tuple[int, int]] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:  # links last, so that images keep their own paths
        place = waiting.pop() if waiting else links.pop()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in searched:
                skipped.append(SkippedFile(place, "a link to a folder that is searched already"))
                continue
            searched.add((status.st_dev, status.st_ino))
            below, here = list_folder(place)
        except OSError as error:
            skipped.append(SkippedFile(place, f"a folder that cannot be listed ({error.strerror})"))
            continue
        files += here
        for each in below:
            (links if each.is_symlink() else waiting).append(each)
    files.sort(key=natural_path_key)
    skipped.sort(key=lambda each: natural_path_key(each.path))
    return files, skipped


def find_images(
    paths: Iterable[str | Path],
) -> tuple[tuple[Path, ...], tuple[SkippedFile, ...]]:
    """Find files that may be images: those given, and in natural order those in given folders.

    Also returns the folders that could not be searched.
    """
    found: dict[Path, None] = {}
    skipped: list[SkippedFile] = []
    for path in map(as_path, paths):
        if is_remote(path):
            files = [each for each in list_remote(path) if not is_hidden(each.name)]
            found.update(dict.fromkeys(sorted(files, key=natural_path_key)))
            continue
        if not path.exists():
            raise ImageError(f"{path}: no such file or folder; check the spelling.")
        files, unsearched = list_files(path) if path.is_dir() else ([path], [])
        found.update(dict.fromkeys(files))
        skipped += unsearched
    return tuple(found), tuple(skipped)


def is_single(source: object) -> bool:
    """Whether an object is one image, array or path, not several."""
    return isinstance(source, str | Path | bytes | bytearray | memoryview) or (
        hasattr(source, "__array__") or hasattr(source, "__array_interface__")
    )


def list_sources(given: Images) -> list[Images]:
    if is_single(given):
        return [given]
    if not isinstance(given, Iterable):
        raise ImageError(f"The images: {describe_unknown(given)}, or several of these.")
    return list(given)


def describe_unknown(source: object) -> str:
    return (
        f"something of type {type(source).__name__}; give a path, the bytes of a file or an array "
        "(height, width, 3)"
    )
