"""What labeled data says about itself, before any image is looked at."""

import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from nstk.datasets.layout import Split, find_layout
from nstk.datasets.listing import SkippedFile, list_files
from nstk.datasets.names import warn_similar_names
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
    """One image and what is said about it.

    Attributes:
        path: The file. In a `LabeledFolder` it is proved to decode completely (or, by choice,
            to begin like an image).
        labels: Its classes, as ascending positions among the classes: exactly one, but any number
            where images may have several labels.
        split: What it is for.
    """

    path: Path
    labels: tuple[int, ...]
    split: Split

    @property
    def label(self) -> int:
        """Its only class.

        Raises:
            FolderError: If it has several classes or none.
        """
        if len(self.labels) != 1:
            raise FolderError(
                f"{self.path} has {len(self.labels)} labels where exactly one is needed; "
                "give data with one label for every image."
            )
        return self.labels[0]


@dataclass(frozen=True)
class Catalog:
    """Which images there should be, with their labels; nothing is proved about the files.

    Attributes:
        source: What was given: a folder, a manifest or a zip; words for what came from memory.
        root: The folder below which the images stand.
        classes: Class names in natural order (1, 2, 10).
        images: The images, in natural order within every part and class.
        splits: The parts that are told apart; whatever is not, is ``"train"``.
        multi_label: Whether an image may have several labels, or none.
        skipped: What was left out, and why.
        notices: What the reader should know, one sentence each.
        unpacked: Where images from a zip or from memory stand, for as long as this object
            lives.
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
        """The path of an image as its owner knows it: inside the zip, if it is from one."""
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
