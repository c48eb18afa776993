"""Labelled folders: which picture has which label and belongs to which part."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from nstk.errors import FolderError, PictureError
from nstk.media.files import digest_file
from nstk.media.layout import Part, find_layout
from nstk.media.listing import SkippedFile, list_files
from nstk.media.pictures import probe_picture
from nstk.media.splits import hold_out
from nstk.progress import Progress, Reporter, ignore
from nstk.settings import check_range

_PARTS: tuple[Part, ...] = ("train", "validation", "test")

_Groups = dict[tuple[Part, str], list[Path]]
"""The pictures of each part and class."""


@dataclass(frozen=True)
class LabelledPicture:
    """One usable picture of a labelled folder.

    Attributes:
        path: The file, proved to decode completely (or, by choice, to begin like a picture).
        label: Its class, as a position in `LabelledFolder.classes`.
        part: What it is for.
    """

    path: Path
    label: int
    part: Part


@dataclass(frozen=True)
class LabelledFolder:
    """A folder of pictures with one subfolder per class: paths and labels, no pixels.

    Attributes:
        root: The folder.
        classes: Class names in natural order (1, 2, 10).
        pictures: The usable pictures, by part, class and natural order of their paths.
        skipped: What was left out, and why.
        notices: What the reader of the folder should know, one sentence each.
        validation_source: Whether the validation part is a ``"folder"`` of its own or a
            ``"split"`` of the training folder.
    """

    root: Path
    classes: tuple[str, ...]
    pictures: tuple[LabelledPicture, ...]
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]
    validation_source: Literal["folder", "split"]

    def part(self, name: Part) -> tuple[LabelledPicture, ...]:
        """The pictures of one part: ``"train"``, ``"validation"`` or ``"test"``."""
        return tuple(picture for picture in self.pictures if picture.part == name)

    def digests(self) -> dict[Path, str]:
        """SHA-256 of the content of every usable picture, read anew at every call.

        Raises:
            FolderError: If a file has gone since the scan.
        """
        try:
            return {picture.path: digest_file(picture.path) for picture in self.pictures}
        except OSError as error:
            raise FolderError(
                f"{error.filename} cannot be read any more ({error.strerror}); "
                "leave the folder alone while it is used, and start again."
            ) from error


def scan_folder(
    root: str | Path,
    *,
    validation_share: float = 0.2,
    seed: int = 0,
    whole: bool = True,
    on_progress: Reporter = ignore,
) -> LabelledFolder:
    """Find the labelled pictures of a folder and decode every one, to know that it is usable.

    The folder has one subfolder per class, or ``train/`` and beside it ``val/`` (``valid/``,
    ``validation/``), ``test/`` or both, each with one subfolder per class. Below a class folder
    the search goes on in all its subfolders. Hidden files and folders are ignored. Without a
    validation folder, a share of every class of the training folder is held out.

    Args:
        root: The folder.
        validation_share: The share held out of each class, at least one picture on each side.
        seed: Of the choice of the pictures held out.
        whole: False looks at headers alone, for callers that decode every picture anyway.
        on_progress: Told after each file, stage ``"scan"``.

    Raises:
        FolderError: If the folder cannot be used; says what to do.
        SettingsError: If the share or the seed is out of its range.
    """
    check_range("validation_share", validation_share, 0, 1)
    check_range("seed", seed, 0, 2**31 - 1)
    root = Path(root)
    layout = find_layout(root)
    classes = tuple(layout.parts["train"])
    groups, unsearched = _find_files(layout.parts)
    every = [path for paths in groups.values() for path in paths]
    damaged = _probe(every, whole, on_progress)
    groups = {
        group: [path for path in paths if path not in damaged] for group, paths in groups.items()
    }
    notices = [*layout.notices, *_check_groups(root, classes, groups)]
    source: Literal["folder", "split"] = "folder" if "validation" in layout.parts else "split"
    if source == "split":
        _split_validation(root, classes, groups, validation_share, seed)
    return LabelledFolder(
        root=root,
        classes=classes,
        pictures=tuple(
            LabelledPicture(path, label, part)
            for part in _PARTS
            for label, name in enumerate(classes)
            for path in groups.get((part, name), ())
        ),
        skipped=(*layout.skipped, *unsearched, *damaged.values()),
        notices=tuple(notices),
        validation_source=source,
    )


def find_pictures(
    paths: Iterable[str | Path], *, whole: bool = True, on_progress: Reporter = ignore
) -> tuple[tuple[Path, ...], tuple[SkippedFile, ...]]:
    """Find pictures without labels: files as they are given, folders searched to the bottom.

    Args:
        paths: Files and folders, each listed once however often it is given.
        whole: False looks at headers alone, for callers that decode every picture anyway.
        on_progress: Told after each file, stage ``"scan"``.

    Returns:
        The files that decode completely (or begin like pictures), in the given order (folders in
        natural order), and what was left out, with reasons.

    Raises:
        PictureError: If a path does not exist.
    """
    found: dict[Path, None] = {}
    skipped: list[SkippedFile] = []
    for path in map(Path, paths):
        if not path.exists():
            raise PictureError(f"{path}: no such file or folder; check the spelling.")
        if path.is_dir():
            files, unsearched = list_files(path)
            found.update(dict.fromkeys(files))
            skipped += unsearched
        else:
            found[path] = None
    damaged = _probe(list(found), whole, on_progress)
    pictures = tuple(path for path in found if path not in damaged)
    return pictures, (*skipped, *damaged.values())


def _find_files(
    parts: Mapping[Part, Mapping[str, list[Path]]],
) -> tuple[_Groups, list[SkippedFile]]:
    groups: _Groups = {}
    skipped: list[SkippedFile] = []
    for part, classes in parts.items():
        for name, folders in classes.items():
            listed = [list_files(folder) for folder in folders]
            groups[part, name] = [path for paths, _ in listed for path in paths]
            skipped += [unsearched for _, those in listed for unsearched in those]
    return groups, skipped


def _probe(paths: Sequence[Path], whole: bool, on_progress: Reporter) -> dict[Path, SkippedFile]:
    """Decode every file, or its header; those that cannot be used, with the reason."""
    damaged: dict[Path, SkippedFile] = {}
    on_progress(Progress(stage="scan", step=0, total=len(paths)))
    executor = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8))
    try:
        for step, (path, reason) in enumerate(
            zip(paths, executor.map(partial(_reason, whole), paths), strict=True)
        ):
            if reason:
                damaged[path] = SkippedFile(path, reason)
            on_progress(Progress(stage="scan", step=step + 1, total=len(paths)))
    finally:
        executor.shutdown(cancel_futures=True)
    return damaged


def _reason(whole: bool, path: Path) -> str | None:
    try:
        probe_picture(path, whole=whole)
    except PictureError as error:
        return str(error).removeprefix(f"{path}: ")
    return None


def _check_groups(root: Path, classes: Sequence[str], groups: _Groups) -> list[str]:
    """Refuse classes with too little to learn from; notices of those that are not tested."""
    notices = []
    for name in classes:
        count = len(groups["train", name])
        if not count or count + len(groups.get(("validation", name), ())) < 2:
            raise FolderError(
                f"{root}: class {name} has {count} usable "
                f"{'picture' if count == 1 else 'pictures'} to learn from; every class needs one "
                "to learn from and another to check with: add pictures or remove the folder."
            )
    for part in _PARTS[1:]:
        if not any(each == part for each, _ in groups):
            continue
        missing = [name for name in classes if not groups.get((part, name))]
        if len(missing) == len(classes):
            raise FolderError(f"{root}: the {part} part has no usable picture; fill or remove it.")
        if missing:
            notices.append(f"{root}: the {part} part has no picture of {', '.join(missing)}.")
    return notices


def _split_validation(
    root: Path, classes: Sequence[str], groups: _Groups, share: float, seed: int
) -> None:
    """Move the share held out of each class from the training to the validation part."""
    for name in classes:
        names = [path.relative_to(root) for path in groups["train", name]]
        held_out = hold_out(names, share, seed)
        groups["validation", name] = [root / each for each in names if each in held_out]
        groups["train", name] = [root / each for each in names if each not in held_out]
