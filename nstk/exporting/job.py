"""Exporting: write a classifier in another format, and verify its predictions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Literal, get_args

from nstk.backbones.keras_config import check_process
from nstk.classifiers.classifier import Classifier
from nstk.errors import ExportError, OutputError, SettingsError
from nstk.exporting.onnx_file import write_onnx
from nstk.exporting.saved_model import write_saved_model
from nstk.exporting.tflite import write_tflite
from nstk.exporting.verification import (
    Agreement,
    SampleSet,
    Source,
    find_recorded,
    find_samples,
    verify,
)
from nstk.images.image import Levels
from nstk.progress import Progress, Reporter, Stopwatch, no_progress
from nstk.settings import ExportSettings, resolve_settings
from nstk.storage.files import (
    atomic_write,
    atomic_write_folder,
    check_folder_writable,
    check_writable,
)
from nstk.types import Json, SettingValue

FormatName = Literal["keras", "savedmodel", "tflite", "tflite-int8", "onnx"]

_CALIBRATION = 100


@dataclass(frozen=True)
class Format:
    """One format, and what it requires.

    A format without an extension is a folder. Its tolerance is how much a probability may differ
    from the original's; None if it rounds, and only the share of equal labels counts.
    """

    name: FormatName
    extension: str
    tolerance: float | None
    modules: tuple[str, ...] = ()
    """Optional Python modules that write or run it."""
    extra: str = ""
    """The extra of nstk that installs them."""

    def check_modules(self) -> None:
        missing = [module for module in self.modules if find_spec(module) is None]
        if missing:
            raise ExportError(
                f"{self.name} needs {', '.join(missing)}, which is not installed; "
                f"run pip install 'nstk[{self.extra}]'."
            )

    def check_path(self, path: Path) -> None:
        if not self.extension:
            check_folder_writable(path, member="assets/labels.txt")
        elif path.suffix != self.extension:
            raise OutputError(
                f"{path} does not have the extension {self.extension} of {self.name}; "
                f"write to {path.with_suffix(self.extension).name}."
            )
        else:
            check_writable(path)

    def write(self, path: Path, write: Callable[[Path], None]) -> Path:
        return atomic_write(path, write) if self.extension else atomic_write_folder(path, write)


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("keras", ".keras", 1e-5),
        Format("savedmodel", "", 1e-5),
        Format("tflite", ".tflite", 1e-4),
        Format("tflite-int8", ".tflite", None),
        Format("onnx", ".onnx", 1e-4, ("tf2onnx", "onnx", "onnxruntime"), "onnx"),
    )
}


def find_format(name: str) -> Format:
    if name not in FORMATS:
        raise ExportError(
            f"unknown format '{name}'; choose from {', '.join(get_args(FormatName))}."
        )
    return FORMATS[name]


@dataclass(frozen=True, repr=False)
class Export:
    """An exported classifier, and how well it agrees with the original.

    Attributes:
        format: The format's name.
        path: The file or folder.
        bytes: Its size.
        agreement: Share of the images that get the same labels, in [0, 1].
        max_probability_difference: The largest difference of a probability.
        images: Number of images used for verification.
        image_source: Whether these were ``"given"``, ``"recorded"`` by the run that made the
            classifier, or ``"synthetic"``.
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

    def __repr__(self) -> str:
        return (
            f"Export({self.format}, '{self.path}', {self.bytes / 1e6:.1f} MB, "
            f"{self.agreement:.1%} agreement on {self.images} images)"
        )

    def to_dict(self) -> dict[str, Json]:
        """Format, size and agreement as plain values for JSON."""
        return {
            "format": self.format,
            "path": str(self.path),
            "bytes": self.bytes,
            "agreement": self.agreement,
            "max_probability_difference": self.max_probability_difference,
            "images": self.images,
        }


def export(
    classifier: Classifier,
    format: str,
    path: str | Path,
    *,
    images: str | Path | Iterable[str | Path] | None = None,
    record: str | Path | None = None,
    settings: ExportSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> Export:
    """Write a classifier in another format, and keep it only if its predictions are the same.

    The export resizes, crops and scales by itself, takes images of any size, and holds the class
    names. A fresh process opens it with the format's own runtime, without nstk, and compares its
    predictions with those of the original.

    Args:
        classifier: The classifier.
        format: ``"keras"``, ``"savedmodel"``, ``"tflite"``, ``"tflite-int8"`` or ``"onnx"``.
        path: The file to write, with the format's extension, or the folder of a SavedModel.
        images: Files and folders with images for verification and for the calibration of int8;
            None for those of the record, or synthetic ones without a record.
        record: The ``.json`` file that ``nstk finetune`` wrote beside the classifier. Its images
            are used if they are unchanged: held-out ones first for verification, training images
            for calibration.
        settings: All settings as one object; or give them as keyword arguments.
        on_progress: Called for the stages ``"export"`` and ``"verification"``.
        **options: Fields of `ExportSettings`, instead of ``settings``.

    Raises:
        ExportError: If there is no such format, a module that it needs is not installed, or
            the predictions differ; then nothing is left behind.
        OutputError: If nothing can be written at ``path``.
        ImageError: If none of the images can be read.
        SettingsError: If a setting is out of its range.
    """
    check_process()
    chosen, target = resolve_settings(ExportSettings, settings, options), find_format(format)
    target.check_modules()
    target.check_path(Path(path))
    if chosen.size is not None and target.extension != ".tflite":
        raise SettingsError(
            f"`size` is {chosen.size}, but {target.name} takes images of any size; leave it out, "
            "or choose tflite or tflite-int8."
        )
    recorded = None
    if images is None and record is not None:
        recorded = find_recorded(record, classifier, chosen.seed)
    samples = replace(recorded or find_samples(images, chosen.seed), size=chosen.size)
    return _export(classifier, target, Path(path), samples, chosen, on_progress)


def _export(
    classifier: Classifier,
    format: Format,
    path: Path,
    samples: SampleSet,
    settings: ExportSettings,
    on_progress: Reporter,
) -> Export:
    watch, agreements = Stopwatch(), list[Agreement]()
    count = min(settings.max_images, len(samples.readers))

    def write(staged: Path) -> None:
        on_progress(Progress(stage="export", step=0, total=1))
        _write(classifier, format, staged, samples, count)
        on_progress(Progress(stage="export", step=1, total=1))
        agreement = verify(
            format.name, format.tolerance, staged, classifier, samples, count, on_progress
        )
        _check(format, agreement, settings.min_agreement)
        agreements.append(agreement)

    format.write(path, write)
    [agreement] = agreements
    return Export(
        format=format.name,
        path=path,
        bytes=_size(path),
        agreement=agreement.agreement,
        max_probability_difference=agreement.max_probability_difference,
        images=agreement.images,
        image_source=samples.source,
        seconds=watch.total,
    )


def _write(
    classifier: Classifier, format: Format, staged: Path, samples: SampleSet, count: int
) -> None:
    writers: dict[FormatName, Callable[[], object]] = {
        "keras": lambda: classifier.save(staged),
        "savedmodel": lambda: write_saved_model(classifier, staged),
        "tflite": lambda: write_tflite(classifier, staged, samples.size),
        "tflite-int8": lambda: write_tflite(
            classifier, staged, samples.size, lambda: calibrate(samples, count)
        ),
        "onnx": lambda: write_onnx(classifier, staged),
    }
    writers[format.name]()


def calibrate(samples: SampleSet, count: int) -> Iterator[Levels]:
    """Images for calibration: other than the first ``count``, if any of these can be read."""
    others = islice(replace(samples, readers=samples.readers[count:]).read(), _CALIBRATION)
    first = next(others, None)
    return islice(samples.read(), _CALIBRATION) if first is None else chain([first], others)


def _check(format: Format, agreement: Agreement, min_agreement: float) -> None:
    needed = min_agreement if format.tolerance is None else 1.0
    tolerance = 1.0 if format.tolerance is None else format.tolerance
    if agreement.agreement < needed or agreement.max_probability_difference > tolerance:
        limit = "" if format.tolerance is None else f" with differences up to {tolerance:g}"
        advice = (
            "calibrate with more images like those it will see, or lower `min_agreement`"
            if format.tolerance is None
            else "please report this"
        )
        raise ExportError(
            f"the {format.name} export gives {agreement.agreement:.2%} of {agreement.images} "
            "images the original's label and differs by up to "
            f"{agreement.max_probability_difference:.2g}; {needed:.2%}{limit} is needed, so "
            f"nothing was written: {advice}."
        )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
