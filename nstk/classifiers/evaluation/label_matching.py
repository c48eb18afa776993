"""Matching labeled images to the classes of a classifier, by name."""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nstk.datasets.catalogs import Catalog
from nstk.datasets.layout import SPLITS, Split, list_classes
from nstk.datasets.listing import SkippedFile, list_files, list_folder
from nstk.datasets.sources import Data, open_catalog
from nstk.errors import FolderError
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.progress import Reporter, no_progress

_PREFERRED: tuple[Split, ...] = ("test", "validation", "train")


@dataclass(frozen=True)
class LabeledFiles:
    """Labeled files for a classifier.

    Attributes:
        root: The folder with the classes, the manifest or the zip.
        files: Every file with the indices of its classes: one, or any number in multi-label data.
        missing: Classes of the classifier without files.
        extra: Classes that the classifier does not have.
        skipped: Files of extra classes, and files outside all class folders.
        catalog: Catalog of a manifest or a zip; files of a zip exist as long as this object.
    """

    root: Path
    files: tuple[tuple[Path, tuple[int, ...]], ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    catalog: Catalog | None = field(default=None, repr=False)

    def display_path(self, path: Path) -> Path:
        """The path of a file that users know: inside the zip, if it comes from one."""
        return self.catalog.display_path(path) if self.catalog else path


def match_classes(
    data: Data,
    classes: Sequence[str],
    *,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
    value_range: ValueRange = VALUE_RANGE,
    on_progress: Reporter = no_progress,
) -> LabeledFiles:
    """Find the images of a classifier's classes.

    The subfolders of a folder are classes or splits. Of splits, ``test`` is used, or ``val``
    (``valid``, ``validation``) without it, or else ``train``.

    Args:
        data: A folder, a manifest or a zip, as for `nstk.finetune`, or images from memory.
        classes: The classifier's class names, in the order of its outputs.
        class_names: Class names of images from memory; None for those of the classifier.
        multi_label: Whether the classifier may predict several labels.
        value_range: Values of black and white in arrays of floats.
        on_progress: Receives the progress of unpacking a zip.

    Raises:
        FolderError: If the data are none of these, have no image of the classifier's classes, or
            have several labels for an image where the classifier predicts one.
    """
    if not isinstance(data, str | Path):
        names = classes if class_names is None else class_names
        catalog = open_catalog(data, names, value_range=value_range, on_progress=on_progress)
        return _match_catalog(catalog, classes, multi_label)
    data = Path(data)
    if data.is_file():
        catalog = open_catalog(data, class_names, to_learn=False, on_progress=on_progress)
        return _match_catalog(catalog, classes, multi_label)
    if not data.exists():
        raise FolderError(f"{data}: no such file or folder; check the spelling.")
    root = _choose_root(data, {_normalize(name) for name in classes})
    return _match(root, *_list_folder(root), classes, None)


_Named = list[tuple[Path, tuple[str, ...]]]
"""Files with the names of their classes."""


def _match_catalog(catalog: Catalog, classes: Sequence[str], multi_label: bool) -> LabeledFiles:
    if catalog.multi_label and not multi_label:
        raise FolderError(
            f"{catalog.source}: its images have several labels, but the classifier predicts one; "
            "give data with one label for each image."
        )
    return _match(catalog.source, *_list_catalog(catalog), classes, catalog)


def _match(
    root: Path,
    found: _Named,
    skipped: Iterable[SkippedFile],
    classes: Sequence[str],
    catalog: Catalog | None,
) -> LabeledFiles:
    indices = {_normalize(name): index for index, name in enumerate(classes)}
    named = dict.fromkeys(name for _, names in found for name in names)
    extra = tuple(name for name in named if name not in indices)
    files: list[tuple[Path, tuple[int, ...]]] = []
    unknown: list[SkippedFile] = []
    for path, names in found:
        known = tuple(indices[name] for name in names if name in indices)
        if known or not names:
            files.append((path, known))
        else:
            reason = f"the classifier has no class '{', '.join(names)}'"
            unknown.append(SkippedFile(path, reason))
    if not named.keys() & indices.keys():
        raise FolderError(
            f"{root}: its classes are {', '.join(extra) or 'missing'}, those of the classifier "
            f"{', '.join(classes)}; rename the classes, or give another folder."
        )
    return LabeledFiles(
        root=root,
        files=tuple(files),
        missing=tuple(name for name in classes if _normalize(name) not in named),
        extra=extra,
        skipped=(*skipped, *unknown),
        catalog=catalog,
    )


def _list_folder(root: Path) -> tuple[_Named, list[SkippedFile]]:
    folders, outside = list_classes(root)
    named: _Named = []
    skipped = [*outside]
    for name, paths_of_class in folders.items():
        for each in paths_of_class:
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


def _choose_root(root: Path, known: Collection[str]) -> Path:
    folders, _ = list_folder(root)
    if any(_normalize(folder.name) in known for folder in folders):
        return root
    splits = {SPLITS.get(folder.name.casefold()): folder for folder in folders}
    return next((splits[split] for split in _PREFERRED if split in splits), root)


def _normalize(name: str) -> str:
    return unicodedata.normalize("NFC", name)
