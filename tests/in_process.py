"""Verifying an export in this process instead of in a fresh one."""

import io
from types import SimpleNamespace

import pytest

from nstk.exporting import reload


class _Stream(io.BytesIO):
    def close(self):
        """Keep the content."""


class InProcess:
    """Runs reload.py here instead of in a fresh process, which takes seconds to start."""

    returncode = 0

    def __init__(self, format, artifact, outputs, errors):
        self._arguments = format, str(artifact), str(outputs)
        self.stdin = _Stream()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with pytest.MonkeyPatch.context() as patch:
            self.stdin.seek(0)
            patch.setattr("sys.stdin", SimpleNamespace(buffer=self.stdin))
            reload.main(*self._arguments)
