"""Explaining: what a classifier says about images, and which places of them made it say so."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.explanation.class_activation import Method, build_look, choose_method
from nstk.classifiers.explanation.overlays import paint_overlay
from nstk.classifiers.prediction.reading import InputRow, Source, list_input_rows
from nstk.datasets.listing import SkippedFile
from nstk.errors import ImageError, SettingsError
from nstk.images.image import Image
from nstk.progress import Progress, Reporter, no_progress


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a classifier says about one image, and why.

    Attributes:
        path: The file; for bytes and arrays their place in what was given, as in ``image 3``.
        label: The class that is explained.
        probability: Its probability.
        evidence: float32 ``(h, w)`` over the largest centered square, row by row: positive where
            the image speaks for the class, negative where it speaks against it.
        method: ``"class activation map"`` where the head is linear in the mean of the last
            feature map, and the mean of ``evidence`` is exactly the class's logit without its
            bias, against the mean of all classes where an image has one; ``"Grad-CAM"``
            elsewhere.
        overlay: The image with the evidence painted over it.
    """

    path: Path
    label: str
    probability: float
    evidence: npt.NDArray[np.float32]
    method: Method
    overlay: Image


def explain(
    classifier: Classifier,
    paths: Source | Iterable[Source],
    *,
    label: str | None = None,
    on_progress: Reporter = no_progress,
) -> Iterator[Explanation | SkippedFile]:
    """Explain one image after the other; no more than one is held in memory.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        paths: Files and folders, which are searched to the bottom; the bytes of files; and arrays,
            as `nstk.predict` takes them.
        label: The class to explain; None for the likeliest of each image.
        on_progress: Told how many files are done, stage ``"explain"``.

    Returns:
        For every file its explanation, or why it was left out.

    Raises:
        ImageError: If a path does not exist.
        SettingsError: If there is no such class.
    """
    if label is not None and label not in classifier.classes:
        raise SettingsError(
            f"The classifier knows no class '{label}'; "
            f"choose one of {', '.join(classifier.classes)}."
        )
    entries, skipped = list_input_rows(paths)
    return _explain(classifier, entries, skipped, label, on_progress)


def _explain(
    classifier: Classifier,
    entries: tuple[InputRow, ...],
    skipped: tuple[SkippedFile, ...],
    label: str | None,
    on_progress: Reporter,
) -> Iterator[Explanation | SkippedFile]:
    method = choose_method(classifier.model)
    look = build_look(classifier.model, method, classifier.decision.link)
    prepare = classifier.passage.prepare
    on_progress(Progress(stage="explain", step=0, total=len(entries)))
    for step, entry in enumerate(entries, start=1):
        path = entry.path
        try:
            image = entry.open()
        except ImageError as error:
            yield SkippedFile(path, error.message_for(path))
        else:
            probabilities, explain = look(prepare(np.rint(image * 255)))
            chosen = (
                int(probabilities.argmax()) if label is None else classifier.classes.index(label)
            )
            evidence = explain(chosen)
            yield Explanation(
                path=path,
                label=classifier.classes[chosen],
                probability=float(probabilities[chosen]),
                evidence=evidence,
                method=method,
                overlay=paint_overlay(image, evidence),
            )
        on_progress(Progress(stage="explain", step=step, total=len(entries)))
    yield from skipped
