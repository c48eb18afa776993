"""Finished runs on disk: an image and a record for each.

A run is identified by the digest of everything it depends on: the bytes of content, styles and
initial image, the weights of the network, and all settings. A run with another digest is
repeated.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.backbones.backbone import Backbone
from nstk.errors import ImageError, OutputError
from nstk.images.encoding import save_image
from nstk.images.image import Image, Plane
from nstk.images.loading import load_image
from nstk.settings import StylizeSettings
from nstk.storage.files import atomic_write, check_writable, digest_file, make_folder
from nstk.stylization.initialization import INITS
from nstk.sweeping.grid import GridPoint
from nstk.types import Array, Images, Json

_FORMAT = 2
_LONGEST_NAME = 80


@dataclass(frozen=True, eq=False)
class SweptRun:
    """One run of a sweep.

    Attributes:
        point: Its point of the grid.
        backbone: Name of the network.
        terms: Terms of the loss at the last step, before their weights, and ``loss`` itself.
        seconds: Wall time of the run.
        output: The image file.
        curves: ``content``, ``style``, ``tv`` and ``loss`` at every step.
        stages: Size as text and number of steps of every scale.
        diverged: Whether the loss stopped being finite; the image is the last good one.
        resumed: Whether an earlier sweep made it.
    """

    point: GridPoint
    backbone: str
    terms: Mapping[str, float]
    seconds: float
    output: Path
    curves: Mapping[str, Sequence[float]]
    stages: Sequence[tuple[str, int]]
    diverged: bool
    resumed: bool

    value_range = (0.0, 1.0)

    def __repr__(self) -> str:
        return f"SweptRun({self.point.label}, {self.seconds:.1f} s)"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.load(), dtype)

    def to_dict(self) -> dict[str, Json]:
        """Settings and results as plain values for JSON, without pixels and curves."""
        return {
            "settings": {**asdict(self.point.settings), "backbone": self.backbone},
            "terms": self.terms,
            "seconds": self.seconds,
            "output": str(self.output),
            "diverged": self.diverged,
            "resumed": self.resumed,
        }

    def load(self) -> Image:
        """Load the image.

        Raises:
            ImageError: If it was deleted.
        """
        return load_image(self.output).pixels


class RunFolder:
    """The folder of finished runs.

    Args:
        path: The folder; it is created in an existing folder if necessary.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Refuse a path where no run can be saved, before any work.

        Raises:
            OutputError: If no file can be written there.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(
                f"{self.path} is a file; runs are saved in a folder: choose another path."
            )
        check_writable(self.path / "run.png" if self.path.is_dir() else self.path)

    def output(self, point: GridPoint) -> Path:
        """Return the image file of a run, with a readable name."""
        return self.path / f"{_file_name(point.label)}.png"

    def find(self, point: GridPoint, digest: str) -> SweptRun | None:
        """Return a finished run, or None if it is missing, damaged or has another digest."""
        output = self.output(point)
        try:
            record = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
            if record["digest"] != digest or record["image"] != digest_file(output):
                return None
            return SweptRun(
                point=point,
                backbone=record["backbone"],
                terms=_numbers(record["terms"]),
                seconds=float(record["seconds"]),
                output=output,
                curves={name: _series(curve) for name, curve in record["curves"].items()},
                stages=tuple((stage, steps) for stage, steps in record["stages"]),
                diverged=record["diverged"],
                resumed=True,
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            return None

    def has_image(self, point: GridPoint) -> bool:
        """Whether there is an image for a point, with any digest."""
        return self.output(point).exists()

    def save(self, run: SweptRun, image: Image, alpha: Plane | None, digest: str) -> None:
        """Save a run; the record is written last, so that its image is always complete.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            make_folder(self.path)
            run.output.with_suffix(".json").unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"Cannot save runs in {self.path}: {error.strerror}; choose another folder."
            ) from error
        save_image(run.output, image, alpha=alpha)
        record = {
            "digest": digest,
            "image": digest_file(run.output),
            "settings": asdict(run.point.settings),
            "backbone": run.backbone,
            "terms": _plain(run.terms),
            "seconds": run.seconds,
            "diverged": run.diverged,
            "stages": run.stages,
            "curves": {name: [_finite(value) for value in c] for name, c in run.curves.items()},
        }
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, default=list) + "\n"

        def write(path: Path) -> None:
            path.write_text(text, encoding="utf-8", errors="backslashreplace")

        atomic_write(run.output.with_suffix(".json"), write)


def digest_run(settings: StylizeSettings, backbone: Backbone, images: Mapping[str, str]) -> str:
    """Return the SHA-256 of everything a run depends on.

    Args:
        settings: All settings.
        backbone: The network.
        images: Digests of content, styles and masks, by name.
    """
    known = asdict(settings)
    if settings.init not in INITS:
        known["init"] = digest_source(settings.init)
    parts = {
        "format": _FORMAT,
        "settings": known,
        "backbone": [backbone.name, backbone.digest],
        "images": dict(images),
    }
    text = json.dumps(parts, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_source(source: Images) -> str:
    """Return the SHA-256 of an array or a file.

    Raises:
        ImageError: If the file cannot be read.
    """
    if not isinstance(source, str | Path):
        array = np.ascontiguousarray(source)
        is_float = np.issubdtype(array.dtype, np.floating)
        value_range = getattr(source, "value_range", "") if is_float else ""
        facts = f"{array.shape} {array.dtype} {value_range}".rstrip()
        return hashlib.sha256(facts.encode() + array.tobytes()).hexdigest()
    try:
        return digest_file(source)
    except OSError as error:
        raise ImageError(
            f"{source}: cannot be read ({error.strerror}); name an image file."
        ) from error


def _file_name(label: str) -> str:
    """A label as a file name; a short digest distinguishes labels with equal names."""
    name = label.replace(", ", "_").replace(" ", "=")
    plain = "".join(letter if letter.isalnum() or letter in ".-_=" else "_" for letter in name)
    if plain == name and len(name) <= _LONGEST_NAME:
        return name
    return f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in values.items()}


def _series(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(math.nan if value is None else value for value in values)


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in values.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
