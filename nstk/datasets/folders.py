"""Labelled pictures on the disk: which has which label and belongs to which part."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from nstk.datasets.catalogs import PART_ORDER, Catalogue, LabelledPicture
from nstk.datasets.holdout import hold_out, rarest_labels
from nstk.datasets.layout import Part
from nstk.datasets.listing import SkippedFile, list_files
from nstk.datasets.sources import Data, open_catalogue
from nstk.errors import FolderError, PictureError
from nstk.images.decoding import Header, decode, identify
from nstk.progress import Progress, Reporter, ignore
from nstk.settings import check_range, check_whole
from nstk.storage.files import digest_file
from nstk.storage.private_folders import PrivateFolder

_MOST_NAMES = 9


@dataclass(frozen=True)
class LabelledFolder:
    """Labelled pictures: paths and labels, no pixels.

    Attributes:
        root: The folder below which the pictures stand.
        classes: Class names in natural order (1, 2, 10).
        pictures: The usable pictures, by part, labels and natural order of their paths.
        skipped: What was left out, and why.
        notices: What the reader of the folder should know, one sentence each.
        validation_source: Whether the validation part is a ``"folder"`` of its own (or named by
            the manifest) or a ``"split"`` of the training pictures.
        multi_label: Whether a picture may have several labels, or none.
        unpacked: Where pictures from a zip or from memory stand, for as long as this object
            lives.
    """

    root: Path
    classes: tuple[str, ...]
    pictures: tuple[LabelledPicture, ...]
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]
    validation_source: Literal["folder", "split"]
    multi_label: bool = False
    unpacked: PrivateFolder | None = field(default=None, compare=False, repr=False)

    def part(self, name: Part) -> tuple[LabelledPicture, ...]:
        """The pictures of one part: ``"train"``, ``"validation"`` or ``"test"``."""
        return tuple(picture for picture in self.pictures if picture.part == name)

    def name(self, path: Path) -> Path:
        """The path of a picture as its owner knows it: inside the zip, if it is from one."""
        return self.unpacked.name(path) if self.unpacked else path

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
    root: Data,
    *,
    class_names: Sequence[str] | None = None,
    validation_share: float = 0.2,
    seed: int = 0,
    whole: bool = True,
    on_progress: Reporter = ignore,
) -> LabelledFolder:
    """Find labelled pictures and decode every one, to know that it is usable.

    A folder has one subfolder per class, or ``train/`` and beside it ``val/`` (``valid/``,
    ``validation/``), ``test/`` or both, each with one subfolder per class. Below a class folder
    the search goes on in all its subfolders. Hidden files and folders are ignored. A manifest is
    a CSV or JSONL file with ``path`` and ``label``, and ``split`` if it likes. A zip holds either
    and is unpacked into a private folder that goes with the result. Without validation pictures,
    a share of every class of the training pictures is held out; pictures with several labels
    count as of their rarest class there.

    Args:
        root: The folder, the manifest or the zip; or pictures from memory, as `nstk.finetune`
            takes them.
        class_names: Of pictures from memory, in the order of their labels.
        validation_share: The share held out of each class, at least one picture on each side.
        seed: Of the choice of the pictures held out.
        whole: False looks at headers alone, for callers that decode every picture anyway.
        on_progress: Told after each file, stages ``"unpack"`` (of a zip), ``"store"`` (from memory)
            and ``"scan"``.

    Raises:
        FolderError: If it cannot be used; says what to do.
        SettingsError: If the share or the seed is out of its range.
    """
    check_range("validation_share", validation_share, 0, 1)
    check_whole("seed", seed, 0, 2**31 - 1)
    catalogue = open_catalogue(root, class_names, on_progress=on_progress)
    damaged, several = _probe([each.path for each in catalogue.pictures], whole, on_progress)
    usable = [picture for picture in catalogue.pictures if picture.path not in damaged]
    notices = _check(catalogue, usable)
    source: Literal["folder", "split"] = "folder" if "validation" in catalogue.parts else "split"
    if source == "split":
        usable = _split_validation(catalogue, usable, validation_share, seed)
    return LabelledFolder(
        root=catalogue.root,
        classes=catalogue.classes,
        pictures=tuple(usable),
        skipped=(
            *catalogue.skipped,
            *(SkippedFile(catalogue.name(file.path), file.reason) for file in damaged.values()),
        ),
        notices=(*catalogue.notices, *notices, *tell_several(map(catalogue.name, several))),
        validation_source=source,
        multi_label=catalogue.multi_label,
        unpacked=catalogue.unpacked,
    )


def find_pictures(
    paths: Iterable[str | Path],
) -> tuple[tuple[Path, ...], tuple[SkippedFile, ...]]:
    """Find files that may be pictures: files as they are given, folders searched to the bottom.

    Args:
        paths: Files and folders, each listed once however often it is given.

    Returns:
        The files in the given order (folders in natural order), not yet opened, and the folders
        that could not be searched.

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
    return tuple(found), tuple(skipped)


def tell_several(paths: Iterable[Path]) -> list[str]:
    """What to say of files that hold several pictures: which of them is used."""
    files = list(paths)
    if not files:
        return []
    which = "1 file holds" if len(files) == 1 else f"{len(files)} files hold"
    return [
        f"{which} several pictures (slices, or frames), as {files[0]} does; only the first of them "
        "is used: save the others as files of their own."
    ]


def _probe(
    paths: Sequence[Path], whole: bool, on_progress: Reporter
) -> tuple[dict[Path, SkippedFile], list[Path]]:
    """Decode every file, or its header.

    Returns:
        Those that cannot be used, with the reason; and those that hold several pictures.
    """
    damaged: dict[Path, SkippedFile] = {}
    several: list[Path] = []
    on_progress(Progress(stage="scan", step=0, total=len(paths)))
    executor = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8))
    try:
        for step, (path, seen) in enumerate(
            zip(paths, executor.map(partial(_look, whole), paths), strict=True)
        ):
            if isinstance(seen, SkippedFile):
                damaged[path] = seen
            elif seen.several:
                several.append(path)
            on_progress(Progress(stage="scan", step=step + 1, total=len(paths)))
    finally:
        executor.shutdown(cancel_futures=True)
    return damaged, several


def _look(whole: bool, path: Path) -> Header | SkippedFile:
    try:
        header = identify(path)
        if whole:
            decode(path)
    except PictureError as error:
        return SkippedFile(path, error.say_of(path))
    return header


def _check(catalogue: Catalogue, usable: Sequence[LabelledPicture]) -> list[str]:
    """Refuse classes with too little to learn from; notices of those that are not tested."""
    for name in catalogue.classes:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise FolderError(
                f"{catalogue.source}: the name of class {name} is no text in UTF-8, as the names "
                "of a classifier have to be; rename it."
            ) from error
    counts = {part: [0] * len(catalogue.classes) for part in PART_ORDER}
    for picture in usable:
        for label in picture.labels:
            counts[picture.part][label] += 1
    small = {
        name: learned
        for name, learned, checked in zip(
            catalogue.classes, counts["train"], counts["validation"], strict=True
        )
        if not learned or learned + checked < 2
    }
    if small:
        raise FolderError(
            f"{catalogue.source}: {_spell_counts(small)} to learn from; every class needs one "
            "to learn from and another to check with: add pictures or remove the class."
        )
    notices = []
    for part in PART_ORDER[1:]:
        if part not in catalogue.parts:
            continue
        if not any(picture.part == part for picture in usable):
            raise FolderError(
                f"{catalogue.source}: the {part} part has no usable picture; fill or remove it."
            )
        missing = [
            name for name, count in zip(catalogue.classes, counts[part], strict=True) if not count
        ]
        if missing:
            notices.append(
                f"{catalogue.source}: the {part} part has no picture of {', '.join(missing)}."
            )
    return notices


def _spell_counts(counts: Mapping[str, int]) -> str:
    """How few pictures classes have, the first of them by name."""
    [(name, count), *others] = counts.items()
    said = f"class {name} has {count} usable {'picture' if count == 1 else 'pictures'}"
    named = [f"{other} {number}" for other, number in others[:_MOST_NAMES]]
    more = [f"and {len(others) - _MOST_NAMES} more too few"] if len(others) > _MOST_NAMES else []
    return ", ".join([said, *named, *more])


def _split_validation(
    catalogue: Catalogue, usable: Sequence[LabelledPicture], share: float, seed: int
) -> list[LabelledPicture]:
    """Move the share held out of each kind from the training to the validation part."""
    train = [picture for picture in usable if picture.part == "train"]
    names = [picture.path.relative_to(catalogue.root) for picture in train]
    kinds = rarest_labels([picture.labels for picture in train])
    held_out: set[Path] = set()
    for kind in set(kinds):
        members = [name for name, other in zip(names, kinds, strict=True) if other == kind]
        if len(members) > 1:
            held_out |= hold_out(members, share, seed)
    moved = [name in held_out for name in names]
    left = {
        label
        for picture, out in zip(train, moved, strict=True)
        if not out
        for label in picture.labels
    }
    kept = [
        picture
        for picture, out in zip(train, moved, strict=True)
        # A common label may have lost all its pictures to rarer ones they show too.
        if not out or not left.issuperset(picture.labels)
    ]
    staying = set(kept)
    checked = [replace(picture, part="validation") for picture in train if picture not in staying]
    return [*kept, *checked, *(picture for picture in usable if picture.part != "train")]
