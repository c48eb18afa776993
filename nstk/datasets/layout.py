"""Folders of labeled images: one folder per class, at the top or below train, val and test."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nstk.datasets.catalogs import (
    DEFAULTS,
    Catalog,
    DataSettings,
    NamedImage,
    Split,
    build_catalog,
    normalize,
    read_split,
)
from nstk.datasets.listing import (
    SkippedFile,
    list_files,
    list_folder,
    shorten,
    warn_system_folders,
)
from nstk.errors import FolderError

PREFERRED: tuple[Split, ...] = ("test", "validation", "train")
"""Which split is evaluated: the first that there is."""


def catalog_folder(
    root: Path, settings: DataSettings = DEFAULTS, classes: Sequence[str] | None = None
) -> Catalog:
    """List the images of a folder.

    To learn, subfolders are splits if train is the only one or there is also another split. To
    evaluate a classifier with these classes, they are splits unless one of them is a class, and
    only the preferred one is listed. Otherwise every subfolder is a class.
    """
    if not root.exists():
        raise FolderError(f"{root}: no such file or folder; check the spelling.")
    if not root.is_dir():
        raise FolderError(
            f"{root} is a file; give a folder with one subfolder per class, a .zip of one, "
            "or a manifest (.csv, .jsonl or .json)."
        )
    to_learn = classes is None
    if settings.label_pattern is not None:
        return _catalog_names(root, re.compile(settings.label_pattern), to_learn=to_learn)
    folders, files = _list(root)
    known: dict[Split, Path] = {}
    for folder in folders:
        split = read_split(folder.name)
        if split in known:
            raise FolderError(
                f"{root} has {known[split].name}/ and {folder.name}/, which are both names for "
                f"{split}; keep one of them."
            )
        if split:
            known[split] = folder
    others = [folder for folder in folders if folder not in known.values()]
    if classes is not None:
        if known and not {normalize(each.name) for each in folders} & {*map(normalize, classes)}:
            chosen = next(each for each in PREFERRED if each in known)
            return catalog_folder(known[chosen], settings, classes)
        known = {}
    elif known and not others and "train" not in known:
        raise FolderError(
            f"{root} has {_names(folders)} but no train/; put the training images there."
        )
    if not known or (others and ("train" not in known or len(known) == 1)):
        return _catalog_splits(root, {"train": root}, to_learn=to_learn)
    catalog = _catalog_splits(root, known, to_learn=True)
    notices = [*_warn_system_folders(root)]
    if others:
        notices.append(f"{root}: {_names(others)} beside train/ is not a split and is left out.")
    return replace(
        catalog,
        skipped=(*_outside(files), *catalog.skipped),
        notices=(*notices, *catalog.notices),
    )


def _catalog_splits(root: Path, splits: Mapping[Split, Path], *, to_learn: bool) -> Catalog:
    images: list[NamedImage] = []
    classes: dict[Split, set[str]] = {}
    skipped: list[SkippedFile] = []
    notices: list[str] = []
    for split, place in splits.items():
        if split == "test" and not _list(place)[0]:
            notices.append(f"{place} has no class folders, so it has no labels and is left out.")
            continue
        place, folders, outside = _class_folders(place)
        skipped += _outside(outside)
        notices += _warn_system_folders(place)
        if to_learn and split == "train":
            _check_classes(root, folders)
        classes[split] = {normalize(folder.name) for folder in folders}
        for folder in folders:
            files, unsearched = list_files(folder)
            images += [(file, (normalize(folder.name),), split) for file in files]
            skipped += unsearched
    return build_catalog(root, images, classes, to_learn=to_learn, skipped=skipped, notices=notices)


def _catalog_names(root: Path, pattern: re.Pattern[str], *, to_learn: bool) -> Catalog:
    """Read the labels from the names of the files, and the splits from the folders at the top."""
    files, skipped = list_files(root)
    images: list[NamedImage] = []
    splits: dict[Split, set[str]] = {}
    for file in files:
        place = normalize(file.relative_to(root).as_posix())
        found = pattern.search(place if "/" in pattern.pattern else Path(place).name)
        label = found and found["label" if "label" in pattern.groupindex else 1]
        if not label:
            skipped.append(SkippedFile(file, "its name does not match the label pattern"))
            continue
        split = (read_split(place.partition("/")[0]) if "/" in place else None) or "train"
        images.append((file, (label,), split))
        splits.setdefault(split, set()).add(label)
    if not images:
        first = f", such as {files[0].name}," if files else ""
        raise FolderError(
            f"{root}: none of its {len(files)} files{first} matches `label_pattern`, "
            f"{pattern.pattern}; correct it."
        )
    return build_catalog(root, images, splits, to_learn=to_learn, skipped=skipped)


def _class_folders(place: Path) -> tuple[Path, list[Path], list[Path]]:
    """Where the class folders of one split are, these folders, and the files beside them."""
    folders, files = _list(place)
    if len(folders) == 1 and not files and folders[0].name == place.name:
        return _class_folders(folders[0])  # as in training_set/training_set/cats
    if not folders and files:
        raise FolderError(
            f"{place} holds {len(files)} files but no class folders; put the images of each class "
            "into a subfolder named after it, give `label_pattern` if the names of the files have "
            "the labels, or give a manifest."
        )
    if not folders:
        raise FolderError(f"{place} is empty; give a folder with one subfolder per class.")
    return place, folders, files


def _check_classes(root: Path, folders: Sequence[Path]) -> None:
    """Refuse folders that are probably not classes."""
    if len({normalize(folder.name) for folder in folders}) == 1:
        below = _list(folders[0])[0]
        hint = f" (or did you mean {folders[0]}, which has {_names(below)}?)" if below else ""
        raise FolderError(
            f"{root} has only one class, {folders[0].name}; give at least two class folders{hint}."
        )
    names: list[str] | None = None
    for folder in folders:
        below, files = _list(folder)
        inner = [each.name for each in below]
        if files or len(inner) < 2 or names not in (None, inner):
            return
        names = inner
    raise FolderError(
        f"{root}: {_names(folders)} all have the same subfolders, {_names(below)}: are those the "
        "classes? Name the folders train/, val/ and test/ if they are splits, or give one of them; "
        "if they are classes, list their images in a manifest."
    )


def _outside(files: Iterable[Path]) -> list[SkippedFile]:
    return [SkippedFile(file, "outside the class folders") for file in files]


def _warn_system_folders(place: Path) -> tuple[str, ...]:
    return warn_system_folders(place, (entry.name for entry in place.iterdir()))


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    try:
        return list_folder(folder)
    except OSError as error:
        raise FolderError(
            f"{folder} cannot be listed ({error.strerror}); fix its permissions."
        ) from error


def _names(folders: Iterable[Path]) -> str:
    return shorten(f"{folder.name}/" for folder in folders)
