"""The proof: what was written is opened in a fresh process and asked the same as the original."""

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nstk.errors import ExportError
from nstk.exporting.formats import Format
from nstk.exporting.reload import LENGTH_BYTES
from nstk.heads.decisions import Decision
from nstk.images.image import Levels
from nstk.progress import Progress, Reporter

_SCRIPT = Path(__file__).with_name("reload.py")

Answers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """How much an exported classifier agrees with its original.

    Attributes:
        images: How many images both were asked about.
        agreement: Share of them that get the same labels, in [0, 1].
        max_probability_difference: The largest difference of one probability.
    """

    images: int
    agreement: float
    max_probability_difference: float


def compare(
    format: Format,
    artifact: Path,
    model: Any,
    classes: Sequence[str],
    decision: Decision,
    images: Iterable[Levels],
    max_images: int,
    on_progress: Reporter,
) -> Agreement:
    """Ask the original here and what was written in a fresh process, image by image.

    Args:
        format: The format of what was written.
        artifact: The file or folder.
        model: The original, a ``keras.Model`` of a classifier.
        classes: Its class names.
        decision: How labels are given for its probabilities.
        images: What to ask about; at most the first ``max_images`` are read.
        max_images: How many images to ask about.
        on_progress: Told after each image, stage ``"proof"``.

    Raises:
        ExportError: If what was written cannot be opened, or its class names are others.
    """
    ask = tf.function(
        lambda batch: model(batch, training=False),
        input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)],
        autograph=False,
    )
    originals: list[Answers] = []
    with tempfile.TemporaryDirectory() as folder:
        told, log = Path(folder, "answers.npz"), Path(folder, "log.txt")
        with log.open("wb") as errors, _start(format, artifact, told, errors) as process:
            assert process.stdin is not None
            on_progress(Progress(stage="proof", step=0, total=max_images))
            with suppress(BrokenPipeError):
                for step, pixels in enumerate(islice(images, max_images)):
                    process.stdin.write(_pack(pixels))
                    batch = tf.constant(pixels[np.newaxis], tf.float32)
                    originals.append(ask(batch).numpy()[0])
                    on_progress(Progress(stage="proof", step=step + 1, total=max_images))
                process.stdin.close()
        if process.returncode:
            said = log.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "no reason given")
            raise ExportError(
                f"The {format.name} export cannot be used: {last.strip()}; nothing was written."
            )
        with np.load(told, allow_pickle=False) as content:
            names, answers = json.loads(str(content["classes"])), content["answers"]
    if names != list(classes):
        raise ExportError(
            f"The {format.name} export names the classes {names} instead of {list(classes)}; "
            "nothing was written: give the classes names of one line."
        )
    return measure(np.array(originals), answers, decision, format.tolerance)


def measure(
    originals: Answers, answers: Answers, decision: Decision, tolerance: float | None
) -> Agreement:
    """Compare answers with the original's.

    Args:
        originals: Probabilities, ``(n, C)``.
        answers: Probabilities for every way to ask, ``(n, ways, C)``; the worst way counts.
        decision: How labels are given for them.
        tolerance: Probabilities that differ by no more than this from one another, or from a
            threshold, are equal; None is 0.
    """
    same = decision.agree(originals, answers, tolerance or 0.0)
    differences = np.abs(answers - originals[:, np.newaxis])
    return Agreement(
        images=len(originals),
        agreement=float(same.all(axis=-1).mean()),
        # What is no number is as different as can be.
        max_probability_difference=float(np.nan_to_num(differences, nan=1.0).max()),
    )


def _start(format: Format, artifact: Path, told: Path, errors: Any) -> subprocess.Popen[bytes]:
    # -P: the folder of the script, full of modules of ours, is no place to import from.
    script = [sys.executable, "-P", str(_SCRIPT)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    return subprocess.Popen(
        [*script, format.name, str(artifact.absolute()), str(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={**os.environ, **quiet},
    )


def _pack(pixels: Levels) -> bytes:
    content = io.BytesIO()
    np.save(content, pixels, allow_pickle=False)
    return len(content.getvalue()).to_bytes(LENGTH_BYTES, "little") + content.getvalue()
