"""Private folders for what is no file yet, gone with the object that holds them."""

import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, eq=False)
class PrivateFolder:
    """A folder that only its owner can read, for as long as this object lives.

    Attributes:
        source: What its files are known to be in: a zip, or words.
        place: The folder.
    """

    source: Path
    place: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nstk-")))

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.place, ignore_errors=True)

    def name(self, path: Path) -> Path:
        """The path of a file in it, told as one inside the source."""
        return self.source / path.relative_to(self.place)

    def rename(self, words: str) -> str:
        """Words in which paths of its files are told as inside the source."""
        return words.replace(str(self.place), str(self.source))


def open_privately(path: str, flags: int) -> int:
    """Open a file that others may not read, as ``opener`` of ``open``."""
    return os.open(path, flags, 0o600)
