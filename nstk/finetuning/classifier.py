"""The classifier: a plain Keras model with its class names, on disk and off."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nstk.backbones.archives import check_name, read_archive, write_archive
from nstk.backbones.digests import digest_weights
from nstk.errors import ModelError
from nstk.finetuning.decisions import LIKELIEST, Decision, restore_decision
from nstk.finetuning.networks import Passage
from nstk.media.files import check_writable

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Classifier:
    """What `nstk.finetune` makes: a plain Keras model, and what its outputs mean.

    The saved file needs no nstk. Without it the model comes from Keras and the class names, in
    the order of the outputs, from the archive:

        model = keras.models.load_model("insects.keras")
        classes = json.loads(zipfile.ZipFile("insects.keras").read("nstk.json"))["classes"]
        classes[model(pictures)[0].numpy().argmax()]

    Attributes:
        model: A ``keras.Model`` that takes uint8 or float arrays ``(N, H, W, 3)`` of any height
            and width, sRGB, values 0 to 255, and gives probabilities, float32 ``(N, C)``. It
            resizes, crops and scales by itself.
        classes: Class names, in the order of the outputs.
        size: Side in pixels of the square that its backbone sees.
        backbone: ``name``, ``digest``, ``input_size`` and ``source`` of its backbone.
        settings: The `FinetuneSettings` it was made with, by name.
        results: What was measured when it was made.
        decision: How labels are given for probabilities: the likeliest one, or, where a picture
            may have several, every label whose probability reaches its threshold.
    """

    model: Any
    classes: tuple[str, ...]
    size: int
    backbone: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision = LIKELIEST

    @property
    def multi_label(self) -> bool:
        """Whether a picture may have several labels, or none."""
        return self.decision.thresholds is not None

    @cached_property
    def passage(self) -> Passage:
        """The model cut at its square, compiled once for all predictions."""
        return Passage(self.model)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what its answers depend on: weights, class names, size and thresholds."""
        facts = [self.classes, self.size, self.decision.thresholds]
        told = json.dumps([digest_weights(self.model), *facts])
        return hashlib.sha256(told.encode()).hexdigest()

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
    if not isinstance(classes, list) or not isinstance(size, int):
        raise ModelError(f"{path}: its nstk.json names no classes or no size; make it anew.")
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
        backbone=card.get("backbone", {}),
        settings=card.get("settings", {}),
        results=card.get("results", {}),
        decision=_read_decision(path, card.get("thresholds"), outputs),
    )


def _read_decision(path: Path, thresholds: Any, outputs: int) -> Decision:
    try:
        decision = restore_decision(thresholds)
    except (TypeError, ValueError):
        decision = None
    if decision is None or len(decision.thresholds or [None] * outputs) != outputs:
        raise ModelError(
            f"{path}: its nstk.json has other thresholds than one number for each of {outputs} "
            "outputs; it was changed after it was made: make it anew."
        )
    return decision
