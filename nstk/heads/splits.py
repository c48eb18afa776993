"""What is learned from and what is checked with, so that nothing seen twice is on both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.datasets.catalogs import LabeledImage
from nstk.datasets.folders import LabeledFolder
from nstk.errors import FolderError
from nstk.features.extractor import Features
from nstk.heads.folds import Labels, find_strata
from nstk.heads.links import Targets
from nstk.heads.selection import Samples
from nstk.images.hashes import group_duplicates

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class UsedFile:
    """One image that a run used.

    Attributes:
        path: Relative to the folder, with / on every system.
        sha256: Digest of its content.
        label: Its class; several with | between them.
        split: ``"train"``, ``"validation"`` or ``"test"``.
    """

    path: str
    sha256: str
    label: str
    split: str


@dataclass(frozen=True, eq=False)
class Splits:
    """The images of each part.

    Attributes:
        samples: By ``"train"``, ``"validation"`` and ``"test"``.
        paths: Where the images of each part stand, in the same order.
        files: Every image that is in one of them.
        notices: What was moved or could not be, one sentence each.
    """

    samples: Mapping[str, Samples]
    paths: Mapping[str, tuple[Path, ...]]
    files: tuple[UsedFile, ...]
    notices: tuple[str, ...]


def split_samples(
    folder: LabeledFolder, features: Features, choices: Sequence[str], folds: int
) -> Splits:
    """Sort the features by part; refuse what no head can be fitted on.

    A held-out image that is nearly the same as a training image is learned from instead,
    where nstk holds out a share itself; with folds, all of that share is. Where the folder says
    what is to be checked with, nothing is moved, but told.

    Args:
        folder: What `scan_folder` gave.
        features: Of its images.
        choices: The choices of features that are wanted.
        folds: How many folds will be left out in turn; 0 for none.

    Raises:
        FolderError: If a class has nothing left to learn from, or nothing is left to check with.
    """
    images = [folder.images[index] for index in features.indices]
    targets = np.zeros((len(images), len(folder.classes)), bool)
    for row, image in zip(targets, images, strict=True):
        row[list(image.labels)] = True
    splits = np.array([image.split for image in images], "<U10")
    groups = np.array(group_duplicates(features.hashes), int)
    notices = []
    if folder.validation_source == "split":
        if folds:
            splits[splits == "validation"] = "train"
        else:
            _move_relatives(splits, groups, find_strata(targets))
    for split in _SPLITS[1:]:
        known = np.isin(groups[splits == split], groups[splits == "train"]).sum()
        if known:
            notices.append(
                f"{folder.name(folder.root)}: {known} of the {split} images are nearly the same "
                "as training images, so their accuracy says too much; `nstk audit` names them."
            )
    _check(folder, targets, splits, features, folds)
    every = Samples({name: features.vectors(name) for name in choices}, targets, groups)
    files = tuple(
        UsedFile(_name(folder, image.path), digest, _format(folder, image), str(split))
        for image, digest, split in zip(images, features.digests, splits, strict=True)
    )
    return Splits(
        samples={split: every.take(splits == split) for split in _SPLITS},
        paths={
            split: tuple(images[place].path for place in np.flatnonzero(splits == split))
            for split in _SPLITS
        },
        files=files,
        notices=tuple(notices),
    )


def _name(folder: LabeledFolder, path: Path) -> str:
    """How a file is called wherever the folder lies."""
    return (path.relative_to(folder.root) if path.is_relative_to(folder.root) else path).as_posix()


def _format(folder: LabeledFolder, image: LabeledImage) -> str:
    """The labels of an image, as a manifest writes them."""
    return "|".join(folder.classes[label] for label in image.labels)


def _move_relatives(
    splits: npt.NDArray[np.str_], groups: npt.NDArray[np.int_], kinds: Labels
) -> None:
    """Learn from what resembles a training image, unless its kind had nothing else to check."""
    relatives = (splits == "validation") & np.isin(groups, groups[splits == "train"])
    for kind in np.unique(kinds[relatives]):
        checked = (splits == "validation") & (kinds == kind)
        if (checked & ~relatives).any():
            splits[checked & relatives] = "train"


def _check(
    folder: LabeledFolder,
    targets: Targets,
    splits: npt.NDArray[np.str_],
    features: Features,
    folds: int,
) -> None:
    learned = targets[splits == "train"].any(axis=0)
    lost = [name for name, known in zip(folder.classes, learned, strict=True) if not known]
    if lost or not (folds or (splits != "train").any()):
        place = folder.name(folder.root)
        if not features.skipped:
            raise FolderError(f"{place} has nothing to check with; add images.")
        first = features.skipped[0]
        raise FolderError(
            f"{place}: {', '.join(lost) or 'the split to check with'} has no image left; "
            f"{len(features.skipped)} files turned out to be unreadable, as in "
            f"{folder.name(first.path)}: {first.reason}. Mend or replace them, and leave the "
            "folder alone while it is used."
        )
