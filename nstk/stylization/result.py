"""The result of a stylization: the image and the figures of its run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nstk.images.encoding import encode_png, save_image
from nstk.images.image import Image, Plane
from nstk.settings import StylizeSettings
from nstk.types import Array, Json


@dataclass(frozen=True, eq=False)
class StylizeResult:
    """A stylized image and the figures of its run.

    Attributes:
        image: float32 ``(height, width, 3)``, sRGB, ``[0, 1]``.
        alpha: The content's transparency at the same size, or None if it was opaque.
        settings: The settings.
        strength: The strength that was given or found.
        backbone: Name of the network.
        tiling: ``off``, or ``on`` if the image was processed tile by tile.
        precision: Number format of the convolutions, ``float32`` or ``bfloat16``.
        convolution: Algorithm of the convolutions that suit it, ``direct`` or ``winograd``.
        loss: L at the last step.
        terms: Its terms at the last step: ``content``, ``style``, ``tv`` and every style layer
            by name, before α, β, γ and λ_l.
        steps: Steps taken, over all scales.
        seconds: Wall time of the whole job.
        seconds_per_step: Median at the last scale, NaN before its first step.
        peak_memory_bytes: Largest resident size of the process so far, None if unknown.
        interrupted: Whether Ctrl-C ended the run early; ``image`` is the result so far.
        notices: Remarks about the input files and the run.
    """

    image: Image
    alpha: Plane | None
    settings: StylizeSettings
    strength: float
    backbone: str
    tiling: str
    precision: str
    convolution: str
    loss: float
    terms: Mapping[str, float]
    steps: int
    seconds: float
    seconds_per_step: float
    peak_memory_bytes: int | None
    interrupted: bool
    notices: tuple[str, ...]

    value_range = (0.0, 1.0)

    def __repr__(self) -> str:
        height, width, _ = self.image.shape
        return f"StylizeResult({width}×{height} pixels, {self.steps} steps, {self.seconds:.1f} s)"

    def _repr_png_(self) -> bytes:
        return encode_png(self.image, self.alpha)

    def to_dict(self) -> dict[str, Json]:
        """The figures of the run as plain values for JSON, without pixels."""
        height, width, _ = self.image.shape
        return {
            "width": width,
            "height": height,
            "backbone": self.backbone,
            "tiling": self.tiling,
            "precision": self.precision,
            "convolution": self.convolution,
            "strength": self.strength,
            "steps": self.steps,
            "seconds": self.seconds,
            "seconds_per_step": self.seconds_per_step,
            "loss": self.loss,
            "terms": dict(self.terms),
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.image, dtype)

    def save(self, path: str | Path) -> Path:
        """Write the image, with its transparency if the format supports it.

        Raises:
            OutputError: If it cannot be written.
        """
        return save_image(path, self.image, alpha=self.alpha)
