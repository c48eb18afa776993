"""Scanning labeled images: which files are usable, and which split each belongs to."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from nstk.datasets.catalogs import SPLIT_ORDER, Catalog, LabeledImage, TemporaryFolder
from nstk.datasets.holdout import split_validation
from nstk.datasets.layout import Split
from nstk.datasets.listing import SkippedFile, list_files
from nstk.datasets.sources import Data, open_catalog
from nstk.errors import FolderError, ImageError
from nstk.images.decoding import Header, decode, identify
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import check_range, check_whole
from nstk.storage.files import digest_file

_MAX_NAMES = 9


@dataclass(frozen=True)
class LabeledFolder:
    """Labeled images: paths and labels, no pixels.

    Attributes:
        root: The folder that contains the images.
        classes: Class names in natural order (1, 2, 10).
        images: The usable images, by split, labels and natural order of their paths.
        skipped: Files that were left out, and why.
        notices: Warnings about the data, one sentence each.
        validation_source: Whether the validation images come from a ``"folder"`` (or are named by
            the manifest) or are a ``"split"`` of the training images.
        multi_label: Whether an image may have several labels, or none.
        unpacked: Temporary folder of images from a zip or from memory.
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
        """Path of an image as the user knows it: inside the zip, if it is from one."""
        return self.unpacked.display_path(path) if self.unpacked else path

    def digests(self) -> dict[Path, str]:
        """Compute the SHA-256 of the content of every usable image.

        Raises:
            FolderError: If a file has disappeared since the scan.
        """
        try:
            return {image.path: digest_file(image.path) for image in self.images}
        except OSError as error:
            raise FolderError(
                f"{error.filename} can no longer be read ({error.strerror}); "
                "do not change the folder while it is in use, and start again."
            ) from error


def scan_folder(
    root: Data,
    *,
    class_names: Sequence[str] | None = None,
    value_range: ValueRange = VALUE_RANGE,
    validation_share: float = 0.2,
    seed: int = 0,
    whole: bool = True,
    on_progress: Reporter = no_progress,
) -> LabeledFolder:
    """Find labeled images, and decode every one to check that it is usable.

    A folder has one subfolder per class, or ``train/`` together with ``val/`` (``valid/``,
    ``validation/``), ``test/`` or both, each with one subfolder per class. Class folders are
    searched recursively, without hidden files. A manifest is a CSV or JSONL file with ``path``,
    ``label`` and optionally ``split``. A zip holds either. Without validation images, a share of
    the training images of every class (of several: the rarest one) is held out.

    Args:
        root: The folder, manifest or zip; or images from memory, as for `nstk.finetune`.
        class_names: Names of the classes of images from memory, in the order of their labels.
        value_range: Values of black and white in arrays of floats, as in Keras.
        validation_share: Share of each class to hold out; at least one image on each side.
        seed: Seed for choosing the images that are held out.
        whole: False reads only headers, for callers that decode every image anyway.
        on_progress: Called after each file, stages ``"unpack"``, ``"store"`` and ``"scan"``.

    Raises:
        FolderError: If the data cannot be used.
        SettingsError: If a number is out of its range.
    """
    check_range("validation_share", validation_share, 0, 1)
    check_whole("seed", seed, 0, 2**31 - 1)
    catalog = open_catalog(root, class_names, value_range=value_range, on_progress=on_progress)
    damaged, several = _probe([each.path for each in catalog.images], whole, on_progress)
    usable = [image for image in catalog.images if image.path not in damaged]
    notices = _check(catalog, usable)
    source: Literal["folder", "split"] = "folder" if "validation" in catalog.splits else "split"
    if source == "split":
        usable = split_validation(catalog, usable, validation_share, seed)
    return LabeledFolder(
        root=catalog.root,
        classes=catalog.classes,
        images=tuple(usable),
        skipped=(
            *catalog.skipped,
            *(
                SkippedFile(catalog.display_path(file.path), file.reason)
                for file in damaged.values()
            ),
        ),
        notices=(
            *catalog.notices,
            *notices,
            *warn_multi_image_files(map(catalog.display_path, several)),
        ),
        validation_source=source,
        multi_label=catalog.multi_label,
        unpacked=catalog.unpacked,
    )


def find_images(
    paths: Iterable[str | Path],
) -> tuple[tuple[Path, ...], tuple[SkippedFile, ...]]:
    """Find files that may be images: the given files, and all files in the given folders.

    Args:
        paths: Files and folders; duplicates are listed once.

    Returns:
        The files in the given order (those of folders in natural order), not yet opened, and the
        folders that could not be searched.

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
    """Warn about files that hold several images, of which only the first is used."""
    files = list(paths)
    if not files:
        return []
    which = "1 file holds" if len(files) == 1 else f"{len(files)} files hold"
    return [
        f"{which} several images (slices or frames), for example {files[0]}; only the first one "
        "is used: save the others as separate files."
    ]


def _probe(
    paths: Sequence[Path], whole: bool, on_progress: Reporter
) -> tuple[dict[Path, SkippedFile], list[Path]]:
    """Decode every file, or its header; return the unusable files and the multi-image files."""
    damaged: dict[Path, SkippedFile] = {}
    several: list[Path] = []
    on_progress(Progress(stage="scan", step=0, total=len(paths)))
    executor = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8))
    try:
        for step, (path, header) in enumerate(
            zip(paths, executor.map(partial(_check_file, whole), paths), strict=True)
        ):
            if isinstance(header, SkippedFile):
                damaged[path] = header
            elif header.several:
                several.append(path)
            on_progress(Progress(stage="scan", step=step + 1, total=len(paths)))
    finally:
        executor.shutdown(cancel_futures=True)
    return damaged, several


def _check_file(whole: bool, path: Path) -> Header | SkippedFile:
    try:
        header = identify(path)
        if whole:
            decode(path)
    except ImageError as error:
        return SkippedFile(path, error.message_for(path))
    return header


def _check(catalog: Catalog, usable: Sequence[LabeledImage]) -> list[str]:
    """Refuse classes with too few images; return warnings about untested classes."""
    for name in catalog.classes:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise FolderError(
                f"{catalog.source}: the class name {name} cannot be encoded in UTF-8; rename it."
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
            f"{catalog.source}: {_format_counts(small)} for training; every class needs one "
            "for training and one for validation: add images or remove the class."
        )
    notices = []
    for split in SPLIT_ORDER[1:]:
        if split not in catalog.splits:
            continue
        if not any(image.split == split for image in usable):
            raise FolderError(
                f"{catalog.source}: the {split} split has no usable image; add images or remove it."
            )
        missing = [
            name for name, count in zip(catalog.classes, counts[split], strict=True) if not count
        ]
        if missing:
            notices.append(
                f"{catalog.source}: the {split} split has no image of {', '.join(missing)}."
            )
    return notices


def _format_counts(counts: Mapping[str, int]) -> str:
    [(name, count), *others] = counts.items()
    first = f"class {name} has {count} usable {'image' if count == 1 else 'images'}"
    named = [f"{other} {number}" for other, number in others[:_MAX_NAMES]]
    more = [f"and {len(others) - _MAX_NAMES} more too few"] if len(others) > _MAX_NAMES else []
    return ", ".join([first, *named, *more])
