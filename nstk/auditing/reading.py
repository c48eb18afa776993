"""Every picture read once: its digest, its hash, its quality and what the network sees in it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nstk.backbones.backbone import Backbone
from nstk.errors import FolderError, PictureError, WeightsError
from nstk.finetuning.passes import BATCH, read_ahead
from nstk.finetuning.views import VIEWS, Squares, take_views
from nstk.media.duplicates import picture_hash
from nstk.media.files import digest_file
from nstk.media.listing import SkippedFile
from nstk.media.pictures import Picture, load_picture, probe_picture
from nstk.media.quality import Quality, measure_quality
from nstk.progress import Progress, Reporter, ignore

_THUMBNAIL = (32, 32)

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sight:
    """What one picture is, without its pixels.

    Attributes:
        path: The file.
        format: By content: ``"JPEG"``, ``"PNG"``, ….
        digest: SHA-256 of the file.
        hash: What `picture_hash` gives.
        thumbnail: The whole picture on a small square, uint8 ``(32, 32, 3)``.
        quality: What was measured.
    """

    path: Path
    format: str
    digest: str
    hash: int
    thumbnail: npt.NDArray[np.uint8]
    quality: Quality


def read_pictures(
    paths: Sequence[Path], backbone: Backbone, *, on_progress: Reporter = ignore
) -> tuple[list[Sight], Vectors, list[SkippedFile]]:
    """Decode every picture once; what is kept of it does not depend on its size.

    Args:
        paths: The files.
        backbone: The network that looks.
        on_progress: Told after each batch, stage ``"pictures"``.

    Returns:
        What was seen, in order; the vectors of the same pictures, ``(n, D)``; and the files that
        cannot be read.

    Raises:
        FolderError: If a file goes or changes while it is read.
        WeightsError: If the network answers with what is no number.
    """
    sights: list[Sight] = []
    vectors: list[Vectors] = [np.empty((0, backbone.embed.output_shape[-1]), np.float32)]
    skipped: list[SkippedFile] = []
    on_progress(Progress(stage="pictures", step=0, total=len(paths)))
    outcomes = read_ahead(paths, partial(_read, backbone.input_size), ahead=2 * BATCH)
    done = 0
    while batch := list(islice(outcomes, BATCH)):
        skipped += [each for each in batch if isinstance(each, SkippedFile)]
        read = [each for each in batch if not isinstance(each, SkippedFile)]
        if read:
            sights += [sight for sight, _ in read]
            squares = np.concatenate([square for _, square in read])
            vectors.append(np.asarray(backbone.embed(squares, training=False)))
        done += len(batch)
        on_progress(Progress(stage="pictures", step=done, total=len(paths)))
    seen = np.concatenate(vectors)
    if not np.isfinite(seen).all():
        raise WeightsError(
            f"'{backbone.name}' answers with infinite or undefined numbers; "
            f"its weights ({backbone.source}) are damaged, use others."
        )
    return sights, seen, skipped


def _read(size: int, path: Path) -> tuple[Sight, Squares] | SkippedFile:
    """What there is to know about a picture, and its square for the network."""
    before = _state(path)
    try:
        pixels = load_picture(path).pixels
        sight = Sight(
            path=path,
            format=probe_picture(path, whole=False),
            digest=digest_file(path),
            hash=picture_hash(pixels),
            thumbnail=_shrink(pixels),
            quality=measure_quality(pixels),
        )
        square = take_views(pixels, size, VIEWS[:1])
    except PictureError as error:
        if _state(path) == before:
            return SkippedFile(path, str(error).removeprefix(f"{path}: "))
        raise _changed(path) from error
    except OSError as error:
        raise _changed(path) from error
    if _state(path) != before:
        raise _changed(path)
    return sight, square


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file does; None where there is nothing at all."""
    try:
        status = os.stat(path)
    except OSError:
        # A link to nothing is a file that cannot be read, not one that has gone.
        return (0,) if os.path.lexists(path) else None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _changed(path: Path) -> FolderError:
    return FolderError(
        f"{path} changed while it was read; leave the pictures alone while they are audited, "
        "and start again."
    )


def _shrink(pixels: Picture) -> npt.NDArray[np.uint8]:
    image = Image.fromarray(np.uint8(np.rint(pixels * 255)))
    return np.asarray(image.resize(_THUMBNAIL, Image.Resampling.BILINEAR))
