"""What stands in a folder, in natural order without what is hidden, or is given instead of one."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nstk.datasets.names import natural_key, natural_path_key
from nstk.errors import ImageError

_FOREIGN = frozenset({"__macosx", "@eadir", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class SkippedFile:
    """A file (or a folder) that was left out, and why.

    Attributes:
        path: Where it is.
        reason: Why it is of no use, in a few words without a full stop.
    """

    path: Path
    reason: str


def is_hidden(name: str) -> bool:
    """Whether nobody sees such a file or folder where it was made.

    Names with a dot in front are hidden everywhere. What Windows, macOS and network storage put
    beside images by themselves (previews, settings of the folder) is hidden only there.

    Args:
        name: One part of a path.
    """
    return name.startswith(".") or name.casefold() in _FOREIGN


def list_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Visible subfolders and other visible entries of one folder, each in natural order.

    Raises:
        OSError: If the folder cannot be listed.
    """
    entries = [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
    entries.sort(key=lambda entry: natural_key(entry.name))
    folders = [entry for entry in entries if entry.is_dir()]
    return folders, [entry for entry in entries if not entry.is_dir()]


def list_files(folder: Path) -> tuple[list[Path], list[SkippedFile]]:
    """All visible files in a folder and below it, in natural order.

    Links to folders are followed, but no folder is searched twice, so circles of links end.

    Returns:
        The files, and the folders that could not be searched.
    """
    files: list[Path] = []
    skipped: list[SkippedFile] = []
    searched: set[tuple[int, int]] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:  # Links last, so that an image keeps its own path.
        place = waiting.pop() if waiting else links.pop()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in searched:
                skipped.append(SkippedFile(place, "a link to a folder that is searched anyway"))
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


def is_single(source: Any) -> bool:
    """Whether something is one image or path, not several.

    Whatever gives itself to NumPy as an array is one: tensors and Pillow's images, too.
    """
    return isinstance(source, str | Path | bytes | bytearray | memoryview) or (
        hasattr(source, "__array__") or hasattr(source, "__array_interface__")
    )


def list_sources(given: Any) -> list[Any]:
    """List what was given; one image or path alone is a list of one.

    Raises:
        ImageError: If it is neither one nor several.
    """
    if is_single(given):
        return [given]
    if not isinstance(given, Iterable):
        raise ImageError(f"The images: {describe_unknown(given)}, or several of these.")
    return list(given)


def describe_unknown(source: Any) -> str:
    """What messages say of something that is no image of any kind."""
    return (
        f"something of type {type(source).__name__}; give a path, the bytes of a file or an array "
        "(height, width, 3)"
    )
