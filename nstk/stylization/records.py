"""Records of finished runs: what each was made from, and its figures, beside or near its image.

A run is identified by the digest of everything it depends on: the bytes of content, styles and
initial image, the weights of the network, and all settings. A run with another digest is repeated.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.errors import ImageError, OutputError
from nstk.settings import StylizeSettings
from nstk.storage.files import atomic_write, digest_file, make_folder
from nstk.stylization.optimization import INITS
from nstk.types import Images, Json

_FORMAT = 2


def read_record(record: Path, image: Path, digest: str) -> dict[str, Json] | None:
    """The record of a finished run; None if it or its image is missing, damaged or of another."""
    try:
        facts: dict[str, Json] = json.loads(record.read_text(encoding="utf-8"))
        if facts["digest"] != digest or facts["image"] != digest_file(image):
            return None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return facts


def clear_record(record: Path) -> None:
    """Remove the record of an earlier run before its image is replaced."""
    make_folder(record.parent, parents=True)
    try:
        record.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot save runs in {record.parent}: {error.strerror}; choose another folder."
        ) from error


def write_record(record: Path, image: Path, digest: str, facts: Mapping[str, Json]) -> None:
    """Write the record of a saved image; it comes last, so that its image is always complete.

    NaN and infinity, which JSON lacks, become null.
    """
    facts = {"digest": digest, "image": digest_file(image), **facts}
    finite = json.loads(json.dumps(facts, default=list), parse_constant=lambda _: None)
    content = f"{json.dumps(finite, ensure_ascii=False)}\n".encode("utf-8", "backslashreplace")
    atomic_write(record, lambda path: path.write_bytes(content))


def digest_run(settings: StylizeSettings, backbone: Backbone, images: Mapping[str, str]) -> str:
    """SHA-256 of everything a run depends on; images are digests by name."""
    known = asdict(settings)
    if settings.init not in INITS:
        known["init"] = digest_source(settings.init)
    parts = {
        "format": _FORMAT,
        "settings": known,
        "backbone": [backbone.name, backbone.digest],
        "images": dict(images),
    }
    text = json.dumps(parts, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_source(source: Images) -> str:
    """SHA-256 of an array or a file."""
    if not isinstance(source, str | Path):
        array = np.ascontiguousarray(source)
        is_float = np.issubdtype(array.dtype, np.floating)
        value_range = getattr(source, "value_range", "") if is_float else ""
        facts = f"{array.shape} {array.dtype} {value_range}".rstrip()
        return hashlib.sha256(facts.encode() + array.tobytes()).hexdigest()
    try:
        return digest_file(source)
    except OSError as error:
        raise ImageError(
            f"{source}: cannot be read ({error.strerror}); name an image file."
        ) from error
