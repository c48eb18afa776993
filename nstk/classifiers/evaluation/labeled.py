"""Labelled pictures for a classifier that exists already: classes are matched by name."""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nstk.datasets.catalogs import Catalogue
from nstk.datasets.layout import PARTS, Part, list_classes
from nstk.datasets.listing import SkippedFile, list_files, list_folder
from nstk.datasets.sources import Data, open_catalogue
from nstk.errors import FolderError
from nstk.progress import Reporter, ignore

_PREFERRED: tuple[Part, ...] = ("test", "validation", "train")


@dataclass(frozen=True)
class LabelledFiles:
    """Files and what they should be called.

    Attributes:
        place: Where they were found: the folder with the classes, a manifest or a zip.
        files: Every file and the positions of its labels in the classifier's list: exactly one,
            but any number where pictures may have several.
        missing: Classes of the classifier that no file is said to show.
        extra: Classes that the classifier does not know.
        skipped: Files of those, and files that lie outside all class folders.
        catalogue: What a manifest or a zip holds; its files live as long as this object.
    """

    place: Path
    files: tuple[tuple[Path, tuple[int, ...]], ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    catalogue: Catalogue | None = field(default=None, repr=False)

    def name(self, path: Path) -> Path:
        """The path of a file as its owner knows it: inside the zip, if it is from one."""
        return self.catalogue.name(path) if self.catalogue else path


def match_data(
    data: Data,
    classes: Sequence[str],
    *,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
    on_progress: Reporter = ignore,
) -> LabelledFiles:
    """Find the pictures of a classifier's classes.

    The subfolders of a folder are named after classes; or they are parts. Of parts ``test`` is
    taken, or ``val`` (``valid``, ``validation``) where there is none, or else ``train``.

    Args:
        data: A folder, a manifest or a zip, as `nstk.finetune` reads them, or pictures from memory.
        classes: The classifier's class names, in the order of its outputs.
        class_names: Of pictures from memory; None for the classifier's own.
        multi_label: Whether it may give a picture several.
        on_progress: Told while a zip is unpacked.

    Raises:
        FolderError: If it is none of these, has no picture of any class that is known, or several
            labels for a picture where the classifier gives one.
    """
    if not isinstance(data, str | Path):
        names = classes if class_names is None else class_names
        catalogue = open_catalogue(data, names, on_progress=on_progress)
        return _match_catalogue(catalogue, classes, multi_label)
    data = Path(data)
    if data.is_file():
        catalogue = open_catalogue(data, class_names, to_learn=False, on_progress=on_progress)
        return _match_catalogue(catalogue, classes, multi_label)
    if not data.exists():
        raise FolderError(f"{data}: no such file or folder; check the spelling.")
    place = _choose_place(data, {_normalise(name) for name in classes})
    return _match(place, *_list_folder(place), classes, None)


_Named = list[tuple[Path, tuple[str, ...]]]
"""Files, and the names of their classes."""


def _match_catalogue(
    catalogue: Catalogue, classes: Sequence[str], multi_label: bool
) -> LabelledFiles:
    if catalogue.multi_label and not multi_label:
        raise FolderError(
            f"{catalogue.source}: its pictures may have several labels, but the classifier gives "
            "one to each; give data with one label a picture."
        )
    return _match(catalogue.source, *_list_catalogue(catalogue), classes, catalogue)


def _match(
    place: Path,
    found: _Named,
    skipped: Iterable[SkippedFile],
    classes: Sequence[str],
    catalogue: Catalogue | None,
) -> LabelledFiles:
    positions = {_normalise(name): position for position, name in enumerate(classes)}
    named = dict.fromkeys(name for _, names in found for name in names)
    extra = tuple(name for name in named if name not in positions)
    files: list[tuple[Path, tuple[int, ...]]] = []
    unknown: list[SkippedFile] = []
    for path, names in found:
        known = tuple(positions[name] for name in names if name in positions)
        if known or not names:
            files.append((path, known))
        else:
            reason = f"the classifier knows no class '{', '.join(names)}'"
            unknown.append(SkippedFile(path, reason))
    if not named.keys() & positions.keys():
        raise FolderError(
            f"{place} has pictures of no class that the classifier knows "
            f"({', '.join(classes)}), only {', '.join(extra) or 'such without any'}; "
            "rename its classes."
        )
    return LabelledFiles(
        place=place,
        files=tuple(files),
        missing=tuple(name for name in classes if _normalise(name) not in named),
        extra=extra,
        skipped=(*skipped, *unknown),
        catalogue=catalogue,
    )


def _list_folder(place: Path) -> tuple[_Named, list[SkippedFile]]:
    folders, outside = list_classes(place)
    named: _Named = []
    skipped = [*outside]
    for name, places in folders.items():
        for each in places:
            paths, unsearched = list_files(each)
            named += [(path, (name,)) for path in paths]
            skipped += unsearched
    return named, skipped


def _list_catalogue(catalogue: Catalogue) -> tuple[_Named, list[SkippedFile]]:
    part = next(each for each in _PREFERRED if each in catalogue.parts)
    named = [
        (picture.path, tuple(catalogue.classes[label] for label in picture.labels))
        for picture in catalogue.pictures
        if picture.part == part
    ]
    return named, [*catalogue.skipped]


def _choose_place(root: Path, known: Collection[str]) -> Path:
    folders, _ = list_folder(root)
    if any(_normalise(folder.name) in known for folder in folders):
        return root
    parts = {PARTS.get(folder.name.casefold()): folder for folder in folders}
    return next((parts[part] for part in _PREFERRED if part in parts), root)


def _normalise(name: str) -> str:
    return unicodedata.normalize("NFC", name)
