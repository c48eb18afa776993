"""Rows of numbers that are computed once and read many times."""

import shutil
import weakref
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nstk.errors import OutputError
from nstk.storage.files import make_temporary_folder
from nstk.types import Array

MEMORY_LIMIT = 256 * 2**20
"""Bytes that a store keeps in memory; a larger one is a temporary file."""


class ActivationStore:
    """At most ``count`` rows of one shape, in memory or in a temporary file removed with the store.

    ``remedy`` is advice for fewer or smaller rows, for the error raised when the disk is full.
    """

    def __init__(
        self,
        count: int,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        *,
        memory: int = MEMORY_LIMIT,
        remedy: str = "unfreeze fewer blocks",
    ) -> None:
        self._shape, self._dtype, self._remedy = shape, np.dtype(dtype), remedy
        self._written = 0
        size = count * prod(shape) * self._dtype.itemsize
        self._folder = make_temporary_folder() if size > memory else None
        if self._folder:
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._rows: Any = None if self._folder else np.empty((count, *shape), dtype)

    def __len__(self) -> int:
        return self._written

    @property
    def is_file(self) -> bool:
        """Whether the rows are on disk."""
        return self._folder is not None

    def write(self, rows: Array) -> None:
        """Append rows ``(n, …)``."""
        if self._folder is None:
            self._rows[self._written : self._written + len(rows)] = rows
        else:
            # Writing to a memory-mapped file would kill the process when the disk is full.
            try:
                with self._path.open("ab") as file:
                    file.write(np.ascontiguousarray(rows, self._dtype).tobytes())
            except OSError as error:
                raise OutputError(
                    f"{self._folder}: cannot store activations ({error.strerror}); free disk "
                    f"space, set TMPDIR to another folder, or {self._remedy}."
                ) from error
            self._rows = None
        self._written += len(rows)

    def take_rows(self, indices: npt.NDArray[np.integer]) -> Array:
        """Copy the rows with the given indices, ``(n,)``."""
        if self._rows is None:
            shape = (self._written, *self._shape)
            self._rows = np.memmap(self._path, self._dtype, "r", shape=shape)
        return np.array(self._rows[indices])

    @property
    def _path(self) -> Path:
        assert self._folder is not None
        return self._folder / "rows"
