"""The classifier: a plain Keras model with its class names, in memory and on disk."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.archives import check_name, read_archive, write_archive
from nstk.backbones.keras_config import pinned_keras_config
from nstk.backbones.weights import digest_weights
from nstk.classifiers.inference import InferencePipeline
from nstk.errors import ModelError
from nstk.features.networks import FEATURES
from nstk.heads.decisions import ARGMAX, Decision, decision_from_thresholds
from nstk.heads.out_of_distribution import OODDetector
from nstk.images.loading import ImageReader
from nstk.settings import DecodeMode
from nstk.storage.files import check_writable
from nstk.types import Images, Json, KerasModel, Probabilities

if TYPE_CHECKING:
    from nstk.classifiers.evaluation.report import EvaluationReport
    from nstk.classifiers.explanation import Explanation, ExplanationNetwork
    from nstk.classifiers.prediction.prediction import Predictions
    from nstk.datasets.listing import SkippedFile
    from nstk.datasets.sources import Data
    from nstk.exporting.job import Export

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Classifier:
    """An image classifier made by `nstk.finetune`: a plain Keras model and what its outputs mean.

    The saved file works without nstk. The model then comes from Keras, and the class names, in the
    order of the outputs, from the archive:

        model = keras.models.load_model("insects.keras")
        classes = json.loads(zipfile.ZipFile("insects.keras").read("nstk.json"))["classes"]
        classes[model(images)[0].numpy().argmax()]

    Attributes:
        model: A ``keras.Model`` from uint8 or float arrays ``(N, H, W, 3)`` of any height and
            width, sRGB, values 0 to 255, to probabilities, float32 ``(N, C)``. It resizes, crops
            and scales by itself.
        classes: Class names, in the order of the outputs.
        size: Side in pixels of the crops that its backbone takes.
        backbone: ``name``, ``digest``, ``input_size`` and ``source`` of its backbone.
        settings: The `FinetuneSettings` it was made with, by name.
        results: The results measured when it was made.
        decision: How probabilities become labels: the most likely class or, for multi-label
            classifiers, every label whose probability reaches its threshold.
        temperature: Temperature that divides the logits so that probabilities are calibrated on
            out-of-fold predictions; the model includes it.
        ood_detector: Detector of images unlike the training images; None if there is none.
    """

    model: KerasModel
    classes: tuple[str, ...]
    size: int
    backbone: Mapping[str, Json] = field(default_factory=dict)
    settings: Mapping[str, Json] = field(default_factory=dict)
    results: Mapping[str, Json] = field(default_factory=dict)
    decision: Decision = ARGMAX
    temperature: float = 1.0
    ood_detector: OODDetector | None = None

    def __repr__(self) -> str:
        name = self.backbone.get("name", "unknown")
        return f"Classifier({len(self.classes)} classes, backbone {name!r}, size {self.size})"

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """Class names as an array, as scikit-learn's classifiers have them."""
        return np.array(self.classes)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.decision.thresholds is not None

    # The functions below take a classifier, so their modules are imported when they are called.

    def predict(self, images: Images, **options: Any) -> "Predictions":
        """Classify images; see `nstk.predict` for the images and the options."""
        from nstk.classifiers.prediction.job import predict

        return predict(self, images, **options)

    def predict_proba(self, images: Images, **options: Any) -> Probabilities:
        """Compute the probabilities of all classes, ``(N, C)``; see `nstk.predict` for options.

        Raises:
            ImageError: If an image cannot be read: every image needs a row.
        """
        from nstk.classifiers.prediction.job import predict_proba

        return predict_proba(self, images, **options)

    def evaluate(self, data: "Data", **options: Any) -> "EvaluationReport":
        """Measure the classifier on labeled images; see `nstk.evaluate`."""
        from nstk.classifiers.evaluation.job import evaluate

        return evaluate(self, data, **options)

    def explain(self, images: Images, **options: Any) -> Iterator["Explanation | SkippedFile"]:
        """Explain predictions one after the other; see `nstk.explain`."""
        from nstk.classifiers.explanation import explain

        return explain(self, images, **options)

    def export(self, format: str, path: str | Path, **options: Any) -> "Export":
        """Write the classifier in another format; see `nstk.export`."""
        # The only import of a package above this one.
        from nstk.exporting.job import export

        return export(self, format, path, **options)

    def reader_for(self, decode: DecodeMode | None = None) -> ImageReader:
        """How image files are read: as the training images were, unless ``decode`` is given.

        Raises:
            ModelError: If the file of the classifier was changed.
        """
        try:
            reader = ImageReader.from_settings(self.settings)
        except ValueError as error:
            raise ModelError(f"`background` in the classifier's settings: {error}") from error
        return reader if decode is None else replace(reader, decode=decode)

    @cached_property
    def pipeline(self) -> InferencePipeline:
        """The model in two stages, compiled once for all predictions."""
        return InferencePipeline(self.model)

    @cached_property
    def explanation_network(self) -> "ExplanationNetwork":
        """The network that explains predictions, compiled once for all of them."""
        from nstk.classifiers.explanation import ExplanationNetwork, choose_method

        return ExplanationNetwork(self.model, self.decision.link, choose_method(self.model))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that predictions depend on."""
        facts = [self.classes, self.size, self.decision.thresholds, self.reader_for().recipe()]
        detector = self.ood_detector and self.ood_detector.to_config()
        text = json.dumps([digest_weights(self.model), *facts, detector])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    @pinned_keras_config()
    def inference_model(self) -> InferencePipeline:
        """The pipeline with outputs ``(N, C + D)``: probabilities, and features for `ood_detector`.

        Without a detector it is `pipeline`.
        """
        if self.ood_detector is None:
            return self.pipeline
        features = self.model.get_layer(FEATURES).output
        both = keras.layers.Concatenate()([self.model.outputs[0], features])
        return InferencePipeline(keras.Model(self.model.inputs[0], both))

    def split_outputs(
        self, outputs: npt.NDArray[np.float32]
    ) -> tuple[Probabilities, tuple[float | None, ...]]:
        """Split the outputs of `inference_model`.

        Returns:
            Probabilities ``(N, C)``, and the OOD score of each image, above 1 where it is out of
            distribution; None without a detector.
        """
        if self.ood_detector is None or not len(outputs):
            return outputs, (None,) * len(outputs)
        probabilities, features = np.split(outputs, [len(self.classes)], axis=1)
        ood_scores = self.ood_detector.ood_scores(features)
        # The shortest decimals of float32, as for probabilities.
        return probabilities, tuple(float(str(each)) for each in ood_scores)

    @staticmethod
    def check_output(path: str | Path) -> None:
        """Check, before any long work, that `save` can write to a path.

        Raises:
            OutputError: If the name does not end in ``.keras`` or no file can be written there.
        """
        check_name(Path(path))
        check_writable(path)

    def save(self, path: str | Path) -> Path:
        """Write the classifier atomically; equal classifiers give equal bytes.

        Args:
            path: File to write, ending in ``.keras``.

        Raises:
            OutputError: If it cannot be written.
        """
        card = {
            "format": _FORMAT,
            "classes": list(self.classes),
            "size": self.size,
            "thresholds": self.decision.thresholds,
            "backbone": dict(self.backbone),
            "settings": dict(self.settings),
            "results": dict(self.results),
            "temperature": self.temperature,
            "ood_detector": self.ood_detector and self.ood_detector.to_config(),
        }
        return write_archive(Path(path), self.model, card)

    @staticmethod
    def load(path: str | Path) -> "Classifier":
        """Load a classifier that `save` wrote; no code in the file is executed.

        Args:
            path: A ``.keras`` file.

        Raises:
            ModelError: If the file is missing or damaged, was not written by nstk, contains
                anything but Keras's own layers, or does not have one class name for every output.
        """
        path = Path(path)
        model, card = read_archive(path)
        if card.get("format") != _FORMAT:
            raise ModelError(
                f"{path}: its nstk.json has format {card.get('format')!r}, this nstk reads "
                f"{_FORMAT}; use the nstk that made it, or make it again."
            )
        classes, size = card.get("classes"), card.get("size")
        if not isinstance(classes, list) or not isinstance(size, int) or size < 1:
            raise ModelError(f"{path}: its nstk.json lacks classes or size; make it again.")
        if len(model.inputs) != 1 or len(model.outputs) != 1 or model.inputs[0].shape[-1] != 3:
            raise ModelError(
                f"{path}: its network does not map images to probabilities; make it again."
            )
        outputs = model.output_shape[-1]
        if outputs != len(classes):
            reason = f"there are {len(classes)} class names for {outputs} outputs"
            raise _changed_error(path, reason)
        return Classifier(
            model=model,
            classes=tuple(map(str, classes)),
            size=size,
            **{name: _read_facts(path, card, name) for name in ("backbone", "settings", "results")},
            decision=_read_decision(path, card.get("thresholds"), outputs),
            temperature=_read_temperature(path, card.get("temperature", 1.0)),
            ood_detector=_read_ood_detector(path, model, card.get("ood_detector")),
        )


def _changed_error(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path}: in its nstk.json, {reason}; it was changed after it was made: make it again."
    )


def _read_facts(path: Path, card: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    facts = card.get(name, {})
    if not isinstance(facts, dict):
        raise _changed_error(path, f"{name} is not an object")
    return facts


def _read_temperature(path: Path, temperature: Json) -> float:
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise _changed_error(path, f"temperature is {temperature!r}, not a positive number")
    return float(temperature)


def _read_ood_detector(path: Path, model: KerasModel, config: Json) -> OODDetector | None:
    if config is None:
        return None
    try:
        return OODDetector.from_config(config, model.get_layer(FEATURES).output.shape[-1])
    except (ValueError, TypeError) as error:
        raise _changed_error(path, f"ood_detector is invalid ({error})") from error


def _read_decision(path: Path, thresholds: Json, outputs: int) -> Decision:
    try:
        decision = decision_from_thresholds(thresholds)
    except (TypeError, ValueError, OverflowError):
        decision = None
    if decision is None or len(decision.thresholds or [None] * outputs) != outputs:
        reason = f"thresholds are not one number for each of {outputs} outputs"
        raise _changed_error(path, reason)
    return decision
