"""Explanation: predictions for images, and the parts of each image that they are based on."""

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.explanation.class_activation import Method, build_explainer, choose_method
from nstk.classifiers.explanation.overlays import draw_overlay
from nstk.classifiers.prediction.reading import Inputs, Reader, list_inputs
from nstk.datasets.listing import SkippedFile
from nstk.errors import ImageError, SettingsError
from nstk.images.image import VALUE_RANGE, Image, ValueRange
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import DecodeMode, ExecutorName
from nstk.types import Array, Images, Json


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """The explanation of one image; as an array, it is its overlay.

    Attributes:
        path: The file; for bytes and arrays their position, as in ``image 3``.
        label: The explained class.
        probability: Its probability.
        evidence: float32 ``(h, w)`` over the largest centered square: positive where the image
            supports the class, negative where it opposes it.
        method: ``"class activation map"`` if the head is linear in the mean of the last feature
            map. The mean of ``evidence`` is then exactly the class's logit without its bias,
            relative to the mean of all classes unless the classifier is multi-label. Otherwise
            ``"Grad-CAM"``.
        overlay: The image with the evidence drawn over it.
    """

    path: Path
    label: str
    probability: float
    evidence: npt.NDArray[np.float32]
    method: Method
    overlay: Image

    value_range = (0.0, 1.0)

    def __repr__(self) -> str:
        return f"Explanation({str(self.path)!r}, {self.label!r}, {100 * self.probability:.1f} %)"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.overlay, dtype)

    def to_dict(self) -> dict[str, Json]:
        """Convert to JSON values, without the arrays."""
        return {
            "path": str(self.path),
            "label": self.label,
            "probability": self.probability,
            "method": self.method,
        }

    def _repr_html_(self) -> str:
        from PIL import Image as PILImage

        file = io.BytesIO()
        PILImage.fromarray(np.rint(self.overlay * 255).astype(np.uint8)).save(file, "PNG")
        source = base64.b64encode(file.getvalue()).decode("ascii")
        caption = html.escape(f"{self.path}: {self.label} {100 * self.probability:.1f} %")
        return f'<figure><img src="data:image/png;base64,{source}"><p>{caption}</p></figure>'


def explain(
    classifier: Classifier,
    images: Images,
    *,
    label: str | None = None,
    value_range: ValueRange = VALUE_RANGE,
    decode: DecodeMode | None = None,
    executor: ExecutorName = "auto",
    on_progress: Reporter = no_progress,
) -> Iterator[Explanation | SkippedFile]:
    """Explain predictions one after the other; only one image is held in memory.

    Args:
        classifier: A classifier from `nstk.finetune` or `nstk.Classifier.load`.
        images: See `nstk.predict`.
        label: The class to explain; None for the most likely class of each image.
        value_range: See `nstk.predict`.
        decode: See `nstk.predict`.
        executor: See `nstk.predict`; Grad-CAM always takes TensorFlow, for its gradients.
        on_progress: Receives the number of finished images, stage ``"explain"``.

    Returns:
        For every image its explanation, or why it was skipped.

    Raises:
        ImageError: If a path does not exist, or an array is not an image or contradicts
            ``value_range``.
        SettingsError: If the classifier does not have the class.
    """
    if label is not None and label not in classifier.classes:
        raise SettingsError(
            f"`label` is '{label}', which the classifier does not have; "
            f"choose one of {', '.join(classifier.classes)}."
        )
    reader = Reader(classifier.pipeline, classifier.reader_for(decode))
    inputs = list_inputs(images, value_range)
    return _explain(classifier, reader, inputs, label, executor, on_progress)


def _explain(
    classifier: Classifier,
    reader: Reader,
    inputs: Inputs,
    label: str | None,
    executor: ExecutorName,
    on_progress: Reporter,
) -> Iterator[Explanation | SkippedFile]:
    method = choose_method(classifier.model)
    explain_crop = build_explainer(
        classifier.model, method, classifier.decision.link, executor, inputs.total
    )
    on_progress(Progress(stage="explain", step=0, total=inputs.total))
    for step, source in enumerate(inputs.images, start=1):
        try:
            image = source.load(reader.reader)
            read = reader.read(source)
        except ImageError as error:
            if source.is_array:
                raise
            yield SkippedFile(source.path, error.message_for(source.path))
            continue
        if isinstance(read, SkippedFile):
            yield read
        else:
            probabilities, class_map = explain_crop(np.asarray(read.crop))
            index = (
                int(probabilities.argmax()) if label is None else classifier.classes.index(label)
            )
            evidence = class_map(index)
            yield Explanation(
                path=source.path,
                label=classifier.classes[index],
                probability=float(probabilities[index]),
                evidence=evidence,
                method=method,
                overlay=draw_overlay(image, evidence),
            )
        on_progress(Progress(stage="explain", step=step, total=max(inputs.total, step)))
    yield from inputs.unsearched
