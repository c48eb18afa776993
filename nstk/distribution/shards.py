"""Shards: the share of a job that one of several independent processes does."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nstk.errors import SettingsError
from nstk.storage.files import digest_file

_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True)
class Shard:
    """Shard ``index`` of ``count``, from 1. It holds a file by its content, not by its place.

    So the shards of all machines are disjoint and complete, in whatever order each lists the files.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``K/N``, as in ``2/8``."""
        found = _FORM.fullmatch(text.strip())
        index, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= count:
            raise SettingsError(
                f"`shard` is {text!r}; it must be K/N with K from 1 to N, as in 2/8: the second "
                "of eight shards."
            )
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether it holds every file."""
        return self.count == 1

    def holds(self, digest: str) -> bool:
        """Whether content with this SHA-256 belongs to the shard."""
        return int(digest[:16], 16) % self.count == self.index - 1

    def holds_name(self, name: object) -> bool:
        """The same for what cannot be read, by its name."""
        return self.holds(hashlib.sha256(str(name).encode(errors="surrogateescape")).hexdigest())

    def holds_file(self, path: Path) -> bool:
        """Whether a file belongs to the shard."""
        if self.is_whole:
            return True
        try:
            return self.holds(digest_file(path))
        except OSError:
            return self.holds_name(path)


WHOLE = Shard()
"""The only shard of a job that is not shared."""
