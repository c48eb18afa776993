"""Paths on the command line and on standard input."""

import os
import sys
from pathlib import Path

from nstk.storage.remote import as_path


def read_paths(paths: list[Path] | None) -> list[Path]:
    """Return the paths, with those on standard input in the place of ``-``.

    Paths on standard input are separated by line breaks, or by zero bytes as ``find -print0``
    writes them.
    """
    read: list[Path] = []
    for path in map(as_path, paths or []):
        if str(path) != "-":
            read.append(path)
            continue
        given = sys.stdin.buffer.read()
        lines = given.split(b"\0") if b"\0" in given else given.splitlines()
        read += [as_path(os.fsdecode(line)) for line in lines if line]
    return read
