"""Exporting: write a classifier in another format, and prove that it answers the same."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from nstk.classifiers.classifier import Classifier
from nstk.errors import ExportError
from nstk.exporting.formats import Format, FormatName, find_format
from nstk.exporting.images import SampleSet, Source, gather_images, gather_recorded
from nstk.exporting.onnx_file import write_onnx
from nstk.exporting.proof import Agreement, compare
from nstk.exporting.saved_model import write_saved_model
from nstk.exporting.tflite import write_tflite
from nstk.images.image import Levels
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import check_range, check_whole

_CALIBRATION = 100


@dataclass(frozen=True)
class Export:
    """What was written, and how well it agrees with the original.

    Attributes:
        format: The format's name.
        path: The file or folder.
        bytes: Its size.
        agreement: Share of the images that get the same labels, in [0, 1].
        max_probability_difference: The largest difference of one probability.
        images: How many images both were asked about.
        image_source: Whether these were ``"given"``, ``"recorded"`` by the run that made the
            classifier, or ``"drawn"`` for want of real ones.
        seconds: Wall time.
    """

    format: FormatName
    path: Path
    bytes: int
    agreement: float
    max_probability_difference: float
    images: int
    image_source: Source
    seconds: float


def export(
    classifier: Classifier,
    format: str,
    path: str | Path,
    *,
    images: str | Path | Iterable[str | Path] | None = None,
    record: str | Path | None = None,
    min_agreement: float = 0.97,
    max_images: int = 200,
    seed: int = 0,
    on_progress: Reporter = no_progress,
) -> Export:
    """Write a classifier in another format, and keep it only if it answers like the original.

    What is written resizes, crops and scales by itself, takes images of any size, and holds
    the class names. A fresh process opens it with that format's own runtime and without nstk,
    and is asked about the same images as the original.

    Args:
        classifier: What `nstk.finetune` or `nstk.load_classifier` gave.
        format: ``"keras"``, ``"savedmodel"``, ``"tflite"``, ``"tflite-int8"`` or ``"onnx"``.
        path: The file to write, with the format's ending, or the folder of a SavedModel.
        images: Files and folders with images to ask about, and to calibrate integers
            with; None for those of the record, or to draw some where it has none.
        record: The file that `nstk.save_manifest` wrote when it was made. Its images are used
            if they still are what they were: to ask about, first those that were held out; to
            calibrate with, those that it learned from.
        min_agreement: What share of the images must get the same label from the rounded
            ``"tflite-int8"``, 0 to 1; from all other formats every image must.
        max_images: How many of the images to ask about, at most.
        seed: Of their choice.
        on_progress: Told about the stages ``"export"`` and ``"proof"``.

    Raises:
        ExportError: If there is no such format, a module that it needs is not installed, or
            the written classifier answers differently; then nothing is left behind.
        OutputError: If nothing can be written at ``path``.
        ImageError: If none of the images can be read.
        SettingsError: If a number is out of its range.
    """
    began, path, chosen = time.perf_counter(), Path(path), find_format(format)
    check_range("min_agreement", min_agreement, 0, 1)
    check_whole("max_images", max_images, 1)
    chosen.check_modules()
    chosen.check_target(path)
    recorded = None
    if images is None and record is not None:
        recorded = gather_recorded(record, classifier, seed)
    album = recorded or gather_images(images, seed)
    asked = min(max_images, len(album.readers))
    proofs: list[Agreement] = []

    def write(staged: Path) -> None:
        on_progress(Progress(stage="export", step=0, total=1))
        _write(classifier, chosen, staged, album, asked)
        on_progress(Progress(stage="export", step=1, total=1))
        proof = compare(
            chosen,
            staged,
            classifier.model,
            classifier.classes,
            classifier.decision,
            album.read(),
            asked,
            on_progress,
        )
        _check(chosen, proof, min_agreement)
        proofs.append(proof)

    chosen.write(path, write)
    [proof] = proofs
    return Export(
        format=chosen.name,
        path=path,
        bytes=_size(path),
        agreement=proof.agreement,
        max_probability_difference=proof.max_probability_difference,
        images=proof.images,
        image_source=album.source,
        seconds=time.perf_counter() - began,
    )


def _write(
    classifier: Classifier, format: Format, staged: Path, album: SampleSet, asked: int
) -> None:
    writers: dict[FormatName, Callable[[], object]] = {
        "keras": lambda: classifier.save(staged),
        "savedmodel": lambda: write_saved_model(classifier, staged),
        "tflite": lambda: write_tflite(classifier, staged),
        "tflite-int8": lambda: write_tflite(classifier, staged, lambda: _calibrate(album, asked)),
        "onnx": lambda: write_onnx(classifier, staged),
    }
    writers[format.name]()


def _calibrate(album: SampleSet, asked: int) -> Iterator[Levels]:
    """Other images than those of the proof, where there are any that can be read."""
    others = islice(replace(album, readers=album.readers[asked:]).read(), _CALIBRATION)
    first = next(others, None)
    return islice(album.read(), _CALIBRATION) if first is None else chain([first], others)


def _check(format: Format, proof: Agreement, min_agreement: float) -> None:
    needed = min_agreement if format.tolerance is None else 1.0
    tolerance = 1.0 if format.tolerance is None else format.tolerance
    if proof.agreement < needed or proof.max_probability_difference > tolerance:
        limit = "" if format.tolerance is None else f" with differences up to {tolerance:g}"
        advice = (
            "calibrate with more images like those it will see, or lower --min-agreement"
            if format.tolerance is None
            else "please report this"
        )
        raise ExportError(
            f"The {format.name} export gives {proof.agreement:.2%} of {proof.images} images the "
            f"original's label and differs by up to {proof.max_probability_difference:.2g}; "
            f"{needed:.2%}{limit} are needed, so nothing was written: {advice}."
        )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
