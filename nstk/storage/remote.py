"""Files in object storage, by their URL, through fsspec."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from nstk.errors import ImageError, SettingsError
from nstk.storage.files import make_folder

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?!/)")
"""The beginning of a URL; a single letter is a drive, and `Path` joins two slashes."""

_THREADS = 8


class RemotePath(type(Path())):  # type: ignore[misc]
    """A URL such as ``s3://bucket/image.jpg`` in the place of a path; only reading it is remote."""

    def __str__(self) -> str:
        return _URL.sub(r"\1://", super().__str__(), count=1)


def as_path(name: str | Path) -> Path:
    """A path, or a `RemotePath` if the name is a URL."""
    return RemotePath(name) if _URL.match(str(name)) else Path(name)


def is_remote(path: Path) -> TypeGuard[RemotePath]:
    return isinstance(path, RemotePath)


def read_remote(path: Path) -> bytes:
    """Read a remote file; ImageError if that fails."""
    with _reraise(path):
        system, place = _open(path)
        content: bytes = system.cat_file(place)
        return content


def list_remote(path: Path) -> list[Path]:
    """The files of a remote folder or pattern, or the file itself; ImageError if there is none."""
    with _reraise(path):
        system, place = _open(path)
        if "*" in place:
            found = system.glob(place)
        else:
            found = [place] if system.isfile(place) else system.find(place)
    if not found:
        raise ImageError(f"{path}: no such file or folder; check the spelling.")
    return [RemotePath(system.unstrip_protocol(each)) for each in found]


def fetch_remote(paths: list[Path], targets: list[Path]) -> None:
    """Copy remote files to local ones; ImageError at the first that cannot be read."""

    def fetch(path: Path, target: Path) -> None:
        target.write_bytes(read_remote(path))

    for folder in {target.parent for target in targets}:
        make_folder(folder, parents=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(fetch, paths, targets))


def _open(path: Path) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise SettingsError(f"{path} needs fsspec; pip install 'nstk[remote]'.") from error
    system, place = url_to_fs(str(path))
    return system, place


@contextmanager
def _reraise(path: Path) -> Iterator[None]:
    """Turn what file systems raise, which may be anything, into one line."""
    try:
        yield
    except (ImageError, SettingsError):
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; check the spelling.") from error
    except ImportError as error:
        raise SettingsError(f"{path}: {error}; install that package.") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"{path}: cannot be read ({reason}).") from error
