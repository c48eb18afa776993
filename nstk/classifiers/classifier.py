"""The classifier: a plain Keras model with its class names, on disk and off."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from nstk.backbones.archives import check_name, read_archive, write_archive
from nstk.backbones.conventions import pinned_keras_config
from nstk.backbones.digests import digest_weights
from nstk.errors import ModelError
from nstk.features.networks import FEATURES, InferencePipeline
from nstk.heads.decisions import LIKELIEST, Decision, restore_decision
from nstk.heads.out_of_distribution import OODDetector
from nstk.storage.files import check_writable

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Classifier:
    """What `nstk.finetune` makes: a plain Keras model, and what its outputs mean.

    The saved file needs no nstk. Without it the model comes from Keras and the class names, in
    the order of the outputs, from the archive:

        model = keras.models.load_model("insects.keras")
        classes = json.loads(zipfile.ZipFile("insects.keras").read("nstk.json"))["classes"]
        classes[model(images)[0].numpy().argmax()]

    Attributes:
        model: A ``keras.Model`` that takes uint8 or float arrays ``(N, H, W, 3)`` of any height
            and width, sRGB, values 0 to 255, and gives probabilities, float32 ``(N, C)``. It
            resizes, crops and scales by itself.
        classes: Class names, in the order of the outputs.
        size: Side in pixels of the square that its backbone sees.
        backbone: ``name``, ``digest``, ``input_size`` and ``source`` of the backbone that
            it was made from.
        settings: The `FinetuneSettings` it was made with, by name.
        results: What was measured when it was made.
        decision: How labels are given for probabilities: the likeliest one, or, where an image
            may have several, every label whose probability reaches its threshold.
        temperature: What the logits were divided by, so that probabilities are as sure as
            left-out training images say they may be; the model has it inside.
        familiarity: What its training images look like to it, so that it can say of another
            that it is like none of them; None where that is not known.
    """

    model: Any
    classes: tuple[str, ...]
    size: int
    backbone: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision = LIKELIEST
    temperature: float = 1.0
    ood_detector: OODDetector | None = None

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.decision.thresholds is not None

    @cached_property
    def passage(self) -> InferencePipeline:
        """The model cut at its square, compiled once for all predictions."""
        return InferencePipeline(self.model)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what its answers depend on: weights, names, size, thresholds, familiarity."""
        facts = [self.classes, self.size, self.decision.thresholds]
        familiar = self.ood_detector and self.ood_detector.to_card()
        told = json.dumps([digest_weights(self.model), *facts, familiar])
        return hashlib.sha256(told.encode()).hexdigest()

    @cached_property
    @pinned_keras_config()
    def inference_model(self) -> InferencePipeline:
        """The same with what `read` needs behind the probabilities, ``(N, C + D)``."""
        if self.ood_detector is None:
            return self.passage
        features = self.model.get_layer(FEATURES).output
        both = keras.layers.Concatenate()([self.model.outputs[0], features])
        return InferencePipeline(keras.Model(self.model.inputs[0], both))

    def read(
        self, outputs: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], tuple[float | None, ...]]:
        """Take apart what `inference_model` gives.

        Returns:
            Probabilities ``(N, C)``, and how strange each image is: its distance from the
            training images over what is usual among them, so that it is like none of them
            above 1; None where that is not known.
        """
        if self.ood_detector is None or not len(outputs):
            return outputs, (None,) * len(outputs)
        probabilities, features = np.split(outputs, [len(self.classes)], axis=1)
        ood_score = self.ood_detector.ood_scores(features)
        # As many digits as a single number has, as probabilities are told.
        return probabilities, tuple(float(str(each)) for each in ood_score)

    @staticmethod
    def check_output(path: str | Path) -> None:
        """Refuse, before any long work, a place where `save` could not write.

        Raises:
            OutputError: If the name does not end in ``.keras`` or no file can be written there.
        """
        check_name(Path(path))
        check_writable(path)

    def save(self, path: str | Path) -> Path:
        """Write the classifier, whole or not at all; equal classifiers give equal bytes.

        Args:
            path: Where to, ending in ``.keras``.

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
            "familiarity": self.ood_detector and self.ood_detector.to_card(),
        }
        return write_archive(Path(path), self.model, card)


def load_classifier(path: str | Path) -> Classifier:
    """Load a classifier that `Classifier.save` wrote; nothing in the file is run as code.

    Args:
        path: A ``.keras`` file.

    Raises:
        ModelError: If the file is missing, damaged, not one of ours, made of anything but
            Keras's own layers, or does not have one name for every output.
    """
    path = Path(path)
    model, card = read_archive(path)
    if card.get("format") != _FORMAT:
        raise ModelError(
            f"{path}: its nstk.json has format {card.get('format')!r}, this nstk reads {_FORMAT}; "
            "use the nstk that made it, or make it anew."
        )
    classes, size = card.get("classes"), card.get("size")
    if not isinstance(classes, list) or not isinstance(size, int) or size < 1:
        raise ModelError(f"{path}: its nstk.json names no classes or no size; make it anew.")
    if len(model.inputs) != 1 or len(model.outputs) != 1 or model.inputs[0].shape[-1] != 3:
        raise ModelError(f"{path}: its network does not turn images into answers; make it anew.")
    outputs = model.output_shape[-1]
    if outputs != len(classes):
        raise ModelError(
            f"{path}: has {len(classes)} class names for {outputs} outputs; "
            "it was changed after it was made: make it anew."
        )
    return Classifier(
        model=model,
        classes=tuple(map(str, classes)),
        size=size,
        **{name: _read_facts(path, card, name) for name in ("backbone", "settings", "results")},
        decision=_read_decision(path, card.get("thresholds"), outputs),
        temperature=_read_temperature(path, card.get("temperature", 1.0)),
        ood_detector=_read_familiarity(path, model, card.get("familiarity")),
    )


def _read_facts(path: Path, card: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    facts = card.get(name, {})
    if not isinstance(facts, dict):
        raise ModelError(f"{path}: its nstk.json has no facts under {name}; make it anew.")
    return facts


def _read_temperature(path: Path, temperature: Any) -> float:
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise ModelError(
            f"{path}: its nstk.json has the temperature {temperature!r}, which is no number above "
            "0; it was changed after it was made: make it anew."
        )
    return float(temperature)


def _read_familiarity(path: Path, model: Any, card: Any) -> OODDetector | None:
    if card is None:
        return None
    try:
        return OODDetector.from_card(card, model.get_layer(FEATURES).output.shape[-1])
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{path}: its nstk.json does not say what its training images look like ({error}); "
            "it was changed after it was made: make it anew."
        ) from error


def _read_decision(path: Path, thresholds: Any, outputs: int) -> Decision:
    try:
        decision = restore_decision(thresholds)
    except (TypeError, ValueError, OverflowError):
        decision = None
    if decision is None or len(decision.thresholds or [None] * outputs) != outputs:
        raise ModelError(
            f"{path}: its nstk.json has other thresholds than one number for each of {outputs} "
            "outputs; it was changed after it was made: make it anew."
        )
    return decision
