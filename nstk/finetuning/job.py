"""Transfer learning: features of a frozen network, a solved head, an honest number."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.errors import FolderError, WeightsError
from nstk.finetuning.classifier import Classifier
from nstk.finetuning.evaluation import Evaluation, Interval, evaluate
from nstk.finetuning.features import Features, extract_features
from nstk.finetuning.head import Head, fit_head
from nstk.finetuning.networks import attach_head, build_extractor
from nstk.media.folders import LabelledFolder, scan_folder
from nstk.media.listing import SkippedFile
from nstk.progress import Reporter, ignore
from nstk.settings import FinetuneSettings


@dataclass(frozen=True, eq=False)
class Finetuning:
    """A classifier and how it came about.

    Attributes:
        classifier: The result; its head is fitted on the training pictures alone, so that the
            accuracy is that of this very classifier.
        evaluations: How it fares on each part that it was not fitted on: ``"validation"`` and,
            where the folder has one, ``"test"``.
        train_images: How many pictures the head is fitted on.
        validation_images: How many pictures the validation part has.
        test_images: How many pictures the test part has.
        skipped: The files that were left out, and why.
        notices: What the reader of the folder should know, one sentence each.
        forward_passes: How many pictures went through the network; one pass for each.
        seconds: Wall time of the stages ``scan``, ``features`` and ``head``, and in ``total``.
    """

    classifier: Classifier
    evaluations: Mapping[str, Evaluation]
    train_images: int
    validation_images: int
    test_images: int
    skipped: tuple[SkippedFile, ...]
    notices: tuple[str, ...]
    forward_passes: int
    seconds: Mapping[str, float]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the outputs."""
        return self.classifier.classes

    @property
    def measured_on(self) -> str:
        """The part that `evaluation` is about: ``"test"`` where there is one."""
        return "test" if "test" in self.evaluations else "validation"

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation to report."""
        return self.evaluations[self.measured_on]

    @property
    def accuracy(self) -> float:
        """Share of the pictures of that part that were recognised."""
        return self.evaluation.accuracy

    @property
    def accuracy_interval(self) -> Interval:
        """Wilson interval of the accuracy, 95 %."""
        return self.evaluation.accuracy_interval


def finetune(
    data: str | Path,
    *,
    backbone: Backbone | str | Path = "compact",
    weights: str | Path | None = None,
    settings: FinetuneSettings | None = None,
    on_progress: Reporter = ignore,
) -> Finetuning:
    """Make a classifier from a folder of labelled pictures, on a frozen pretrained network.

    Every picture passes through the network once; on these features a linear head is solved,
    its strength chosen by the training pictures alone. The same input gives the same bytes.

    Args:
        data: A folder as `nstk.scan_folder` reads it.
        backbone: A `Backbone`, or what `nstk.load_backbone` takes.
        weights: A local weights file for a backbone given by name.
        settings: What to do otherwise than by default.
        on_progress: Told about the stages ``"scan"``, ``"features"`` and ``"head"``, and about
            fetching weights where that is needed.

    Raises:
        BackboneError: If no network goes by that name.
        FolderError: If the folder cannot be used, or changed while it was read.
        SettingsError: If the size is too small for the network.
        WeightsError: If the weights do not belong to the network, or are no numbers.
    """
    settings = settings or FinetuneSettings()
    began = time.perf_counter()
    if not isinstance(backbone, Backbone):
        backbone = load_backbone(backbone, weights=weights, on_progress=on_progress)
    size = backbone.input_size if settings.size == "auto" else settings.size
    extractor = build_extractor(backbone, size)
    ready = time.perf_counter()
    folder = scan_folder(
        data,
        validation_share=settings.validation_share,
        seed=settings.seed,
        on_progress=on_progress,
    )
    scanned = time.perf_counter()
    paths = [picture.path for picture in folder.pictures]
    features = extract_features(extractor, paths, on_progress=on_progress)
    samples = _sort_by_part(folder, features, backbone)
    seen = time.perf_counter()
    labels, vectors = samples["train"]
    head = fit_head(vectors, labels, len(folder.classes), settings.seed, on_progress=on_progress)
    evaluations = {
        part: evaluate(labels, _predict(head, vectors), folder.classes)
        for part, (labels, vectors) in samples.items()
        if part != "train" and len(labels)
    }
    classifier = Classifier(
        model=attach_head(extractor, head),
        classes=folder.classes,
        size=size,
        backbone={
            "name": backbone.name,
            "digest": backbone.digest,
            "input_size": backbone.input_size,
            "source": backbone.source,
        },
        settings=asdict(settings),
        results={
            "strength": head.strength,
            "images": {part: len(labels) for part, (labels, _) in samples.items()},
            "accuracy": {part: each.accuracy for part, each in evaluations.items()},
            "accuracy_interval": {
                part: list(each.accuracy_interval) for part, each in evaluations.items()
            },
        },
    )
    ended = time.perf_counter()
    return Finetuning(
        classifier=classifier,
        evaluations=evaluations,
        train_images=len(samples["train"][0]),
        validation_images=len(samples["validation"][0]),
        test_images=len(samples["test"][0]),
        skipped=(*folder.skipped, *features.skipped),
        notices=folder.notices,
        forward_passes=features.forward_passes,
        seconds={
            "scan": scanned - ready,
            "features": seen - scanned,
            "head": ended - seen,
            "total": ended - began,
        },
    )


_Samples = dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]
"""Labels ``(n,)`` and vectors ``(n, D)`` of each part."""


def _sort_by_part(folder: LabelledFolder, features: Features, backbone: Backbone) -> _Samples:
    """Sort the features by part; refuse what no head can be fitted on."""
    if not np.isfinite(features.vectors).all():
        raise WeightsError(
            f"'{backbone.name}' answers with infinite or undefined numbers; "
            f"its weights ({backbone.source}) are damaged, use others."
        )
    labels = np.array([picture.label for picture in folder.pictures])[features.indices]
    parts = np.array([picture.part for picture in folder.pictures])[features.indices]
    samples = {
        part: (labels[parts == part], features.vectors[parts == part])
        for part in ("train", "validation", "test")
    }
    learned = set(samples["train"][0].tolist())
    lost = [name for label, name in enumerate(folder.classes) if label not in learned]
    if lost or not len(samples["validation"][0]) + len(samples["test"][0]):
        raise FolderError(
            f"{folder.root} changed while it was read: "
            f"{', '.join(lost) or 'the part to check with'} has no picture left; "
            "leave the folder alone while it is used, and start again."
        )
    return samples


def _predict(head: Head, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The likeliest class of each vector."""
    likeliest: npt.NDArray[np.int64] = np.argmax(vectors @ head.kernel + head.bias, axis=1)
    return likeliest
