"""Finished runs on disk: an image and a record for each."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.errors import OutputError
from nstk.images.encoding import save_image
from nstk.images.image import Image
from nstk.images.loading import load_image
from nstk.storage.files import check_writable, make_folder
from nstk.stylization.records import clear_record, read_record, write_record
from nstk.stylization.result import StylizeResult
from nstk.sweeping.grid import GridPoint
from nstk.types import Array, Json

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
            record = read_record(output.with_suffix(".json"), output, digest)
            if record is None:
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
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
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
        make_folder(self.path)
        clear_record(record)
        save_image(run.output, result.image, alpha=result.alpha)
        facts = {
            "settings": asdict(point.settings),
            "backbone": run.backbone,
            "terms": run.terms,
            "seconds": run.seconds,
            "diverged": diverged,
            "stages": run.stages,
            "curves": run.curves,
        }
        write_record(record, run.output, digest, facts)
        return run


def _file_name(label: str) -> str:
    """A label as a file name; a short digest distinguishes labels with equal names."""
    name = label.replace(", ", "_").replace(" ", "=")
    plain = "".join(letter if letter.isalnum() or letter in ".-_=" else "_" for letter in name)
    if plain == name and len(name) <= _LONGEST_NAME:
        return name
    return f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
