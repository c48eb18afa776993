"""Labeled images for a classifier that exists already: classes are matched by name."""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nstk.datasets.catalogs import Catalog
from nstk.datasets.layout import SPLITS, Split, list_classes
from nstk.datasets.listing import SkippedFile, list_files, list_folder
from nstk.datasets.sources import Data, open_catalog
from nstk.errors import FolderError
from nstk.progress import Reporter, no_progress

_PREFERRED: tuple[Split, ...] = ("test", "validation", "train")


@dataclass(frozen=True)
class LabeledFiles:
    """Files and what they should be called.

    Attributes:
        place: Where they were found: the folder with the classes, a manifest or a zip.
        files: Every file and the positions of its labels in the classifier's list: exactly one,
            but any number where images may have several.
        missing: Classes of the classifier that no file is said to show.
        extra: Classes that the classifier does not know.
        skipped: Files of those, and files that lie outside all class folders.
        catalog: What a manifest or a zip holds; its files live as long as this object.
    """

    place: Path
    files: tuple[tuple[Path, tuple[int, ...]], ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    catalog: Catalog | None = field(default=None, repr=False)

    def name(self, path: Path) -> Path:
        """The path of a file as its owner knows it: inside the zip, if it is from one."""
        return self.catalog.name(path) if self.catalog else path


def match_data(
    data: Data,
    classes: Sequence[str],
    *,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
    on_progress: Reporter = no_progress,
) -> LabeledFiles:
    """Find the images of a classifier's classes.

    The subfolders of a folder are named after classes; or they are parts. Of parts ``test`` is
    taken, or ``val`` (``valid``, ``validation``) where there is none, or else ``train``.

    Args:
        data: A folder, a manifest or a zip, as `nstk.finetune` reads them, or images from memory.
        classes: The classifier's class names, in the order of its outputs.
        class_names: Of images from memory; None for the classifier's own.
        multi_label: Whether it may give an image several.
        on_progress: Told while a zip is unpacked.

    Raises:
        FolderError: If it is none of these, has no image of any class that is known, or several
            labels for an image where the classifier gives one.
    """
    if not isinstance(data, str | Path):
        names = classes if class_names is None else class_names
        catalog = open_catalog(data, names, on_progress=on_progress)
        return _match_catalog(catalog, classes, multi_label)
    data = Path(data)
    if data.is_file():
        catalog = open_catalog(data, class_names, to_learn=False, on_progress=on_progress)
        return _match_catalog(catalog, classes, multi_label)
    if not data.exists():
        raise FolderError(f"{data}: no such file or folder; check the spelling.")
    place = _choose_place(data, {_normalize(name) for name in classes})
    return _match(place, *_list_folder(place), classes, None)


_Named = list[tuple[Path, tuple[str, ...]]]
"""Files, and the names of their classes."""


def _match_catalog(catalog: Catalog, classes: Sequence[str], multi_label: bool) -> LabeledFiles:
    if catalog.multi_label and not multi_label:
        raise FolderError(
            f"{catalog.source}: its images may have several labels, but the classifier gives "
            "one to each; give data with one label an image."
        )
    return _match(catalog.source, *_list_catalog(catalog), classes, catalog)


def _match(
    place: Path,
    found: _Named,
    skipped: Iterable[SkippedFile],
    classes: Sequence[str],
    catalog: Catalog | None,
) -> LabeledFiles:
    positions = {_normalize(name): position for position, name in enumerate(classes)}
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
            f"{place} has images of no class that the classifier knows "
            f"({', '.join(classes)}), only {', '.join(extra) or 'such without any'}; "
            "rename its classes."
        )
    return LabeledFiles(
        place=place,
        files=tuple(files),
        missing=tuple(name for name in classes if _normalize(name) not in named),
        extra=extra,
        skipped=(*skipped, *unknown),
        catalog=catalog,
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


def _list_catalog(catalog: Catalog) -> tuple[_Named, list[SkippedFile]]:
    split = next(each for each in _PREFERRED if each in catalog.splits)
    named = [
        (image.path, tuple(catalog.classes[label] for label in image.labels))
        for image in catalog.images
        if image.split == split
    ]
    return named, [*catalog.skipped]


def _choose_place(root: Path, known: Collection[str]) -> Path:
    folders, _ = list_folder(root)
    if any(_normalize(folder.name) in known for folder in folders):
        return root
    splits = {SPLITS.get(folder.name.casefold()): folder for folder in folders}
    return next((splits[split] for split in _PREFERRED if split in splits), root)


def _normalize(name: str) -> str:
    return unicodedata.normalize("NFC", name)
