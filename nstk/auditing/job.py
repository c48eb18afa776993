"""The audit: every image is read once, then all findings follow."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.auditing.findings import (
    Audit,
    ClassBalance,
    Groups,
    ImageIssue,
    LabelSuspect,
    WrongExtension,
)
from nstk.auditing.issues import (
    differ,
    find_outliers,
    find_quality_issues,
    group_identical,
    group_similar,
    list_groups,
    outlier_scores,
)
from nstk.auditing.reading import AuditedImage, read_images
from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.datasets.catalogs import SPLIT_ORDER, Catalog, DataSettings
from nstk.datasets.folders import warn_multi_image_files
from nstk.datasets.sources import Data, open_catalog
from nstk.errors import FolderError
from nstk.features.cache import FeatureCache
from nstk.features.crops import choose_size
from nstk.features.extractor import FeatureExtractor
from nstk.heads.head import predict_out_of_fold
from nstk.heads.links import SIGMOID, SOFTMAX, Link
from nstk.heads.suspects import find_label_errors, find_suspects
from nstk.images.formats import EXTENSIONS
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.images.loading import ImageReader
from nstk.progress import Reporter, Stopwatch, no_progress
from nstk.settings import AuditSettings, resolve_settings
from nstk.types import FeatureVectors, Matrix, SettingValue, Targets

UNEVEN = 3.0


def audit(
    data: Data,
    *,
    class_names: Sequence[str] | None = None,
    value_range: ValueRange = VALUE_RANGE,
    backbone: Backbone | str | Path = "efficientnet-lite0",
    settings: AuditSettings | None = None,
    cache: str | Path | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> Audit:
    """Find problems in labeled images; nothing is changed.

    Every file is read once, and decoded unless the cache knows its content. Duplicates are found
    by their bytes and by an image hash; label errors by out-of-fold predictions on the features
    of a frozen network; outliers by the distance to their neighbors in the same features.

    Args:
        data: A folder, a manifest or a zip, or images in memory, as `nstk.finetune` takes them.
            Classes may be smaller than there.
        class_names: For images in memory: the classes, in the order of their labels.
        value_range: Values of black and white in arrays of floats, as in Keras.
        backbone: A `Backbone`, or what `nstk.load_backbone` takes.
        settings: All settings as one object; or give them as keyword arguments.
        cache: A folder in which features are kept for later runs, the same as for
            `nstk.finetune`; None keeps none.
        on_progress: Called for the stages ``"unpack"`` (of a zip), ``"images"`` and ``"head"``.
        **options: Fields of `AuditSettings`, instead of ``settings``.

    Raises:
        BackboneError: If there is no network of that name.
        FolderError: If the data cannot be used, or change during the run.
        WeightsError: If the weights do not fit the network, or are not finite.
    """
    chosen = resolve_settings(AuditSettings, settings, options)
    watch = Stopwatch()
    reading = DataSettings(
        class_names=class_names, value_range=value_range, label_pattern=chosen.label_pattern
    )
    catalog = open_catalog(data, reading, on_progress=on_progress)
    backbone = load_backbone(backbone, on_progress=on_progress)
    watch.lap()
    store = FeatureCache(cache)
    try:
        extractor = _make_extractor(catalog, backbone, chosen)
        paths = [image.path for image in catalog.images]
        read, vectors, unreadable = read_images(paths, extractor, store, on_progress=on_progress)
    except FolderError as error:
        raise FolderError(catalog.display_message(str(error))) from error
    if not read:
        raise FolderError(f"{catalog.source} has no readable image; give other data.")
    watch.lap("images")
    found = _Images(catalog, read, vectors, chosen, on_progress).audit(watch)
    return replace(
        found,
        unreadable=tuple(unreadable),
        notices=(*found.notices, *store.notices),
        backbone=backbone.name,
        executor=extractor.chosen_executor,
    )


def _make_extractor(
    catalog: Catalog, backbone: Backbone, settings: AuditSettings
) -> FeatureExtractor:
    paths = [image.path for image in catalog.images]
    return FeatureExtractor(
        backbone,
        choose_size(backbone, paths),
        executor=settings.executor,
        images=len(paths),
        reader=ImageReader.from_settings(vars(settings)),
    )


class _Images:
    """The readable images of a catalog, with everything that was measured."""

    def __init__(
        self,
        catalog: Catalog,
        read: Sequence[AuditedImage],
        vectors: FeatureVectors,
        settings: AuditSettings,
        on_progress: Reporter,
    ) -> None:
        self._catalog, self._read, self._vectors = catalog, read, vectors
        self._seed, self._on_progress = settings.seed, on_progress
        by_path = {image.path: image for image in catalog.images}
        self._images = [by_path[image.path] for image in read]
        self._similar = group_similar(read, settings.near_distance)

    def audit(self, watch: Stopwatch) -> Audit:
        """All findings about these images."""
        catalog, read = self._catalog, self._read
        suspects, suspect_notices = self._find_suspects()
        issues, issue_notices = find_quality_issues(read)
        classes = self._count_classes()
        scores = outlier_scores(self._vectors, self._similar)
        outliers = [ImageIssue(read[i].path, float(scores[i])) for i in find_outliers(scores)]
        several = [catalog.display_path(image.path) for image in read if image.several]
        exact, near, cross_class, cross_split = self._find_duplicates()
        watch.lap("analysis")
        return Audit(
            catalog=catalog,
            classes=classes,
            unreadable=(),
            skipped=catalog.skipped,
            wrong_extension=tuple(
                WrongExtension(image.path, image.format)
                for image in read
                if image.path.suffix.casefold() not in EXTENSIONS[image.format]
            ),
            exact_duplicates=exact,
            near_duplicates=near,
            cross_class_duplicates=cross_class,
            cross_split_duplicates=cross_split,
            label_suspects=tuple(suspects),
            outliers=tuple(outliers),
            tiny=issues["tiny"],
            blurred=issues["blurred"],
            dark=issues["dark"],
            low_contrast=issues["low_contrast"],
            qualities={image.path: image.quality for image in read},
            notices=(
                *catalog.notices,
                *_compare_classes(catalog, classes),
                *warn_multi_image_files(several),
                *issue_notices,
                *suspect_notices,
            ),
            backbone="",
            executor="",
            seconds={**watch.seconds, "total": watch.total},
        )

    def _count_classes(self) -> tuple[ClassBalance, ...]:
        catalog = self._catalog
        splits = [split for split in SPLIT_ORDER if split in catalog.splits]
        counts = [dict.fromkeys(splits, 0) for _ in catalog.classes]
        for image in self._images:
            for label in image.labels:
                counts[label][image.split] += 1
        return tuple(map(ClassBalance, catalog.classes, counts))

    def _find_duplicates(self) -> tuple[Groups, Groups, Groups, Groups]:
        """Exact and near-duplicates, and those across classes and across splits."""
        identical, images = group_identical(self._read), self._images
        similar = list(list_groups(self._similar))

        def paths(groups: Iterable[Sequence[int]]) -> Groups:
            return tuple(tuple(images[index].path for index in group) for group in groups)

        return (
            paths(list_groups(identical)),
            paths(g for g in similar if differ(g, lambda i: identical[i])),
            paths(g for g in similar if differ(g, lambda i: images[i].labels)),
            paths(g for g in similar if differ(g, lambda i: images[i].split)),
        )

    def _find_suspects(self) -> tuple[list[LabelSuspect], list[str]]:
        """Likely label errors, or a notice why they cannot be found."""
        targets = np.zeros((len(self._images), len(self._catalog.classes)), bool)
        for row, image in zip(targets, self._images, strict=True):
            row[list(image.labels)] = True
        if self._catalog.multi_label:
            return self._find_label_errors(targets)
        if sum(self._has_two(column) for column in targets.T) < 2:
            return [], ["Label errors are searched only if two classes have two images each."]
        # A head has an output for every class, and every output needs an image.
        present = np.flatnonzero(targets.any(axis=0))
        positions = targets[:, present].argmax(axis=1)
        probabilities = self._predict(targets[:, present], SOFTMAX)
        names = [self._catalog.classes[label] for label in present]
        return [
            LabelSuspect(
                path=self._images[index].path,
                label=names[positions[index]],
                suggestion=names[likely],
                label_probability=float(probabilities[index, positions[index]]),
                probability=float(probabilities[index, likely]),
            )
            for index, likely in find_suspects(probabilities, positions)
        ], []

    def _find_label_errors(self, targets: Targets) -> tuple[list[LabelSuspect], list[str]]:
        """The same where images may have several labels; each label is tested on its own."""
        tested = [
            label
            for label, column in enumerate(targets.T)
            if self._has_two(column) and self._has_two(~column)
        ]
        if not tested:
            needed = "two images have a label and two do not"
            return [], [f"Label errors are searched only if {needed}."]
        probabilities = self._predict(targets[:, tested], SIGMOID)
        suspects = []
        for index, column in find_label_errors(probabilities, targets[:, tested]):
            image, label = self._images[index], tested[column]
            labels, share = set(image.labels), float(probabilities[index, column])
            own = share if label in labels else 1 - share
            given, other = (self._join(each) for each in (labels, labels ^ {label}))
            suspects.append(LabelSuspect(image.path, given, other, own, 1 - own))
        return suspects, []

    def _predict(self, targets: Targets, link: Link) -> Matrix:
        return predict_out_of_fold(
            self._vectors,
            targets,
            self._seed,
            link=link,
            groups=np.array(self._similar),
            on_progress=self._on_progress,
        )

    def _join(self, labels: set[int]) -> str:
        return "|".join(self._catalog.classes[label] for label in sorted(labels))

    def _has_two(self, which: npt.NDArray[np.bool_]) -> bool:
        """Whether at least two of these images are not duplicates of each other."""
        return len(set(np.array(self._similar)[which].tolist())) > 1


def _compare_classes(catalog: Catalog, classes: Sequence[ClassBalance]) -> list[str]:
    """Warnings about missing and uneven classes."""
    notices = []
    for split in SPLIT_ORDER:
        missing = [each.name for each in classes if each.counts.get(split, 1) == 0]
        if missing:
            where = f"The {split} split has" if len(catalog.splits) > 1 else "There is"
            notices.append(f"{where} no readable image of {', '.join(missing)}.")
    filled = [each for each in classes if each.images]
    most = max(filled, key=lambda each: each.images, default=classes[0])
    least = min(filled, key=lambda each: each.images, default=classes[0])
    if most.images > UNEVEN * least.images:
        notices.append(
            f"{most.name} has {most.images / least.images:.1f} times as many images as "
            f"{least.name}."
        )
    return notices
