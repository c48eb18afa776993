"""Labeled images on the disk: which has which label and belongs to which part."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from nstk.datasets.catalogs import SPLIT_ORDER, Catalog, LabeledImage, TemporaryFolder
from nstk.datasets.holdout import hold_out, rarest_labels
from nstk.datasets.layout import Split
from nstk.datasets.listing import SkippedFile, list_files
from nstk.datasets.sources import Data, open_catalog
from nstk.errors import FolderError, ImageError
from nstk.images.decoding import Header, decode, identify
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import check_range, check_whole
from nstk.storage.files import digest_file

_MOST_NAMES = 9


@dataclass(frozen=True)
class LabeledFolder:
    """Labeled images: paths and labels, no pixels.

    Attributes:
        root: The folder below which the images stand.
        classes: Class names in natural order (1, 2, 10).
        images: The usable images, by part, labels and natural order of their paths.
        skipped: What was left out, and why.
        notices: What the reader of the folder should know, one sentence each.
        validation_source: Whether the validation part is a ``"folder"`` of its own (or named by
            the manifest) or a ``"split"`` of the training images.
        multi_label: Whether an image may have several labels, or none.
        unpacked: Where images from a zip or from memory stand, for as long as this object
            lives.
    """

    root: Path
    classes: tuple[str, ...]
    images: tuple[LabeledImage, ...]
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]
    validation_source: Literal["folder", "split"]
    multi_label: bool = False
    unpacked: TemporaryFolder | None = field(default=None, compare=False, repr=False)

    def split(self, name: Split) -> tuple[LabeledImage, ...]:
        """The images of one split: ``"train"``, ``"validation"`` or ``"test"``."""
        return tuple(image for image in self.images if image.split == name)

    def display_path(self, path: Path) -> Path:
        """The path of an image as its owner knows it: inside the zip, if it is from one."""
        return self.unpacked.display_path(path) if self.unpacked else path

    def digests(self) -> dict[Path, str]:
        """SHA-256 of the content of every usable image, read anew at every call.

        Raises:
            FolderError: If a file has gone since the scan.
        """
        try:
            return {image.path: digest_file(image.path) for image in self.images}
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
    on_progress: Reporter = no_progress,
) -> LabeledFolder:
    """Find labeled images and decode every one, to know that it is usable.

    A folder has one subfolder per class, or ``train/`` and beside it ``val/`` (``valid/``,
    ``validation/``), ``test/`` or both, each with one subfolder per class. Below a class folder
    the search goes on in all its subfolders. Hidden files and folders are ignored. A manifest is
    a CSV or JSONL file with ``path`` and ``label``, and ``split`` if it likes. A zip holds either
    and is unpacked into a private folder that goes with the result. Without validation images,
    a share of every class of the training images is held out; images with several labels
    count as of their rarest class there.

    Args:
        root: The folder, the manifest or the zip; or images from memory, as `nstk.finetune`
            takes them.
        class_names: Of images from memory, in the order of their labels.
        validation_share: The share held out of each class, at least one image on each side.
        seed: Of the choice of the images held out.
        whole: False looks at headers alone, for callers that decode every image anyway.
        on_progress: Told after each file, stages ``"unpack"`` (of a zip), ``"store"`` (from memory)
            and ``"scan"``.

    Raises:
        FolderError: If it cannot be used; says what to do.
        SettingsError: If the share or the seed is out of its range.
    """
    check_range("validation_share", validation_share, 0, 1)
    check_whole("seed", seed, 0, 2**31 - 1)
    catalog = open_catalog(root, class_names, on_progress=on_progress)
    damaged, several = _probe([each.path for each in catalog.images], whole, on_progress)
    usable = [image for image in catalog.images if image.path not in damaged]
    notices = _check(catalog, usable)
    source: Literal["folder", "split"] = "folder" if "validation" in catalog.splits else "split"
    if source == "split":
        usable = _split_validation(catalog, usable, validation_share, seed)
    return LabeledFolder(
        root=catalog.root,
        classes=catalog.classes,
        images=tuple(usable),
        skipped=(
            *catalog.skipped,
            *(SkippedFile(catalog.display_path(file.path), file.reason) for file in damaged.values()),
        ),
        notices=(*catalog.notices, *notices, *warn_multi_image_files(map(catalog.display_path, several))),
        validation_source=source,
        multi_label=catalog.multi_label,
        unpacked=catalog.unpacked,
    )


def find_images(
    paths: Iterable[str | Path],
) -> tuple[tuple[Path, ...], tuple[SkippedFile, ...]]:
    """Find files that may be images: files as they are given, folders searched to the bottom.

    Args:
        paths: Files and folders, each listed once however often it is given.

    Returns:
        The files in the given order (folders in natural order), not yet opened, and the folders
        that could not be searched.

    Raises:
        ImageError: If a path does not exist.
    """
    found: dict[Path, None] = {}
    skipped: list[SkippedFile] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ImageError(f"{path}: no such file or folder; check the spelling.")
        if path.is_dir():
            files, unsearched = list_files(path)
            found.update(dict.fromkeys(files))
            skipped += unsearched
        else:
            found[path] = None
    return tuple(found), tuple(skipped)


def warn_multi_image_files(paths: Iterable[Path]) -> list[str]:
    """What to say of files that hold several images: which of them is used."""
    files = list(paths)
    if not files:
        return []
    which = "1 file holds" if len(files) == 1 else f"{len(files)} files hold"
    return [
        f"{which} several images (slices, or frames), as {files[0]} does; only the first of them "
        "is used: save the others as files of their own."
    ]


def _probe(
    paths: Sequence[Path], whole: bool, on_progress: Reporter
) -> tuple[dict[Path, SkippedFile], list[Path]]:
    """Decode every file, or its header.

    Returns:
        Those that cannot be used, with the reason; and those that hold several images.
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
    except ImageError as error:
        return SkippedFile(path, error.message_for(path))
    return header


def _check(catalog: Catalog, usable: Sequence[LabeledImage]) -> list[str]:
    """Refuse classes with too little to learn from; notices of those that are not tested."""
    for name in catalog.classes:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise FolderError(
                f"{catalog.source}: the name of class {name} is no text in UTF-8, as the names "
                "of a classifier have to be; rename it."
            ) from error
    counts = {split: [0] * len(catalog.classes) for split in SPLIT_ORDER}
    for image in usable:
        for label in image.labels:
            counts[image.split][label] += 1
    small = {
        name: learned
        for name, learned, checked in zip(
            catalog.classes, counts["train"], counts["validation"], strict=True
        )
        if not learned or learned + checked < 2
    }
    if small:
        raise FolderError(
            f"{catalog.source}: {_format_counts(small)} to learn from; every class needs one "
            "to learn from and another to check with: add images or remove the class."
        )
    notices = []
    for split in SPLIT_ORDER[1:]:
        if split not in catalog.splits:
            continue
        if not any(image.split == split for image in usable):
            raise FolderError(
                f"{catalog.source}: the {split} part has no usable image; fill or remove it."
            )
        missing = [
            name for name, count in zip(catalog.classes, counts[split], strict=True) if not count
        ]
        if missing:
            notices.append(
                f"{catalog.source}: the {split} part has no image of {', '.join(missing)}."
            )
    return notices


def _format_counts(counts: Mapping[str, int]) -> str:
    """How few images classes have, the first of them by name."""
    [(name, count), *others] = counts.items()
    said = f"class {name} has {count} usable {'image' if count == 1 else 'images'}"
    named = [f"{other} {number}" for other, number in others[:_MOST_NAMES]]
    more = [f"and {len(others) - _MOST_NAMES} more too few"] if len(others) > _MOST_NAMES else []
    return ", ".join([said, *named, *more])


def _split_validation(
    catalog: Catalog, usable: Sequence[LabeledImage], share: float, seed: int
) -> list[LabeledImage]:
    """Move the share held out of each kind from the training to the validation part."""
    train = [image for image in usable if image.split == "train"]
    names = [image.path.relative_to(catalog.root) for image in train]
    kinds = rarest_labels([image.labels for image in train])
    held_out: set[Path] = set()
    for kind in set(kinds):
        members = [name for name, other in zip(names, kinds, strict=True) if other == kind]
        if len(members) > 1:
            held_out |= hold_out(members, share, seed)
    moved = [name in held_out for name in names]
    left = {
        label for image, out in zip(train, moved, strict=True) if not out for label in image.labels
    }
    kept = [
        image
        for image, out in zip(train, moved, strict=True)
        # A common label may have lost all its images to rarer ones they show too.
        if not out or not left.issuperset(image.labels)
    ]
    staying = set(kept)
    checked = [replace(image, split="validation") for image in train if image not in staying]
    return [*kept, *checked, *(image for image in usable if image.split != "train")]
