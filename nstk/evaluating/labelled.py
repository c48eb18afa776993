"""Labelled pictures for a classifier that exists already: classes are matched by name."""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nstk.errors import FolderError
from nstk.media.catalogues import Catalogue
from nstk.media.layout import PARTS, Part, list_classes
from nstk.media.listing import SkippedFile, list_files, list_folder
from nstk.media.sources import open_catalogue
from nstk.progress import Reporter, ignore

_PREFERRED: tuple[Part, ...] = ("test", "validation", "train")


@dataclass(frozen=True)
class LabelledFiles:
    """Files and what they should be called.

    Attributes:
        place: Where they were found: the folder with the classes, a manifest or a zip.
        files: Every file and the position of its class in the classifier's list.
        missing: Classes of the classifier that no file is said to show.
        extra: Classes that the classifier does not know.
        skipped: Files of those, and files that lie outside all class folders.
        catalogue: What a manifest or a zip holds; its files live as long as this object.
    """

    place: Path
    files: tuple[tuple[Path, int], ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    catalogue: Catalogue | None = field(default=None, repr=False)


def match_data(
    data: Path, classes: Sequence[str], *, on_progress: Reporter = ignore
) -> LabelledFiles:
    """Find the pictures of a classifier's classes.

    The subfolders of a folder are named after classes; or they are parts. Of parts ``test`` is
    taken, or ``val`` (``valid``, ``validation``) where there is none, or else ``train``.

    Args:
        data: A folder, a manifest or a zip, as `nstk.finetune` reads them.
        classes: The classifier's class names, in the order of its outputs.
        on_progress: Told while a zip is unpacked.

    Raises:
        FolderError: If it is none of these, or has no picture of any class that is known.
    """
    if data.is_file():
        catalogue = open_catalogue(data, on_progress=on_progress)
        return _match(data, *_list_catalogue(catalogue), classes, catalogue)
    if not data.exists():
        raise FolderError(f"{data}: no such folder; check the spelling.")
    place = _choose_place(data, {_normalise(name) for name in classes})
    return _match(place, *_list_folder(place), classes, None)


_Named = dict[str, list[Path]]
"""The files of every class, by the class's name."""


def _match(
    place: Path,
    found: _Named,
    skipped: Iterable[SkippedFile],
    classes: Sequence[str],
    catalogue: Catalogue | None,
) -> LabelledFiles:
    positions = {_normalise(name): position for position, name in enumerate(classes)}
    extra = tuple(name for name in found if name not in positions)
    unknown = (
        SkippedFile(path, f"the classifier knows no class '{name}'")
        for name in extra
        for path in found[name]
    )
    files = tuple(
        (path, positions[name])
        for name, paths in found.items()
        if name in positions
        for path in paths
    )
    if not files:
        raise FolderError(
            f"{place} has pictures of no class that the classifier knows "
            f"({', '.join(classes)}), only {', '.join(found)}; rename its classes."
        )
    return LabelledFiles(
        place=place,
        files=files,
        missing=tuple(name for name in classes if not found.get(_normalise(name))),
        extra=extra,
        skipped=(*skipped, *unknown),
        catalogue=catalogue,
    )


def _list_folder(place: Path) -> tuple[_Named, list[SkippedFile]]:
    folders, outside = list_classes(place)
    named: _Named = {}
    skipped = [*outside]
    for name, places in folders.items():
        listed = [list_files(each) for each in places]
        named[name] = [path for paths, _ in listed for path in paths]
        skipped += [unsearched for _, those in listed for unsearched in those]
    return named, skipped


def _list_catalogue(catalogue: Catalogue) -> tuple[_Named, list[SkippedFile]]:
    part = next(each for each in _PREFERRED if each in catalogue.parts)
    named: _Named = {}
    for picture in catalogue.pictures:
        if picture.part == part:
            named.setdefault(catalogue.classes[picture.label], []).append(picture.path)
    return named, [*catalogue.skipped]


def _choose_place(root: Path, known: Collection[str]) -> Path:
    folders, _ = list_folder(root)
    if any(_normalise(folder.name) in known for folder in folders):
        return root
    parts = {PARTS.get(folder.name.casefold()): folder for folder in folders}
    return next((parts[part] for part in _PREFERRED if part in parts), root)


def _normalise(name: str) -> str:
    return unicodedata.normalize("NFC", name)
