"""Prediction on an engine: chunks of images go to its workers, predictions come back in order."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.loading import load_classifier
from nstk.classifiers.prediction.job import stream_predictions
from nstk.classifiers.prediction.prediction import Prediction, PredictSettings
from nstk.classifiers.prediction.reading import list_inputs
from nstk.datasets.listing import SkippedFile
from nstk.errors import SettingsError
from nstk.progress import Progress, Reporter, no_progress
from nstk.types import Engine, Images

BATCHES = 2
"""Batches in a chunk: enough to outweigh the way there and back, few enough to lose one."""


@dataclass(frozen=True)
class _Chunk:
    """Whole batches of images, as one run has them; ``start`` is the position of the first."""

    start: int
    paths: tuple[Path, ...]
    done: frozenset[tuple[Path, str]]


def stream_on_engine(
    engine: Engine,
    model: Path,
    classifier: Classifier,
    images: Images,
    settings: PredictSettings,
    *,
    done: Collection[tuple[Path, str]] = (),
    on_progress: Reporter = no_progress,
) -> Iterator[Prediction | SkippedFile]:
    """Classify image files as `nstk.stream_predictions` does, with the same numbers.

    The workers load ``model``, the file of ``classifier``.
    """
    inputs = list_inputs(images, settings.value_range)
    listed = tuple(inputs.images)
    if any(each.given is not None for each in listed):
        raise SettingsError("`dask` needs images in files, which its workers can read.")
    executors = classifier.inference_model.executors
    chosen: Any = executors.choose(settings.executor, inputs.total)
    settings = replace(settings, executor=chosen)
    known: dict[Path, str] = dict(done)
    size = BATCHES * settings.batch

    starts = range(0, len(listed), size)
    chunks = [tuple(each.path for each in listed[start : start + size]) for start in starts]
    tasks = (
        _Chunk(start, chunk, frozenset((path, known[path]) for path in chunk if path in known))
        for start, chunk in zip(starts, chunks, strict=True)
    )
    step = 0
    on_progress(Progress(stage="predict", step=0, total=inputs.total))
    predict = partial(_predict_chunk, os.path.abspath(model), settings)
    for chunk, found in zip(chunks, engine(predict, tasks), strict=True):
        yield from found
        step += len(chunk)
        on_progress(Progress(stage="predict", step=step, total=inputs.total))
    yield from inputs.unsearched


def _predict_chunk(
    model: str, settings: PredictSettings, chunk: _Chunk
) -> list[Prediction | SkippedFile]:
    """Classify one chunk in a worker."""
    stream = stream_predictions(load_classifier(model), chunk.paths, settings, done=chunk.done)
    return [
        replace(each, position=each.position + chunk.start)
        if isinstance(each, Prediction) and each.position is not None
        else each
        for each in stream
    ]
