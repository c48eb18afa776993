"""The audit: everything that is read is read once, then every list is made from it."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.auditing.copies import differ, group_exact, group_near, members
from nstk.auditing.findings import Audit, ClassBalance, Flaw, Groups, LabelSuspect, WrongExtension
from nstk.auditing.flaws import find_flaws
from nstk.auditing.reading import Vectors, read_images
from nstk.auditing.suspects import (
    find_doubts,
    find_outliers,
    find_suspects,
    judge_labels,
    outlier_scores,
)
from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.datasets.catalogs import SPLIT_ORDER, Catalog, LabeledImage
from nstk.datasets.folders import warn_multi_image_files
from nstk.datasets.sources import Data, open_catalog
from nstk.errors import FolderError
from nstk.features.cache import FeatureCache
from nstk.features.extractor import FeatureExtractor
from nstk.features.sizes import choose_size
from nstk.heads.links import SIGMOID, Targets
from nstk.progress import Reporter, no_progress
from nstk.settings import AuditSettings

UNEVEN = 3.0

_EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
}


def audit(
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    backbone: Backbone | str | Path = "compact",
    weights: str | Path | None = None,
    settings: AuditSettings | None = None,
    cache: str | Path | None = None,
    on_progress: Reporter = no_progress,
) -> Audit:
    """Look for what is wrong with labeled images; nothing is changed.

    Every file is read once, and decoded unless the cache knows its content. Copies are found by
    their bytes and by a hash of what is seen; likely wrong labels by heads, solved on the features
    of a frozen network, that have not seen the image; outliers by the distance to their
    neighbors in the same features.

    Args:
        data: A folder, a manifest or a zip, or images from memory, as `nstk.finetune` takes
            them. Classes may be smaller than there, for this is where one learns about it.
        class_names: Of images from memory, in the order of their labels.
        backbone: A `Backbone`, or what `nstk.load_backbone` takes.
        weights: A local weights file for a backbone given by name.
        settings: What to do otherwise than by default.
        cache: A folder in which features are kept for the next time, the one of `nstk.finetune`;
            None keeps none.
        on_progress: Told about the stages ``"unpack"`` (of a zip), ``"images"`` and ``"head"``.

    Raises:
        BackboneError: If no network goes by that name.
        FolderError: If the data cannot be used, or changed while it was read.
        WeightsError: If the weights do not belong to the network, or are no numbers.
    """
    settings = settings or AuditSettings()
    began = time.perf_counter()
    catalog = open_catalog(data, class_names, on_progress=on_progress)
    if not isinstance(backbone, Backbone):
        backbone = load_backbone(backbone, weights=weights, on_progress=on_progress)
    ready = time.perf_counter()
    paths = [image.path for image in catalog.images]
    store = FeatureCache(cache)
    try:
        observer = FeatureExtractor(backbone, choose_size(backbone, paths))
        sights, vectors, unreadable = read_images(paths, observer, store, on_progress=on_progress)
    except FolderError as error:
        raise FolderError(catalog.rename(str(error))) from error
    if not sights:
        raise FolderError(f"{catalog.source} has no image that can be read; give others.")
    read = time.perf_counter()
    by_path = {image.path: image for image in catalog.images}
    images = [by_path[sight.path] for sight in sights]
    exact, near = group_exact(sights), group_near(sights, settings.near_distance)
    copies = list(members(near))
    suspects, notices = _suspect(catalog, images, vectors, near, settings.seed, on_progress)
    ood_score = outlier_scores(vectors, near)
    flaws, kinds = find_flaws(sights)

    def grouped(groups: Sequence[Sequence[int]]) -> Groups:
        return tuple(tuple(sights[place].path for place in group) for group in groups)

    judged = time.perf_counter()
    return Audit(
        catalog=catalog,
        classes=_count(catalog, images),
        unreadable=tuple(unreadable),
        skipped=catalog.skipped,
        wrong_extension=tuple(
            WrongExtension(sight.path, sight.format)
            for sight in sights
            if sight.path.suffix.casefold() not in _EXTENSIONS[sight.format]
        ),
        exact_duplicates=grouped(list(members(exact))),
        near_duplicates=grouped([each for each in copies if differ(each, lambda i: exact[i])]),
        cross_class_duplicates=grouped(
            [each for each in copies if differ(each, lambda i: images[i].labels)]
        ),
        cross_split_duplicates=grouped(
            [each for each in copies if differ(each, lambda i: images[i].split)]
        ),
        label_suspects=suspects,
        outliers=tuple(
            Flaw(sights[place].path, float(ood_score[place])) for place in find_outliers(ood_score)
        ),
        **flaws,
        qualities={sight.path: sight.quality for sight in sights},
        notices=(
            *catalog.notices,
            *_compare_classes(catalog, images),
            *warn_multi_image_files(catalog.name(sight.path) for sight in sights if sight.several),
            *kinds,
            *notices,
            *store.notices,
        ),
        backbone=backbone.name,
        seconds={
            "images": read - ready,
            "judging": judged - read,
            "total": judged - began,
        },
    )


def _suspect(
    catalog: Catalog,
    images: Sequence[LabeledImage],
    vectors: Vectors,
    groups: Sequence[int],
    seed: int,
    on_progress: Reporter,
) -> tuple[tuple[LabelSuspect, ...], list[str]]:
    """The suspects, or why there cannot be any."""
    targets = np.zeros((len(images), len(catalog.classes)), bool)
    for row, image in zip(targets, images, strict=True):
        row[list(image.labels)] = True
    if catalog.multi_label:
        return _doubt(catalog, images, vectors, targets, groups, seed, on_progress)
    if sum(_differ(groups, column) for column in targets.T) < 2:
        return (), ["Wrong labels are looked for only where two classes have two images each."]
    # A head has an output for every class, and every output needs an image.
    present = np.flatnonzero(targets.any(axis=0))
    positions = targets[:, present].argmax(axis=1)
    probabilities = judge_labels(
        vectors, targets[:, present], groups, seed, on_progress=on_progress
    )
    names = [catalog.classes[label] for label in present]
    return tuple(
        LabelSuspect(
            path=images[place].path,
            label=names[positions[place]],
            suggestion=names[likely],
            label_probability=float(probabilities[place, positions[place]]),
            probability=float(probabilities[place, likely]),
        )
        for place, likely in find_suspects(probabilities, positions)
    ), []


def _doubt(
    catalog: Catalog,
    images: Sequence[LabeledImage],
    vectors: Vectors,
    targets: Targets,
    groups: Sequence[int],
    seed: int,
    on_progress: Reporter,
) -> tuple[tuple[LabelSuspect, ...], list[str]]:
    """The same where images may have several labels, each of which is judged on its own."""
    judged = [
        label
        for label, column in enumerate(targets.T)
        if _differ(groups, column) and _differ(groups, ~column)
    ]
    if not judged:
        return (), ["Wrong labels are looked for only where two images have one and two lack it."]
    probabilities = judge_labels(
        vectors, targets[:, judged], groups, seed, link=SIGMOID, on_progress=on_progress
    )

    def format_value(labels: Iterable[int]) -> str:
        return "|".join(catalog.classes[label] for label in sorted(labels))

    suspects = []
    for place, column in find_doubts(probabilities, targets[:, judged]):
        labels, share = set(images[place].labels), float(probabilities[place, column])
        given = share if judged[column] in labels else 1 - share
        other = labels ^ {judged[column]}
        suspects.append(
            LabelSuspect(
                images[place].path, format_value(labels), format_value(other), given, 1 - given
            )
        )
    return tuple(suspects), []


def _differ(groups: Sequence[int], which: npt.NDArray[np.bool_]) -> bool:
    """Whether at least two of these images are no copies of each other."""
    return len(set(np.array(groups)[which].tolist())) > 1


def _count(catalog: Catalog, images: Sequence[LabeledImage]) -> tuple[ClassBalance, ...]:
    counts = {name: dict.fromkeys(SPLIT_ORDER, 0) for name in catalog.classes}
    for image in images:
        for label in image.labels:
            counts[catalog.classes[label]][image.split] += 1
    return tuple(
        ClassBalance(name, {split: each[split] for split in SPLIT_ORDER if split in catalog.splits})
        for name, each in counts.items()
    )


def _compare_classes(catalog: Catalog, images: Sequence[LabeledImage]) -> list[str]:
    """What is odd about the numbers of images in each class."""
    balances = _count(catalog, images)
    notices = []
    for split in SPLIT_ORDER:
        missing = [each.name for each in balances if each.counts.get(split, 1) == 0]
        if missing:
            where = f"The {split} part has" if len(catalog.splits) > 1 else "There is"
            notices.append(f"{where} no readable image of {', '.join(missing)}.")
    filled = [each for each in balances if each.images]
    most = max(filled, key=lambda each: each.images, default=balances[0])
    least = min(filled, key=lambda each: each.images, default=balances[0])
    if most.images > UNEVEN * least.images:
        notices.append(
            f"{most.name} has {most.images / least.images:.1f} times as many images as "
            f"{least.name}."
        )
    return notices
