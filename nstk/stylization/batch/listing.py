"""The jobs of a batch: every content in every style, each with the name of its image."""

import glob
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nstk.datasets.listing import SkippedFile, list_files
from nstk.errors import ImageError, SettingsError
from nstk.storage.files import derive_path

EXTENSION = ".png"


@dataclass(frozen=True)
class Content:
    """A content image; ``name`` is its path below the folder that was given."""

    path: Path
    name: Path


@dataclass(frozen=True)
class BatchJob:
    """One content in one style; ``name`` is the path of its image below the output folder."""

    content: Path
    style: Path
    name: Path


@dataclass(frozen=True)
class BatchPlan:
    """The jobs of a batch, and the folders that could not be searched for contents."""

    jobs: tuple[BatchJob, ...]
    skipped: tuple[SkippedFile, ...]


def plan_batch(
    contents: Sequence[Path], styles: Sequence[Path], folder: Path, *, pair: bool = False
) -> BatchPlan:
    """List the jobs of a batch whose images go to ``folder``; see `list_jobs`."""
    found, skipped = list_contents(contents, leave_out=folder)
    return BatchPlan(list_jobs(found, styles, pair=pair), skipped)


def list_contents(
    paths: Sequence[Path], *, leave_out: Path
) -> tuple[tuple[Content, ...], tuple[SkippedFile, ...]]:
    """List the content images of files, folders and patterns such as ``photos/*.jpg``, once each.

    Also returns the folders that could not be searched. Files below ``leave_out``, which results
    are written to, are no contents.
    """
    found: dict[Path, Content] = {}
    skipped: list[SkippedFile] = []
    below = leave_out.resolve()
    for path in _expand(paths):
        files, unsearched = list_files(path) if path.is_dir() else ([path], [])
        skipped += unsearched
        for file in files:
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            if not (path.is_dir() and file.resolve().is_relative_to(below)):
                found.setdefault(file, Content(file, name))
    if not found:
        raise ImageError("No content images were found; give image files, or folders of them.")
    return tuple(found.values()), tuple(skipped)


def _expand(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.exists():
            yield path
            continue
        matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(str(path)) else []
        if not matches:
            raise ImageError(f"{path}: no such file or folder; check the spelling.")
        yield from map(Path, matches)


def list_jobs(
    contents: Sequence[Content], styles: Sequence[Path], *, pair: bool = False
) -> tuple[BatchJob, ...]:
    """Combine every content with every style, or ``pair`` the first with the first and so on.

    An image is named ``CONTENT-STYLE.png``, in the content's own subfolder. Jobs whose names would
    be equal get a short digest of their inputs' paths, so that no name depends on another job.
    """
    if pair and len(contents) != len(styles):
        raise SettingsError(
            f"`pair` needs one style for each content; there are {len(contents)} contents and "
            f"{len(styles)} styles."
        )
    if pair:
        pairs = list(zip(contents, styles, strict=True))
    else:
        pairs = [(content, style) for content in contents for style in styles]
    names = [
        content.name.with_name(f"{content.name.stem}-{style.stem}") for content, style in pairs
    ]
    taken = Counter(str(name).casefold() for name in names)
    jobs = []
    for (content, style), name in zip(pairs, names, strict=True):
        ending = EXTENSION
        if taken[str(name).casefold()] > 1:
            key = f"{content.path}\0{style}".encode(errors="surrogateescape")
            ending = f"-{hashlib.sha256(key).hexdigest()[:8]}{EXTENSION}"
        # A stem may have dots: only what derive_path takes for an extension is replaced.
        jobs.append(BatchJob(content.path, style, derive_path(Path(f"{name}.x"), ending)))
    return tuple(jobs)
