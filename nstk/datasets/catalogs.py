"""Catalogs: labeled images as their source lists them, before any file is read."""

import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from nstk.datasets.layout import Split, find_layout
from nstk.datasets.listing import SkippedFile, list_files, warn_similar_names
from nstk.errors import FolderError


@dataclass(frozen=True, eq=False)
class TemporaryFolder:
    """A folder for images from a zip or from memory, deleted together with this object.

    Only its owner can read it.

    Attributes:
        source: What messages call the origin of its files: the path of a zip, or words.
        path: The folder.
    """

    source: Path
    path: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nstk-")))

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def display_path(self, path: Path) -> Path:
        """Path of a file inside the source, for messages."""
        return self.source / path.relative_to(self.path)

    def display_message(self, message: str) -> str:
        """A message whose paths are inside the source."""
        return message.replace(str(self.path), str(self.source))


def private_opener(path: str, flags: int) -> int:
    """Create a file that only its owner can read, as ``opener`` of ``open``."""
    return os.open(path, flags, 0o600)


SPLIT_ORDER: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class LabeledImage:
    """One labeled image.

    Attributes:
        path: The file. In a `LabeledFolder` it is known to decode completely (or, with
            ``whole=False``, to have a valid header).
        labels: Ascending class indices: exactly one, or any number for multi-label data.
        split: The split it belongs to.
    """

    path: Path
    labels: tuple[int, ...]
    split: Split

    @property
    def label(self) -> int:
        """Its class.

        Raises:
            FolderError: If it has several classes or none.
        """
        if len(self.labels) != 1:
            raise FolderError(
                f"{self.path} has {len(self.labels)} labels; exactly one is needed here: give data "
                "with one label per image."
            )
        return self.labels[0]


@dataclass(frozen=True)
class Catalog:
    """The images of a source with their labels; the files are not checked yet.

    Attributes:
        source: The folder, manifest or zip; words for images from memory.
        root: The folder that contains the images.
        classes: Class names in natural order (1, 2, 10).
        images: The images, in natural order within each split and class.
        splits: The splits that the source defines; other images are ``"train"``.
        multi_label: Whether an image may have several labels, or none.
        skipped: Files that were left out, and why.
        notices: Warnings about the data, one sentence each.
        unpacked: Temporary folder of images from a zip or from memory.
    """

    source: Path
    root: Path
    classes: tuple[str, ...]
    images: tuple[LabeledImage, ...]
    splits: frozenset[Split]
    multi_label: bool = False
    skipped: tuple[SkippedFile, ...] = ()
    notices: tuple[str, ...] = ()
    unpacked: TemporaryFolder | None = field(default=None, compare=False, repr=False)

    def display_path(self, path: Path) -> Path:
        """Path of an image as the user knows it: inside the zip, if it is from one."""
        return self.unpacked.display_path(path) if self.unpacked else path

    def display_message(self, message: str) -> str:
        """A message whose paths are those the user knows."""
        return self.unpacked.display_message(message) if self.unpacked else message


def catalog_folder(root: Path, *, to_learn: bool = True) -> Catalog:
    """List the images of a folder with class folders, or with split folders of such.

    Args:
        root: The folder.
        to_learn: See `find_layout`.

    Raises:
        FolderError: If the folder has no such layout.
    """
    layout = find_layout(root, to_learn=to_learn)
    classes = layout.classes
    images: list[LabeledImage] = []
    skipped = [*layout.skipped]
    for split in SPLIT_ORDER:
        for label, name in enumerate(classes):
            for folder in layout.splits.get(split, {}).get(name, ()):
                files, unsearched = list_files(folder)
                images += [LabeledImage(file, (label,), split) for file in files]
                skipped += unsearched
    return Catalog(
        source=root,
        root=root,
        classes=classes,
        images=tuple(images),
        splits=frozenset(layout.splits),
        skipped=tuple(skipped),
        notices=(*layout.notices, *warn_similar_names(classes)),
    )
