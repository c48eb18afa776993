"""Verification: a fresh process opens the export, and its predictions are compared."""

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import tensorflow as tf

from nstk.classifiers.classifier import Classifier
from nstk.errors import ExportError
from nstk.exporting.formats import Format
from nstk.exporting.reload import LENGTH_BYTES
from nstk.heads.decisions import Decision
from nstk.images.image import Levels
from nstk.progress import Progress, Reporter
from nstk.storage.files import find_temporary_folder
from nstk.types import Probabilities

_SCRIPT = Path(__file__).with_name("reload.py")


@dataclass(frozen=True)
class Agreement:
    """How well an exported classifier agrees with the original.

    Attributes:
        images: Number of images.
        agreement: Share of them that get the same labels, in [0, 1].
        max_probability_difference: The largest difference of a probability.
    """

    images: int
    agreement: float
    max_probability_difference: float


def verify(
    format: Format,
    artifact: Path,
    classifier: Classifier,
    images: Iterable[Levels],
    max_images: int,
    on_progress: Reporter,
) -> Agreement:
    """Predict with the original here and with the export in a fresh process, image by image.

    Args:
        format: The format of the export.
        artifact: The exported file or folder.
        classifier: The original.
        images: At most the first ``max_images`` are read.
        max_images: Number of images.
        on_progress: Called after each image, stage ``"verification"``.

    Raises:
        ExportError: If the export cannot be opened, or its class names differ.
    """
    predict = tf.function(
        lambda batch: classifier.model(batch, training=False),
        input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)],
        autograph=False,
    )
    expected: list[Probabilities] = []
    with tempfile.TemporaryDirectory(dir=find_temporary_folder()) as folder:
        outputs, log = Path(folder, "outputs.npz"), Path(folder, "log.txt")
        with log.open("wb") as errors, _start(format, artifact, outputs, errors) as process:
            assert process.stdin is not None
            on_progress(Progress(stage="verification", step=0, total=max_images))
            with suppress(BrokenPipeError):
                for step, pixels in enumerate(islice(images, max_images), 1):
                    process.stdin.write(_pack(pixels))
                    batch = tf.constant(pixels[np.newaxis], tf.float32)
                    expected.append(predict(batch).numpy()[0])
                    on_progress(Progress(stage="verification", step=step, total=max_images))
                process.stdin.close()
        if process.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
            reason = next((line for line in reversed(lines) if line.strip()), "no reason given")
            raise ExportError(
                f"the {format.name} export cannot be used: {reason.strip()}; nothing was written."
            )
        with np.load(outputs, allow_pickle=False) as content:
            names, probabilities = json.loads(str(content["classes"])), content["probabilities"]
    if names != list(classifier.classes):
        raise ExportError(
            f"the {format.name} export names the classes {names} instead of "
            f"{list(classifier.classes)}; nothing was written: remove line breaks from class names."
        )
    return measure_agreement(
        np.array(expected), probabilities, classifier.decision, format.tolerance
    )


def measure_agreement(
    expected: Probabilities, found: Probabilities, decision: Decision, tolerance: float | None
) -> Agreement:
    """Compare probabilities with the original's.

    Args:
        expected: Of the original, ``(n, C)``.
        found: From every signature of the export, ``(n, signatures, C)``; the worst one counts.
        decision: From probabilities to labels.
        tolerance: Probabilities that differ by no more than this from one another, or from a
            threshold, are equal; None is 0.
    """
    same = decision.same_labels(expected, found, tolerance or 0.0)
    differences = np.abs(found - expected[:, np.newaxis])
    return Agreement(
        images=len(expected),
        agreement=float(same.all(axis=-1).mean()),
        max_probability_difference=float(np.nan_to_num(differences, nan=1.0).max()),
    )


def _start(
    format: Format, artifact: Path, outputs: Path, errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    # -P: without it the script's folder, full of modules of this package, is on the path.
    script = [sys.executable, "-P", str(_SCRIPT)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    return subprocess.Popen(
        [*script, format.name, str(artifact.absolute()), str(outputs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={**os.environ, **quiet},
    )


def _pack(pixels: Levels) -> bytes:
    content = io.BytesIO()
    np.save(content, pixels, allow_pickle=False)
    return len(content.getvalue()).to_bytes(LENGTH_BYTES, "little") + content.getvalue()
