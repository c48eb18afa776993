"""Scanning labeled images: which files are usable, and which split each belongs to."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from nstk.datasets.catalogs import SPLIT_ORDER, Catalog, DataSettings, LabeledImage, Split
from nstk.datasets.listing import (
    SkippedFile,
    shorten,
)
from nstk.datasets.sources import Data, open_catalog
from nstk.errors import FolderError, ImageError
from nstk.images.decoding import Header, decode, identify
from nstk.images.loading import warn_unused_bits
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import check_range, check_whole, resolve_settings
from nstk.storage.files import digest_file
from nstk.types import SettingValue


@dataclass(frozen=True)
class LabeledFolder(Catalog):
    """Labeled images: paths and labels, no pixels. All of its images are usable."""

    @property
    def validation_source(self) -> Literal["folder", "split"]:
        """Whether the data have validation images, or they are split from the training images."""
        return "folder" if "validation" in self.splits else "split"

    def split(self, name: Split) -> tuple[LabeledImage, ...]:
        """The images of one split: ``"train"``, ``"validation"`` or ``"test"``."""
        return tuple(image for image in self.images if image.split == name)

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
    validation_share: float = 0.2,
    seed: int = 0,
    min_images: int = 0,
    whole: bool = True,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> LabeledFolder:
    """Find labeled images, and decode every one to check that it is usable.

    A folder has one subfolder per class, or ``train/`` together with ``val/``, ``test/`` or both,
    each with one subfolder per class. Class folders are searched recursively, without hidden
    files. A manifest is a table of images and their labels. A zip holds either. Without validation
    images, a share of the training images of every class (of several: the rarest one) is held out.

    Args:
        root: The folder, manifest or zip; or images from memory, as for `nstk.finetune`.
        validation_share: Share of each class to hold out; at least one image on each side.
        seed: Seed for choosing the images that are held out.
        min_images: Leave out classes with fewer images for training and validation, with a
            notice; 0 refuses classes with fewer than two.
        whole: False reads only headers, for callers that decode every image anyway.
        on_progress: Called after each file, stages ``"unpack"``, ``"store"`` and ``"scan"``.
        **options: ``class_names`` and ``value_range`` of images from memory, as for
            `nstk.finetune`; ``label_pattern``, a regular expression that finds the label in the
            name of a file.

    Raises:
        FolderError: If the data cannot be used.
        SettingsError: If a number is out of its range.
    """
    check_range("validation_share", validation_share, 0, 1)
    check_whole("seed", seed, 0, 2**31 - 1)
    check_whole("min_images", min_images, 0)
    settings = resolve_settings(DataSettings, None, options)
    catalog = open_catalog(root, settings, on_progress=on_progress)
    damaged, several = _probe([each.path for each in catalog.images], whole, on_progress)
    catalog = replace(
        catalog,
        images=tuple(image for image in catalog.images if image.path not in damaged),
        skipped=(
            *catalog.skipped,
            *(SkippedFile(catalog.display_path(e.path), e.reason) for e in damaged.values()),
        ),
    )
    if min_images:
        catalog = _leave_out_small(catalog, min_images)
    notices = (
        *catalog.notices,
        *_check(catalog),
        *warn_multi_image_files(map(catalog.display_path, several)),
        *warn_unused_bits([image.path for image in catalog.images]),
    )
    if "validation" not in catalog.splits:
        catalog = split_validation(catalog, validation_share, seed)
    return LabeledFolder(**{**vars(catalog), "notices": notices})


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
        headers = executor.map(partial(_check_file, whole), paths)
        for step, (path, header) in enumerate(zip(paths, headers, strict=True), 1):
            if isinstance(header, SkippedFile):
                damaged[path] = header
            elif header.several:
                several.append(path)
            on_progress(Progress(stage="scan", step=step, total=len(paths)))
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


def _leave_out_small(catalog: Catalog, least: int) -> Catalog:
    """Leave out classes with fewer images for training and validation, or none for training."""
    small = [
        label
        for label, (learned, checked, _) in enumerate(_count(catalog))
        if not learned or learned + checked < least
    ]
    if not small:
        return catalog
    kept = [label for label in range(len(catalog.classes)) if label not in set(small)]
    if len(kept) < 2:
        raise FolderError(
            f"{catalog.source}: {len(kept)} of {len(catalog.classes)} classes have {least} usable "
            "images; add images, or lower `min_images`."
        )
    places = {label: place for place, label in enumerate(kept)}
    images, skipped = [], []
    for image in catalog.images:
        labels = tuple(places[label] for label in image.labels if label in places)
        if labels or not image.labels:
            images.append(replace(image, labels=labels))
        else:
            path = catalog.display_path(image.path)
            skipped.append(SkippedFile(path, f"its class has fewer than {least} images"))
    names = shorten(catalog.classes[label] for label in small)
    notice = f"{catalog.source}: classes with fewer than {least} images are left out: {names}."
    return replace(
        catalog,
        classes=tuple(catalog.classes[label] for label in kept),
        images=tuple(images),
        skipped=(*catalog.skipped, *skipped),
        notices=(*catalog.notices, notice),
    )


def _count(catalog: Catalog) -> list[list[int]]:
    """Number of images of each class for training, validation and test."""
    counts = [[0] * len(SPLIT_ORDER) for _ in catalog.classes]
    for image in catalog.images:
        for label in image.labels:
            counts[label][SPLIT_ORDER.index(image.split)] += 1
    return counts


def _check(catalog: Catalog) -> list[str]:
    """Refuse classes with too few images; return warnings about untested classes."""
    counts = dict(zip(catalog.classes, _count(catalog), strict=True))
    for name in counts:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise FolderError(
                f"{catalog.source}: the class name {name} cannot be encoded in UTF-8; rename it."
            ) from error
    small = [
        f"class {name} has {learned} usable image{'' if learned == 1 else 's'}"
        for name, (learned, checked, _) in counts.items()
        if not learned or learned + checked < 2
    ]
    if small:
        raise FolderError(
            f"{catalog.source}: {shorten(small)} for training; every class needs one for training "
            "and one for validation: add images, remove the class, or leave it out by "
            "`min_images=2`."
        )
    notices = []
    for index, split in enumerate(SPLIT_ORDER):
        if split == "train" or split not in catalog.splits:
            continue
        if not any(image.split == split for image in catalog.images):
            raise FolderError(
                f"{catalog.source}: the {split} split has no usable image; add images or remove it."
            )
        missing = [name for name, numbers in counts.items() if not numbers[index]]
        if missing:
            notices.append(
                f"{catalog.source}: the {split} split has no image of {', '.join(missing)}."
            )
    return notices


def hold_out(names: Sequence[Path], share: float, seed: int) -> frozenset[Path]:
    """Choose a share of at least two images of one class, at least one on each side.

    Images are ordered by a hash of seed and name, and the first ones are held out: the choice does
    not depend on their order or the machine, and a new image displaces at most one other.
    """
    count = min(max(round(share * len(names)), 1), len(names) - 1)

    def draw(name: Path) -> bytes:
        return hashlib.sha256(f"{seed}/{name.as_posix()}".encode(errors="surrogateescape")).digest()

    return frozenset(sorted(names, key=draw)[:count])


def rarest_labels(labels: Sequence[Sequence[int]]) -> list[int]:
    """The stratum of each multi-label image: its rarest label, −1 without labels.

    A share of every stratum has rare labels, too (Sechidis et al. 2011, in one step).
    """
    counts = Counter(label for each in labels for label in each)
    return [min(each, key=lambda label: (counts[label], label), default=-1) for each in labels]


def split_validation(catalog: Catalog, share: float, seed: int) -> Catalog:
    """Move a share of the training images of each stratum to the validation split."""
    train = [image for image in catalog.images if image.split == "train"]
    members: dict[int, list[Path]] = {}
    for image, stratum in zip(train, rarest_labels([each.labels for each in train]), strict=True):
        members.setdefault(stratum, []).append(image.path.relative_to(catalog.root))
    names = set().union(
        *(hold_out(each, share, seed) for each in members.values() if len(each) > 1)
    )
    drawn = {image for image in train if image.path.relative_to(catalog.root) in names}
    left = {label for image in train if image not in drawn for label in image.labels}
    # All images of a common label may have been drawn for the rarer labels they also have.
    images = [
        replace(image, split="validation")
        if image in drawn and left.issuperset(image.labels)
        else image
        for image in catalog.images
    ]
    images.sort(key=lambda each: SPLIT_ORDER.index(each.split))
    return replace(catalog, images=tuple(images))
