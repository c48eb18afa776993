"""Verification: a fresh process opens the export, and its predictions are compared.

The images are real ones if there are any, else synthetic ones.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import numpy as np
import tensorflow as tf

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.run_records import find_record
from nstk.datasets.catalogs import Catalog, DataSettings
from nstk.datasets.listing import find_images
from nstk.datasets.sources import open_catalog
from nstk.errors import ExportError, ImageError, NstkError
from nstk.exporting.reload import LENGTH_BYTES
from nstk.heads.decisions import Decision
from nstk.images.decoding import read_content
from nstk.images.image import Levels, crop_square, resize_image, to_image
from nstk.images.loading import load_levels
from nstk.progress import Progress, Reporter
from nstk.storage.files import find_temporary_folder
from nstk.types import Probabilities

_SYNTHETIC = 64
_SIDES = (40, 480)
_SCRIPT = Path(__file__).with_name("reload.py")

Source = Literal["given", "recorded", "synthetic"]
"""Images given by the user, those of the run that made the classifier, or synthetic ones."""


@dataclass(frozen=True)
class SampleSet:
    """Images that are read when they are needed.

    A reader returns None if its file turns out to be unusable. The catalog keeps the unpacked files
    of a zip alive. With a size, the largest centered squares are resized to it.
    """

    source: Source
    readers: Sequence[Callable[[], Levels | None]]
    catalog: Catalog | None = field(default=None, repr=False)
    size: int | None = None

    @property
    def is_usable(self) -> bool:
        """Whether one of the first hundred can be read."""
        first = SampleSet(self.source, self.readers[:100])
        return next(first.read(), None) is not None

    def read(self) -> Iterator[Levels]:
        """Read one image after the other, leaving out the unusable ones."""
        for reader in self.readers:
            if (pixels := reader()) is not None:
                yield pixels if self.size is None else _fit(pixels, self.size)


def find_samples(images: str | Path | Iterable[str | Path] | None, seed: int) -> SampleSet:
    """Find images in files and folders, in random order, or make synthetic ones.

    Raises:
        ImageError: If a path does not exist, or none of the first hundred files is an image.
    """
    generator = np.random.default_rng(seed)
    if images is None:
        seeds = generator.integers(2**31, size=_SYNTHETIC)
        return SampleSet("synthetic", [partial(synthesize_image, int(each)) for each in seeds])
    places = [Path(each) for each in ([images] if isinstance(images, str | Path) else images)]
    files = list(find_images(places)[0])
    generator.shuffle(files)
    samples = SampleSet("given", [partial(_read, file) for file in files])
    if not samples.is_usable:
        named = ", ".join(map(str, places)) or "nothing"
        raise ImageError(f"{named}: no readable image; give a folder of images.")
    return samples


def find_recorded(record: str | Path, classifier: Classifier, seed: int) -> SampleSet | None:
    """Find the images of the run that made a classifier, from the record beside it, or None.

    Held-out images come first, as they say most, then training images. Files that have changed
    since are left out.
    """
    card = find_record(record, classifier)
    if card is None or not isinstance(card["given"]["data"], str):
        return None
    try:
        pattern = card["settings"].get("label_pattern")
        catalog = open_catalog(card["given"]["data"], DataSettings(label_pattern=pattern))
    except NstkError:
        return None
    files = [*card["files"]]
    np.random.default_rng(seed).shuffle(files)
    files.sort(key=lambda file: file["split"] == "train")
    readers = [partial(_read, catalog.root / file["path"], file["sha256"]) for file in files]
    samples = SampleSet("recorded", readers, catalog)
    return samples if samples.is_usable else None


def synthesize_image(seed: int) -> Levels:
    """An image of random size whose spectrum falls as 1/f, like that of photographs."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers(*_SIDES, size=2)
    rows = np.fft.fftfreq(height)[:, np.newaxis, np.newaxis]
    columns = np.fft.rfftfreq(width)[:, np.newaxis]
    noise = np.fft.rfft2(generator.normal(size=(height, width, 3)), axes=(0, 1))
    falling = noise / np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    waves = np.fft.irfft2(falling, s=(height, width), axes=(0, 1))
    mixed = waves @ generator.normal(size=(3, 3)) + generator.normal(size=3)
    centered = (mixed - mixed.mean()) / mixed.std()
    levels: Levels = np.clip(128 + 55 * centered, 0, 255).astype(np.uint8)
    return levels


def _fit(pixels: Levels, size: int) -> Levels:
    resized = resize_image(crop_square(to_image(pixels, "image")), size, size)
    return np.rint(255 * resized).astype(np.uint8)


def _read(path: Path, digest: str | None = None) -> Levels | None:
    """The image; None if it cannot be read, or has changed."""
    try:
        content = read_content(path)
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            return None
        return load_levels(path, content=content)
    except ImageError:
        return None


@dataclass(frozen=True)
class Agreement:
    """How well an exported classifier agrees with the original."""

    images: int
    agreement: float
    """Share of them that get the same labels, in [0, 1]."""
    max_probability_difference: float


def verify(
    format: str,
    tolerance: float | None,
    artifact: Path,
    classifier: Classifier,
    samples: SampleSet,
    max_images: int,
    on_progress: Reporter,
) -> Agreement:
    """Predict with the original here and with the export in a fresh process, image by image.

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
                for step, pixels in enumerate(islice(samples.read(), max_images), 1):
                    process.stdin.write(_pack(pixels))
                    batch = tf.constant(pixels[np.newaxis], tf.float32)
                    expected.append(predict(batch).numpy()[0])
                    on_progress(Progress(stage="verification", step=step, total=max_images))
                process.stdin.close()
        if process.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
            reason = next((line for line in reversed(lines) if line.strip()), "no reason given")
            raise ExportError(
                f"the {format} export cannot be used: {reason.strip()}; nothing was written."
            )
        with np.load(outputs, allow_pickle=False) as content:
            names, probabilities = json.loads(str(content["classes"])), content["probabilities"]
    if names != list(classifier.classes):
        raise ExportError(
            f"the {format} export names the classes {names} instead of "
            f"{list(classifier.classes)}; nothing was written: remove line breaks from class names."
        )
    return measure_agreement(np.array(expected), probabilities, classifier.decision, tolerance)


def measure_agreement(
    expected: Probabilities, found: Probabilities, decision: Decision, tolerance: float | None
) -> Agreement:
    """Compare probabilities ``(n, signatures, C)`` with the original's, ``(n, C)``.

    The worst signature counts. Probabilities that differ by no more than the tolerance from one
    another, or from a threshold, are equal.
    """
    same = decision.same_labels(expected, found, tolerance or 0.0)
    differences = np.abs(found - expected[:, np.newaxis])
    return Agreement(
        images=len(expected),
        agreement=float(same.all(axis=-1).mean()),
        max_probability_difference=float(np.nan_to_num(differences, nan=1.0).max()),
    )


def _start(
    format: str, artifact: Path, outputs: Path, errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    # -P: without it the script's folder, full of modules of this package, is on the path.
    script = [sys.executable, "-P", str(_SCRIPT)]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    return subprocess.Popen(
        [*script, format, str(artifact.absolute()), str(outputs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={**os.environ, **quiet},
    )


def _pack(pixels: Levels) -> bytes:
    content = io.BytesIO()
    np.save(content, pixels, allow_pickle=False)
    return len(content.getvalue()).to_bytes(LENGTH_BYTES, "little") + content.getvalue()
