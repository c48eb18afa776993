"""The settings of `nstk.export`."""

from dataclasses import dataclass

from nstk.settings.checks import check_range, check_whole
from nstk.settings.fields import setting


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How an exported classifier is verified.

    Raises:
        SettingsError: If a value is out of its range.
    """

    min_agreement: float = setting(
        0.97, "Share of the images that tflite-int8 must label like the original"
    )
    max_images: int = setting(200, "Number of images to verify with, at most")
    seed: int = setting(0, "Random seed for choosing the images")

    def __post_init__(self) -> None:
        check_range("min_agreement", self.min_agreement, 0, 1)
        check_whole("max_images", self.max_images, 1)
        check_whole("seed", self.seed, 0, 2**31 - 1)
