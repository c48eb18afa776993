"""Opening a folder for labeling, and answering from a table instead of a person."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.datasets.listing import SkippedFile, find_images
from nstk.datasets.sources import open_catalog
from nstk.datasets.tables import EXTENSIONS
from nstk.errors import FolderError, ImageError, WeightsError
from nstk.features.cache import FeatureCache
from nstk.features.crops import choose_size
from nstk.features.extractor import FeatureExtractor, extract_features
from nstk.images.decoding import identify
from nstk.labeling.answers import AnswerFile
from nstk.labeling.loop import LabelingLoop, LabelingStatus
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import LabelSettings


@dataclass(frozen=True, eq=False)
class Labeling:
    """The labeling of one folder: its loop, and the files that are not images."""

    loop: LabelingLoop
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]


def open_labeling(
    folder: str | Path,
    answers: AnswerFile,
    *,
    settings: LabelSettings,
    backbone: Backbone | str | Path = "efficientnet-lite0",
    cache: str | Path | None = None,
    on_progress: Reporter = no_progress,
) -> Labeling:
    """Compute the features of all images in a folder and below, and resume with their answers.

    Args:
        folder: The images.
        answers: Their answers so far.
        settings: The settings.
        backbone: A `Backbone`, or what `load_backbone` takes.
        cache: A folder in which features are kept for later runs; None keeps none.
        on_progress: Called with the stage ``"features"``, and during downloads.

    Raises:
        FolderError: If there are fewer than two images.
        NstkError: If the network cannot be loaded.
    """
    paths, skipped = list_images(Path(folder))
    network = load_backbone(backbone, on_progress=on_progress)
    size = choose_size(network, paths)
    extractor = FeatureExtractor(network, size, executor="auto", images=len(paths))
    store = FeatureCache(cache)
    features = extract_features(extractor, paths, cache=store, on_progress=on_progress)
    vectors = features.vectors("pooled")
    if len(vectors) < 2:
        raise FolderError(f"{folder} has {len(vectors)} readable images; give at least two.")
    if not np.isfinite(vectors).all():
        raise WeightsError(f"the outputs of '{network.name}' are not finite; use other weights.")
    read = [paths[index] for index in features.indices]
    loop = LabelingLoop(read, vectors, answers, settings)
    return Labeling(loop, (*skipped, *features.skipped), store.notices)


def list_images(folder: Path) -> tuple[list[Path], tuple[SkippedFile, ...]]:
    """The files in a folder and below that begin like images, in natural order.

    Raises:
        FolderError: If it is not a folder.
    """
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder; give the folder of the images to label.")
    root = Path(os.path.abspath(folder))
    found, skipped = find_images([root])
    images: list[Path] = []
    refused = list(skipped)
    for path in found:
        if path.suffix.casefold() in EXTENSIONS:
            continue
        try:
            identify(path)
            str(path).encode()
        except ImageError as error:
            refused.append(SkippedFile(path, error.message_for(path)))
        except UnicodeEncodeError:
            refused.append(SkippedFile(path, "its name is not text, which a table cannot hold"))
        else:
            images.append(path)
    return images, tuple(refused)


def read_answers(table: Path) -> dict[Path, frozenset[str]]:
    """The labels of images by their paths, from a manifest or a folder of classes."""
    catalog = open_catalog(table)
    names = catalog.classes
    return {
        image.path.resolve(): frozenset(names[each] for each in image.labels)
        for image in catalog.images
    }


def answer_from(
    loop: LabelingLoop,
    known: Mapping[Path, frozenset[str]],
    limit: int | None = None,
    on_progress: Reporter = no_progress,
) -> Iterator[LabelingStatus]:
    """Answer every question from a table; yields the status after each answer.

    Images that the table does not have are skipped. A second look gets the same answer again.
    """
    given, total = 0, min(limit or len(loop.paths), len(loop.paths))
    while (question := loop.ask()) is not None and (limit is None or given < limit):
        labels = known.get(loop.paths[question.image].resolve())
        if labels is None:
            loop.skip(question.image)
            continue
        loop.answer(question.image, sorted(labels))
        given += 1
        on_progress(Progress(stage="answers", step=min(given, total), total=total))
        yield loop.status()
