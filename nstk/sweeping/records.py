"""Finished runs on disk: each is an image and a record of how it came about.

A run is known by the digest of everything that it depends on: the bytes of content, styles and
start image, the weights of the network, and all settings. What has another digest is painted
again.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.errors import ImageError, OutputError
from nstk.images.image import Image, Plane, load_image, save_image
from nstk.settings import StylizeSettings
from nstk.storage.files import atomic_write, check_writable, digest_file, make_folder
from nstk.stylization.initialization import INITS
from nstk.sweeping.grid import GridPoint

_FORMAT = 2
_LONGEST_NAME = 80


@dataclass(frozen=True, eq=False)
class SweptRun:
    """One painting of a sweep.

    Attributes:
        point: Which one.
        backbone: Name of the network.
        terms: Parts of the loss at the last step, before their weights, and ``loss`` itself.
        seconds: Wall time of the descent.
        output: The image's file.
        curves: ``content``, ``style``, ``variation`` and ``loss`` at every step.
        stages: Size in words and number of steps of every scale.
        diverged: Whether the loss stopped being a number; the image is the last good one.
        resumed: Whether it was there before this sweep.
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

    def load(self) -> Image:
        """Read the image.

        Raises:
            ImageError: If it is no longer there.
        """
        return load_image(self.output).pixels


class RunFolder:
    """The folder of finished runs.

    Args:
        path: Where it is or is to be made, in a folder that is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Refuse, before any work, a place where no run can be kept.

        Raises:
            OutputError: If no file can be written there.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is a file; runs are kept in a folder of that name.")
        check_writable(self.path / "run.png" if self.path.is_dir() else self.path)

    def output(self, point: GridPoint) -> Path:
        """Where the image of a run goes, by a name that people can read."""
        return self.path / f"{_file_name(point.label)}.png"

    def find(self, point: GridPoint, digest: str) -> SweptRun | None:
        """The run, if it is there, is whole and was made from the same."""
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

    def holds(self, point: GridPoint) -> bool:
        """Whether there is a run of this name, whatever it was made from."""
        return self.output(point).exists()

    def keep(self, run: SweptRun, image: Image, alpha: Plane | None, digest: str) -> None:
        """Write a run; its record comes last, so that a record's image is always whole.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            make_folder(self.path)
            run.output.with_suffix(".json").unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"Cannot keep runs in {self.path}: {error.strerror}; choose another place."
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
    """SHA-256 of everything that a run depends on.

    Args:
        settings: All of them.
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


def digest_source(source: Any) -> str:
    """SHA-256 of an image in memory or of a file.

    Raises:
        ImageError: If the file cannot be read.
    """
    if not isinstance(source, str | Path):
        array = np.ascontiguousarray(source)
        return hashlib.sha256(f"{array.shape} {array.dtype}".encode() + array.tobytes()).hexdigest()
    try:
        return digest_file(source)
    except OSError as error:
        raise ImageError(
            f"{source}: cannot be read ({error.strerror}); name an image file."
        ) from error


def _file_name(label: str) -> str:
    """A label as a file's name; a short digest tells apart what would be spelled the same."""
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
