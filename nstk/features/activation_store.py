"""Rows of numbers that are computed once and read many times."""

import shutil
import tempfile
import weakref
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.errors import OutputError

MEMORY = 256 * 2**20
"""How many bytes a bank may take in memory; a larger one is a file."""

Rows = npt.NDArray[Any]


class ActivationStore:
    """Rows of one shape: in memory, or in a temporary file that goes when nobody needs it.

    Args:
        count: How many rows there will be at most.
        shape: Of one row.
        dtype: Of its numbers.
        memory: How many bytes may be taken in memory.
        remedy: What to do for fewer or smaller rows, should the disk be full.
    """

    def __init__(
        self,
        count: int,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        memory: int = MEMORY,
        remedy: str = "unfreeze fewer blocks",
    ) -> None:
        self._shape, self._dtype, self._remedy = shape, np.dtype(dtype), remedy
        self._written = 0
        size = count * prod(shape) * self._dtype.itemsize
        self._folder = Path(tempfile.mkdtemp()) if size > memory else None
        if self._folder:
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._rows: Any = None if self._folder else np.empty((count, *shape), dtype)

    def __len__(self) -> int:
        return self._written

    @property
    def is_file(self) -> bool:
        """Whether the rows are on disk."""
        return self._folder is not None

    def write(self, rows: Rows) -> None:
        """Add rows ``(n, …)`` behind those that are there.

        Raises:
            OutputError: If the disk is full.
        """
        if self._folder is None:
            self._rows[self._written : self._written + len(rows)] = rows
        else:
            # Writing through a mapped file would end the process where the disk is full.
            try:
                with self._place.open("ab") as file:
                    file.write(np.ascontiguousarray(rows, self._dtype).tobytes())
            except OSError as error:
                raise OutputError(
                    f"{self._folder} cannot take what is to be looked at again "
                    f"({error.strerror}); make room, name another folder by TMPDIR, or "
                    f"{self._remedy}."
                ) from error
            self._rows = None
        self._written += len(rows)

    def take(self, places: npt.NDArray[np.integer]) -> Rows:
        """Give rows by their places, ``(n,)``, as an array of their own."""
        if self._rows is None:
            shape = (self._written, *self._shape)
            self._rows = np.memmap(self._place, self._dtype, "r", shape=shape)
        return np.array(self._rows[places])

    @property
    def _place(self) -> Path:
        assert self._folder is not None
        return self._folder / "rows"
