"""Evaluation: a classifier on labeled images, with a confidence interval for every metric."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.evaluation.label_matching import LabeledFiles, match_classes
from nstk.classifiers.evaluation.report import (
    EvaluationReport,
    find_confused_pairs,
    measure_coverage,
    rank_losses,
)
from nstk.classifiers.prediction.job import predict
from nstk.classifiers.prediction.prediction import (
    Predictions,
    PredictSettings,
    collect_probabilities,
)
from nstk.classifiers.run_records import find_record
from nstk.datasets.catalogs import DataSettings
from nstk.datasets.listing import SkippedFile
from nstk.datasets.sources import Data
from nstk.distribution.shards import WHOLE
from nstk.errors import FolderError
from nstk.heads.metrics import Evaluation
from nstk.heads.metrics import evaluate as compute_metrics
from nstk.heads.selection import SplitPredictions
from nstk.progress import Reporter, no_progress
from nstk.settings import DecodeMode, ExecutorName, check_whole, resolve_settings
from nstk.types import Matrix, SettingValue


def evaluate(
    classifier: Classifier,
    data: Data,
    *,
    losses: int = 10,
    record: str | Path | None = None,
    decode: DecodeMode | None = None,
    executor: ExecutorName = "auto",
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> EvaluationReport:
    """Evaluate a classifier on labeled images; classes are matched by name.

    Args:
        classifier: A classifier from `nstk.finetune` or `nstk.Classifier.load`.
        data: A folder with one subfolder per class, or with splits of such folders, a manifest or
            a zip, as for `nstk.finetune`. Of splits, ``test`` is used, or ``val`` without it, or
            else ``train``. Or images from memory, as for `nstk.finetune`.
        losses: Number of the worst images to list.
        record: The file that `nstk.save_manifest` wrote for the classifier, which identifies the
            training images by content. None skips this check, as does another classifier's file.
        decode: How large JPEGs are decoded; see `nstk.predict`.
        executor: What runs the network; see `nstk.predict`.
        on_progress: Receives the stages ``"unpack"`` (of a zip), ``"store"`` (from memory) and
            ``"predict"``.
        **options: ``class_names`` of images from memory, in the order of their labels, without
            which they are those of the dataset or the classifier; their ``value_range``; and
            ``label_pattern``, as for `nstk.finetune`. And ``shard``, ``"K/N"`` to measure the K-th
            of N shares of the images only.

    Raises:
        FolderError: If the data are none of these, or have no usable image of the classifier's
            classes.
        SettingsError: If ``losses`` is negative.

    Example:
        >>> nstk.evaluate(classifier, "insects-test/")  # doctest: +SKIP
        EvaluationReport(accuracy 94.1 % (89.2–96.9 %), 153 images)
    """
    check_whole("losses", losses, 0)
    shard = options.pop("shard", WHOLE)
    began = time.perf_counter()
    files = match_classes(
        data,
        classifier.classes,
        resolve_settings(DataSettings, None, options),
        multi_label=classifier.multi_label,
        on_progress=on_progress,
    )
    settings = PredictSettings(
        top=len(classifier.classes), decode=decode, executor=executor, shard=shard
    )
    started = time.perf_counter()
    paths = [path for path, _ in files.files]
    found = predict(classifier, paths, settings=settings, on_progress=on_progress)
    rate = len(found) / (time.perf_counter() - started)
    if not len(found):
        raise FolderError(f"{files.root}: no image can be read; give another folder.")
    trained = None if record is None else _find_trained(record, classifier, found)
    seconds = time.perf_counter() - began
    return _build_report(classifier, files, found, trained, losses, (seconds, rate))


def _build_report(
    classifier: Classifier,
    files: LabeledFiles,
    found: Predictions,
    trained: npt.NDArray[np.bool_] | None,
    losses: int,
    speed: tuple[float, float],
) -> EvaluationReport:
    probabilities = collect_probabilities(found.predictions, classifier.classes)
    predictions = _label(classifier, dict(files.files), found, probabilities)

    def measure(mask: npt.NDArray[np.bool_]) -> Evaluation:
        targets, predicted = predictions.targets[mask], predictions.predicted[mask]
        return compute_metrics(targets, predicted, probabilities[mask], classifier.classes)

    partial = trained is not None and trained.any() and not trained.all()
    every = measure(np.ones(len(found), bool))
    unread = (SkippedFile(files.display_path(each.path), each.reason) for each in found.skipped)
    return EvaluationReport(
        classifier=classifier,
        evaluation=every,
        predictions=predictions,
        coverage=measure_coverage(predictions),
        confused_pairs=find_confused_pairs(every),
        top_losses=rank_losses(predictions, classifier.classes, losses, files.display_path),
        data=files,
        train_overlap=None if trained is None else int(trained.sum()),
        unseen=measure(~trained) if trained is not None and partial else None,
        skipped=(*files.skipped, *unread),
        seconds=speed[0],
        images_per_second=speed[1],
    )


def _label(
    classifier: Classifier,
    labels: Mapping[Path, Sequence[int]],
    found: Predictions,
    probabilities: Matrix,
) -> SplitPredictions:
    """Put the true labels beside the predictions."""
    decision, temperature = classifier.decision, classifier.temperature
    targets = np.zeros(probabilities.shape, bool)
    for target, each in zip(targets, found, strict=True):
        target[list(labels[each.path])] = True
    scores = [each.ood_score for each in found if each.ood_score is not None]
    return SplitPredictions(
        paths=tuple(each.path for each in found),
        targets=targets,
        predicted=decision.predict(probabilities),
        logits=temperature * decision.link.logits(probabilities),
        temperatures=np.full(len(found), temperature),
        decision=decision,
        ood_score=np.array(scores, np.float32) if len(scores) == len(found) else None,
        balance=bool(classifier.settings.get("balance")),
    )


def _find_trained(
    record: str | Path, classifier: Classifier, found: Predictions
) -> npt.NDArray[np.bool_] | None:
    """Which images the classifier was trained on, ``(n,)``; None without its record."""
    card = find_record(record, classifier)
    if card is None:
        return None
    trained = {file["sha256"] for file in card["files"] if file["split"] == "train"}
    return np.array([each.digest in trained for each in found], bool)
