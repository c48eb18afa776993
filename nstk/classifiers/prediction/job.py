"""Prediction: labels for images, one after the other, in constant memory."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from nstk.backbones.keras_config import check_process
from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.prediction import (
    Prediction,
    Predictions,
    PredictSettings,
    collect_probabilities,
)
from nstk.classifiers.prediction.reading import (
    CroppedImage,
    ImageInput,
    Inputs,
    Reader,
    list_inputs,
)
from nstk.datasets.listing import SkippedFile
from nstk.distribution.shards import Shard
from nstk.errors import ImageError
from nstk.features.executors import LITERT, depends_on_rows
from nstk.features.prefetching import prefetch
from nstk.images.loading import warn_unused_bits
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import resolve_settings
from nstk.storage.remote import is_remote
from nstk.types import Images, Probabilities, SettingValue

UNSURE = "unsure"

_log = logging.getLogger("nstk")


def predict(
    classifier: Classifier,
    images: Images,
    *,
    settings: PredictSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> Predictions:
    """Classify images.

    Args:
        classifier: A classifier from `nstk.finetune` or `nstk.Classifier.load`.
        images: Paths of files and of folders, which are searched recursively; the bytes of files;
            arrays ``(height, width, 3)`` or batches ``(N, height, width, 3)``, sRGB, of uint8 or of
            floats in ``value_range``, tensors and Pillow images; several of these; or a
            ``tf.data.Dataset``. In every form, the same image gets the same probabilities.
        settings: All options as one object; or give them as keyword arguments.
        on_progress: Receives the number of finished images, stage ``"predict"``.
        **options: ``top``, the number of the most likely classes that each prediction lists (5);
            ``batch``, the images that pass through the network together (32);
            ``abstain_below``: the label is ``"unsure"`` if the confidence of the prediction is
            lower, or the image is out of distribution (never); ``value_range``, the values of black
            and white in arrays of floats, as in Keras (0 and 255); ``decode``, how large JPEGs are
            decoded, ``"fast"`` or ``"exact"`` (as the classifier was made); ``executor``, what
            runs the network, ``"tensorflow"``, ``"litert"`` or ``"auto"``, the faster one;
            ``shard``, ``"K/N"`` to classify the K-th of N shares of the images only.

    Returns:
        The predictions, and the unreadable files.

    Raises:
        ImageError: If a path does not exist, or an array is not an image or contradicts
            ``value_range``.
        SettingsError: If an option is unknown or out of range.

    Example:
        >>> nstk.predict(classifier, "photos/")[0].label  # doctest: +SKIP
        'bees'
    """
    settings = resolve_settings(PredictSettings, settings, options)
    predictions: list[Prediction] = []
    skipped: list[SkippedFile] = []
    for each in stream_predictions(classifier, images, settings, on_progress=on_progress):
        if isinstance(each, Prediction):
            predictions.append(each)
        else:
            skipped.append(each)
    return Predictions(tuple(predictions), tuple(skipped), classifier.multi_label)


def predict_proba(
    classifier: Classifier,
    images: Images,
    *,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> Probabilities:
    """Compute the probabilities of all classes, float32 ``(N, C)``, in the order of the classes.

    Takes the images and options of `predict`, except ``top``.

    Raises:
        ImageError: If an image cannot be read: every image needs a row.
    """
    options["top"] = len(classifier.classes)
    settings = resolve_settings(PredictSettings, None, options)
    predictions: list[Prediction] = []
    for each in stream_predictions(classifier, images, settings, on_progress=on_progress):
        if not isinstance(each, Prediction):
            raise ImageError(f"{each.path}: {each.reason}; leave it out.")
        predictions.append(each)
    return collect_probabilities(predictions, classifier.classes).astype(np.float32)


def stream_predictions(
    classifier: Classifier,
    images: Images,
    settings: PredictSettings | None = None,
    *,
    done: Collection[tuple[Path, str]] = (),
    known: Mapping[tuple[Path, str], Prediction] | None = None,
    on_progress: Reporter = no_progress,
) -> Iterator[Prediction | SkippedFile]:
    """Classify images one after the other, in constant memory.

    Threads read ahead while the network works. Batches have the same sizes whether or not some
    images are done or belong to another shard, so that a resumed run and the shards of a run give
    exactly the numbers of one uninterrupted run.

    Args:
        classifier: A classifier from `nstk.finetune` or `nstk.Classifier.load`.
        images: See `predict`.
        settings: The options of `predict`; None for the defaults.
        done: Paths and SHA-256 digests of the images to leave out.
        known: Predictions to repeat, by path and digest, as `SavedPredictions` has them.
        on_progress: Receives the number of finished images, stage ``"predict"``.

    Returns:
        For every image, in the order given, its prediction or why it was skipped; at the end the
        folders that could not be searched.

    Raises:
        ImageError: See `predict`.
    """
    check_process()
    settings = settings or PredictSettings()
    inputs = list_inputs(images, settings.value_range)
    chosen = classifier.inference_model.executors.choose(settings.executor, inputs.total)
    listed = inputs.images if isinstance(inputs.images, tuple) else ()
    local = [each.path for each in listed if each.given is None and not is_remote(each.path)]
    for notice in warn_unused_bits(local):
        _log.warning(notice)
    repeated = {key: each for key, each in (known or {}).items() if key not in done}
    image_reader = classifier.reader_for(settings.decode)
    assert isinstance(settings.shard, Shard)
    reader = Reader(classifier.inference_model, image_reader, {*done, *repeated}, settings.shard)
    decoder = PredictionDecoder(classifier, settings, repeated, chosen)
    return _stream(decoder, reader, inputs, on_progress)


@dataclass(frozen=True, eq=False)
class PredictionDecoder:
    """Decodes probabilities of the network as predictions, or repeats known ones."""

    classifier: Classifier
    settings: PredictSettings
    known: Mapping[tuple[Path, str], Prediction]
    executor: str

    def decode(
        self,
        image: CroppedImage,
        position: int | None,
        probabilities: Probabilities,
        ood_score: float | None,
    ) -> Prediction:
        """Decode the probabilities of one image, ``(C,)``."""
        classes, decision = self.classifier.classes, self.classifier.decision
        order = np.argsort(-probabilities, kind="stable")
        predicted = decision.predict(probabilities)
        # The shortest decimals of float32: 0.1, not 0.10000000149011612.
        top = tuple(
            (classes[index], float(str(probabilities[index])))
            for index in order[: self.settings.top]
        )
        labels = tuple(classes[index] for index in order if predicted[index])
        found = image.source.path, *top[0], labels, top, image.digest, ood_score, position
        prediction = Prediction(*found)
        threshold = self.settings.abstain_below
        if threshold is None or (
            decision.confidence(probabilities) >= threshold and not prediction.is_ood
        ):
            return prediction
        return replace(prediction, label=UNSURE, labels=())


_Read = tuple[int, CroppedImage | SkippedFile | None]
"""The place of an image among all, and what was read; None in another shard."""


def _stream(
    decoder: PredictionDecoder, reader: Reader, inputs: Inputs, on_progress: Reporter
) -> Iterator[Prediction | SkippedFile]:
    _ = reader.pipeline.prepare  # Built here, before threads use it.
    batch = decoder.settings.batch
    if inputs.total or isinstance(inputs.images, tuple):
        batch = min(batch, max(inputs.total, 1))

    def read(numbered: tuple[int, ImageInput]) -> _Read:
        return numbered[0], reader.read(numbered[1])

    def report(groups: Iterator[list[_Read]]) -> Iterator[list[_Read]]:
        step = 0
        on_progress(Progress(stage="predict", step=step, total=inputs.total))
        for group in groups:
            yield group
            step += len(group)
            on_progress(Progress(stage="predict", step=step, total=max(inputs.total, step)))

    with closing(prefetch(enumerate(inputs.images), read, ahead=2 * batch)) as images:
        groups = iter(lambda: list(islice(images, batch)), [])
        keeps_rows = depends_on_rows(decoder.executor)
        for members, size in _regroup(report(groups), batch, keeps_rows=keeps_rows):
            yield from _predict_batch(decoder, reader, members, size)
    yield from inputs.unsearched


def _regroup(
    groups: Iterator[list[_Read]], batch: int, *, keeps_rows: bool
) -> Iterator[tuple[list[_Read], int]]:
    """Fill batches with the images of the shard, unless each has to keep its row in its batch.

    Where the network's numbers depend on the row, every image has the same row as in a whole run.
    """
    pending: list[_Read] = []
    for group in groups:
        if keeps_rows or len(group) < batch:
            if pending:
                yield pending, batch
            pending = []
            yield group, len(group)
            continue
        pending += [each for each in group if each[1] is not None]
        while len(pending) >= batch:
            yield pending[:batch], batch
            pending = pending[batch:]
    if pending:
        yield pending, batch


def _predict_batch(
    decoder: PredictionDecoder, reader: Reader, members: Sequence[_Read], size: int
) -> Iterator[Prediction | SkippedFile]:
    """Predict a batch, unless all predictions are known."""
    classifier, pipeline = decoder.classifier, reader.pipeline
    crops = np.zeros((size, *pipeline.shape), np.float32)
    rows = []
    for row, (_, each) in enumerate(members):
        if isinstance(each, CroppedImage) and each.crop is not None:
            crops[row] = each.crop
            rows.append(row)
    outputs: dict[int, tuple[Probabilities, float | None]] = {}
    if rows:
        if decoder.executor == LITERT:  # each row by itself
            some = pipeline.forward(crops[rows], decoder.executor)
            raw = np.zeros((size, *some.shape[1:]), np.float32)
            raw[rows] = some
        else:
            raw = pipeline.forward(crops, decoder.executor)
        outputs = dict(enumerate(zip(*classifier.split_outputs(raw), strict=True)))
    sharded = not reader.shard.is_whole
    for row, (number, each) in enumerate(members):
        position = number if sharded else None
        if isinstance(each, SkippedFile):
            yield each
        elif each and each.crop is not None:
            yield decoder.decode(each, position, *outputs[row])
        elif each and (key := (each.source.path, each.digest)) in decoder.known:
            yield replace(decoder.known[key], position=position)
