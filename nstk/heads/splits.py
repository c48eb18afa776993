"""Splits into training, validation and test samples, without near-duplicates across splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.datasets.catalogs import LabeledImage
from nstk.datasets.folders import LabeledFolder
from nstk.errors import FolderError
from nstk.features.extractor import Features
from nstk.heads.head import find_strata
from nstk.images.hashes import group_duplicates
from nstk.types import FeatureVectors, Labels, Targets

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class UsedFile:
    """An image that a run used."""

    path: str
    sha256: str
    label: str
    split: str


@dataclass(frozen=True, eq=False)
class Samples:
    """Features and labels of images."""

    vectors: Mapping[str, FeatureVectors]
    targets: Targets
    groups: Labels

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def strata(self) -> Labels:
        """Stratum of each image: its rarest label, −1 without any."""
        return find_strata(self.targets)

    def subset(self, mask: npt.NDArray[np.bool_]) -> "Samples":
        """The images for which ``mask`` ``(n,)`` is true."""
        vectors = {name: rows[mask] for name, rows in self.vectors.items()}
        return Samples(vectors, self.targets[mask], self.groups[mask])


@dataclass(frozen=True, eq=False)
class Splits:
    """The images of each split."""

    samples: Mapping[str, Samples]
    paths: Mapping[str, tuple[Path, ...]]
    files: tuple[UsedFile, ...]
    notices: tuple[str, ...]


def split_samples(
    folder: LabeledFolder, features: Features, choices: Sequence[str], folds: int
) -> Splits:
    """Split features into samples, and check that a head can be fitted and evaluated on them.

    If nstk chose the validation images itself, those that nearly duplicate a training image move
    to the training split, and with folds all of them do. If the folder has its own splits, nothing
    moves, but a notice names the number of near-duplicates.
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
            _move_duplicates(splits, groups, find_strata(targets))
    for split in _SPLITS[1:]:
        known = np.isin(groups[splits == split], groups[splits == "train"]).sum()
        if known:
            notices.append(
                f"{folder.display_path(folder.root)}: {known} of the {split} images "
                "nearly duplicate training images, so the accuracy on them is optimistic; "
                "`nstk audit` lists them."
            )
    _check(folder, targets, splits, features, folds)
    every = Samples({name: features.vectors(name) for name in choices}, targets, groups)
    files = tuple(
        UsedFile(
            _relative_path(folder, image.path), digest, _format_labels(folder, image), str(split)
        )
        for image, digest, split in zip(images, features.digests, splits, strict=True)
    )
    return Splits(
        samples={split: every.subset(splits == split) for split in _SPLITS},
        paths={
            split: tuple(images[index].path for index in np.flatnonzero(splits == split))
            for split in _SPLITS
        },
        files=files,
        notices=tuple(notices),
    )


def _relative_path(folder: LabeledFolder, path: Path) -> str:
    return (path.relative_to(folder.root) if path.is_relative_to(folder.root) else path).as_posix()


def _format_labels(folder: LabeledFolder, image: LabeledImage) -> str:
    """The labels of an image in the format of manifests."""
    return "|".join(folder.classes[label] for label in image.labels)


def _move_duplicates(
    splits: npt.NDArray[np.str_], groups: npt.NDArray[np.int_], strata: Labels
) -> None:
    """Move near-duplicates of training images to train, unless their stratum has no others."""
    duplicates = (splits == "validation") & np.isin(groups, groups[splits == "train"])
    for stratum in np.unique(strata[duplicates]):
        held_out = (splits == "validation") & (strata == stratum)
        if (held_out & ~duplicates).any():
            splits[held_out & duplicates] = "train"


def _check(
    folder: LabeledFolder,
    targets: Targets,
    splits: npt.NDArray[np.str_],
    features: Features,
    folds: int,
) -> None:
    trained = targets[splits == "train"].any(axis=0)
    empty = [name for name, known in zip(folder.classes, trained, strict=True) if not known]
    if empty or not (folds or (splits != "train").any()):
        root = folder.display_path(folder.root)
        if not features.skipped:
            raise FolderError(f"{root}: no image is left for evaluation; add images.")
        first = features.skipped[0]
        raise FolderError(
            f"{root}: {', '.join(empty) or 'the validation split'} has no image left, because "
            f"{len(features.skipped)} files are unreadable, among them "
            f"{folder.display_path(first.path)}: {first.reason}; repair or replace them, and do "
            "not change the folder during a run."
        )
