"""The names of the lessons, and their settings."""

from dataclasses import dataclass
from typing import Literal

from nstk.settings.fields import MAX_SEED, Settings, setting

LessonName = Literal[
    "few-images", "shortcut", "leak", "none-of-these", "gram", "layers", "alpha-beta"
]


@dataclass(frozen=True, kw_only=True)
class LessonSettings(Settings):
    """What a lesson is drawn from."""

    seed: int = setting(0, "Random seed of the images", span=(0, MAX_SEED))
