"""Layout of a labeled folder: class folders at its top, or below train, validation and test."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nstk.datasets.listing import SkippedFile, list_folder, natural_key
from nstk.errors import FolderError

Split = Literal["train", "validation", "test"]

SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of split folders, in lower case."""


@dataclass(frozen=True)
class Layout:
    """The class folders of each split.

    Attributes:
        splits: For each split that has a folder: class name → the folders of that class. Names
            that differ only in the encoding of accents are one class.
        skipped: Files outside all class folders.
        notices: Warnings about the folder.
    """

    splits: Mapping[Split, Mapping[str, list[Path]]]
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of all splits, in natural order."""
        return tuple(
            sorted({name for split in self.splits.values() for name in split}, key=natural_key)
        )


def find_layout(root: Path, *, to_learn: bool = True) -> Layout:
    """Find the class folders of a labeled folder.

    Subfolders are splits if ``train`` (``training``) is the only one or there is also ``val``
    (``valid``, ``validation``) or ``test`` (``testing``); otherwise every subfolder is a class.
    Case does not matter in these names.

    Args:
        root: The folder.
        to_learn: Whether the images are for training, and not only for evaluation.

    Raises:
        FolderError: If it is not a folder, is empty or has no class folders; or, for training, has
            only one class, or classes without training images.
    """
    if not root.exists():
        raise FolderError(f"{root}: no such file or folder; check the spelling.")
    if not root.is_dir():
        raise FolderError(
            f"{root} is a file; give a folder with one subfolder per class, a .zip of one, "
            "or a manifest (.csv or .jsonl)."
        )
    folders, _ = _list(root)
    known: dict[Split, list[Path]] = {}
    for folder in folders:
        if split := SPLITS.get(folder.name.casefold()):
            known.setdefault(split, []).append(folder)
    others = [folder for folder in folders if folder.name.casefold() not in SPLITS]
    only_splits = bool(known) and not others
    if only_splits and "train" not in known and to_learn:
        raise FolderError(
            f"{root} has {_names(folders)} but no train/; put the training images there."
        )
    if only_splits or ("train" in known and len(known) > 1):
        layout = _split_layout(root, known, others)
    else:
        classes, skipped = list_classes(root)
        layout = Layout({"train": classes}, skipped, ())
    if not layout.splits:
        raise FolderError(
            f"{root} has no class folders in {_names(folders)}; put the images of each class "
            "into a subfolder named after it."
        )
    if to_learn:
        _check_classes(root, layout.splits)
    return layout


def _split_layout(root: Path, known: Mapping[Split, list[Path]], others: list[Path]) -> Layout:
    splits: dict[Split, Mapping[str, list[Path]]] = {}
    skipped = [SkippedFile(file, "outside the class folders") for file in _list(root)[1]]
    notices = []
    if others:
        notices.append(f"{root}: {_names(others)} beside train/ is not a split and is left out.")
    for split, folders in known.items():
        if len(folders) > 1:
            raise FolderError(
                f"{root} has {_names(folders)}, which are all names for {split}; keep one of them."
            )
        folder = folders[0]
        if split == "test" and not _list(folder)[0]:
            notices.append(f"{folder} has no class folders, so it has no labels and is left out.")
            continue
        splits[split], loose = list_classes(folder)
        skipped += loose
    return Layout(splits, tuple(skipped), tuple(notices))


def list_classes(place: Path) -> tuple[dict[str, list[Path]], tuple[SkippedFile, ...]]:
    """Find the class folders of one split.

    Returns:
        Class name, in natural order → its folders; and the files beside them.

    Raises:
        FolderError: If there is no class folder, or the folder cannot be listed.
    """
    folders, files = _list(place)
    if not folders and files:
        raise FolderError(
            f"{place} holds {len(files)} files but no class folders; "
            "put the images of each class into a subfolder named after it."
        )
    if not folders:
        raise FolderError(f"{place} is empty; give a folder with one subfolder per class.")
    classes: dict[str, list[Path]] = {}
    for folder in folders:
        classes.setdefault(unicodedata.normalize("NFC", folder.name), []).append(folder)
    skipped = tuple(SkippedFile(file, "outside the class folders") for file in files)
    return {name: classes[name] for name in sorted(classes, key=natural_key)}, skipped


def _check_classes(root: Path, splits: Mapping[Split, Mapping[str, list[Path]]]) -> None:
    classes = list(splits["train"])
    if len(classes) == 1:
        folder = splits["train"][classes[0]][0]
        below = _list(folder)[0]
        hint = f" (or did you mean {folder}, which has {_names(below)}?)" if below else ""
        raise FolderError(
            f"{root} has only one class, {classes[0]}; give at least two class folders{hint}."
        )
    for split, folders in splits.items():
        unknown = [name for name in folders if name not in classes]
        if unknown:
            raise FolderError(
                f"{root}: the {split} split has classes that train/ lacks: {', '.join(unknown)}; "
                f"rename or remove them (train/ has {', '.join(classes)})."
            )


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    try:
        return list_folder(folder)
    except OSError as error:
        raise FolderError(
            f"{folder} cannot be listed ({error.strerror}); fix its permissions."
        ) from error


def _names(folders: list[Path]) -> str:
    return ", ".join(f"{folder.name}/" for folder in folders)
