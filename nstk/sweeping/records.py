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
from nstk.images.image import Image
from nstk.images.loading import load_image
from nstk.settings import StylizeSettings
from nstk.storage.files import atomic_write, check_writable, digest_file, make_folder
from nstk.stylization.optimization import INITS
from nstk.stylization.result import StylizeResult
from nstk.sweeping.grid import GridPoint
from nstk.types import Array, Images, Json

_FORMAT = 2
_LONGEST_NAME = 80
_TERMS = ("content", "style", "tv")


@dataclass(frozen=True, eq=False, repr=False)
class SweptRun:
    """One run of a sweep.

    Attributes:
        terms: Terms of the loss at the last step, before their weights, and ``loss`` itself.
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
        """Load the image; ImageError if it was deleted."""
        return load_image(self.output).pixels


@dataclass(frozen=True)
class RunFolder:
    """The folder of finished runs; it is created in an existing folder if necessary."""

    path: Path

    def check(self) -> None:
        """Refuse a path where no run can be saved, before any work."""
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(
                f"{self.path} is a file; runs are saved in a folder: choose another path."
            )
        check_writable(self.path / "run.png" if self.path.is_dir() else self.path)

    def output(self, point: GridPoint) -> Path:
        """The image file of a run, with a readable name."""
        return self.path / f"{_file_name(point.label)}.png"

    def find(self, point: GridPoint, digest: str) -> SweptRun | None:
        """A finished run, or None if it is missing, damaged or has another digest."""
        output = self.output(point)
        try:
            record = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
            if record["digest"] != digest or record["image"] != digest_file(output):
                return None
            return SweptRun(
                point=point,
                backbone=record["backbone"],
                terms={name: _number(value) for name, value in record["terms"].items()},
                seconds=float(record["seconds"]),
                output=output,
                curves={name: tuple(map(_number, c)) for name, c in record["curves"].items()},
                stages=tuple((stage, steps) for stage, steps in record["stages"]),
                diverged=record["diverged"],
                resumed=True,
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
            return None

    def save(
        self, point: GridPoint, result: StylizeResult, digest: str, *, diverged: bool
    ) -> SweptRun:
        """Save a run; the record is written last, so that its image is always complete."""
        steps = result.history.steps
        curves = {name: tuple(step.terms[name] for step in steps) for name in _TERMS}
        run = SweptRun(
            point=point,
            backbone=result.backbone,
            terms={**result.terms, "loss": result.loss},
            seconds=result.seconds,
            output=self.output(point),
            curves={**curves, "loss": tuple(step.loss for step in steps)},
            stages=tuple((scale.stage, len(scale.steps)) for scale in result.history.scales),
            diverged=diverged,
            resumed=False,
        )
        record = run.output.with_suffix(".json")
        try:
            make_folder(self.path)
            record.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"Cannot save runs in {self.path}: {error.strerror}; choose another folder."
            ) from error
        save_image(run.output, result.image, alpha=result.alpha)
        facts = {
            "digest": digest,
            "image": digest_file(run.output),
            "settings": asdict(point.settings),
            "backbone": run.backbone,
            "terms": {name: _finite(value) for name, value in run.terms.items()},
            "seconds": run.seconds,
            "diverged": diverged,
            "stages": run.stages,
            "curves": {name: [*map(_finite, curve)] for name, curve in run.curves.items()},
        }
        text = json.dumps(facts, ensure_ascii=False, allow_nan=False, default=list) + "\n"
        content = text.encode("utf-8", "backslashreplace")
        atomic_write(record, lambda path: path.write_bytes(content))
        return run


def digest_run(settings: StylizeSettings, backbone: Backbone, images: Mapping[str, str]) -> str:
    """SHA-256 of everything a run depends on; images are digests by name."""
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
    """SHA-256 of an array or a file."""
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


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
