"""Labelled pictures for a classifier that exists already: classes are matched by name."""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nstk.errors import FolderError
from nstk.media.layout import PARTS, Part, list_classes
from nstk.media.listing import SkippedFile, list_files, list_folder

_PREFERRED: tuple[Part, ...] = ("test", "validation", "train")


@dataclass(frozen=True)
class LabelledFiles:
    """Files and what they should be called.

    Attributes:
        place: The folder whose subfolders are the classes.
        files: Every file and the position of its class in the classifier's list.
        missing: Classes of the classifier that have no folder.
        extra: Classes of the folder that the classifier does not know.
        skipped: Files of those, and files that lie outside all class folders.
    """

    place: Path
    files: tuple[tuple[Path, int], ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]


def match_folder(root: Path, classes: Sequence[str]) -> LabelledFiles:
    """Find the pictures of a classifier's classes.

    The subfolders are named after classes; or they are parts, and of these ``test`` is taken,
    or ``val`` (``valid``, ``validation``) where there is none, or else ``train``.

    Args:
        root: The folder.
        classes: The classifier's class names, in the order of its outputs.

    Raises:
        FolderError: If it is no folder, or has no picture of any class that is known.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise FolderError(f"{root} {what}; give a folder with one subfolder per class.")
    positions = {_normalise(name): position for position, name in enumerate(classes)}
    place = _choose_place(root, positions.keys())
    found, skipped = list_classes(place)
    files = []
    unknown = []
    for name, folders in found.items():
        listed = [list_files(folder) for folder in folders]
        paths = [path for those, _ in listed for path in those]
        skipped += tuple(unsearched for _, those in listed for unsearched in those)
        if name in positions:
            files += [(path, positions[name]) for path in paths]
        else:
            unknown += [
                SkippedFile(path, f"the classifier knows no class '{name}'") for path in paths
            ]
    if not files:
        raise FolderError(
            f"{place} has pictures of no class that the classifier knows "
            f"({', '.join(classes)}), only {', '.join(found)}; rename its folders."
        )
    return LabelledFiles(
        place=place,
        files=tuple(files),
        missing=tuple(name for name in classes if _normalise(name) not in found),
        extra=tuple(name for name in found if name not in positions),
        skipped=(*skipped, *unknown),
    )


def _choose_place(root: Path, known: Collection[str]) -> Path:
    folders, _ = list_folder(root)
    if any(_normalise(folder.name) in known for folder in folders):
        return root
    parts = {PARTS.get(folder.name.casefold()): folder for folder in folders}
    return next((parts[part] for part in _PREFERRED if part in parts), root)


def _normalise(name: str) -> str:
    return unicodedata.normalize("NFC", name)
