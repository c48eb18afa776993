"""The folder that the page works in: what may be read from it, and where results are kept."""

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from nstk.datasets.listing import PAGE_FOLDER, is_hidden, list_folder, natural_path_key
from nstk.datasets.tables import EXTENSIONS
from nstk.errors import FolderError, ImageError
from nstk.images.decoding import identify
from nstk.images.formats import EXTENSIONS as IMAGE_EXTENSIONS
from nstk.images.image import fit_size
from nstk.images.loading import load_levels
from nstk.page.commands import show_path
from nstk.storage.files import atomic_write
from nstk.types import Json

MAX_PIXELS = 60_000_000
"""Largest image that the page takes, by its header, before anything is decoded."""

MAX_FILES = 500
"""Most files of one kind that a menu of the page lists."""

_DEPTH, _MOST_ENTRIES = 3, 5000
"""How far below the folder the menus look."""

_QUALITY = 88


@dataclass(frozen=True)
class Result:
    """A finished painting: its folder, and what made it."""

    name: str
    facts: Mapping[str, Json]


class Workspace:
    """One folder; nothing outside it is read, and results are written only to ``nstk-page``."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        self.results = self.root / PAGE_FOLDER

    def resolve(self, relative: str) -> Path:
        """A path that a request names, links followed; refuse what lies outside the folder."""
        path = Path(relative)
        if "\0" in relative or path.is_absolute():
            raise FolderError(f"{relative!r} is not in this folder; choose one that is.")
        target = (self.root / path).resolve()
        if not target.is_relative_to(self.root) or not target.exists():
            raise FolderError(f"{relative!r} is not in this folder; choose one that is.")
        return target

    def show(self, path: Path) -> str:
        """A path relative to the folder."""
        return show_path(self.root, path)

    def list_folders(self) -> list[str]:
        """The folder itself and those below it."""
        return [".", *map(self.show, self._walk()[0][: MAX_FILES - 1])]

    def list_tables(self) -> list[str]:
        """Manifests and zip files in the folder."""
        files = (each for each in self._walk()[1] if each.parent == self.root)
        return [self.show(each) for each in files if each.suffix in (*EXTENSIONS, ".zip")]

    def list_images(self) -> list[str]:
        known = {each for listed in IMAGE_EXTENSIONS.values() for each in listed}
        files = [each for each in self._walk()[1] if each.suffix.casefold() in known]
        return [self.show(each) for each in files[:MAX_FILES]]

    def list_classifiers(self) -> list[str]:
        """Classifier files, those of this page first."""
        made = sorted(self.results.glob("classifiers/*.keras"), key=natural_path_key)
        found = [*made, *(each for each in self._walk()[1] if each.suffix == ".keras")]
        return [self.show(each) for each in found[:MAX_FILES]]

    def save_upload(self, name: str, content: bytes) -> Path:
        """Keep an uploaded image under a harmless name; the header is checked, nothing is decoded.

        Raises:
            ImageError: If it is not an image, or has too many pixels.
        """
        folder = self.make_folder("uploads")
        stem = re.sub(r"[^\w-]+", "-", Path(name.replace("\\", "/")).stem).strip("-")[:40]
        digest = hashlib.sha256(content).hexdigest()[:8]
        temporary = folder / f".{secrets.token_hex(8)}"
        temporary.write_bytes(content)
        try:
            header = identify(temporary, MAX_PIXELS)
            extension = IMAGE_EXTENSIONS[header.format][0]
            return temporary.replace(folder / f"{stem or 'image'}-{digest}{extension}")
        except ImageError as error:
            raise ImageError(f"{name}: {error.message_for(temporary)}.") from error
        finally:
            temporary.unlink(missing_ok=True)

    def make_folder(self, *names: str) -> Path:
        """A folder for results."""
        folder = self.results.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def name_result(self, stem: str) -> str:
        """A name for a result that no other has: when, and of what."""
        mark = secrets.token_hex(2)
        return f"{datetime.now():%Y%m%d-%H%M%S}-{stem[:40]}-{mark}"

    def list_results(self) -> Iterator[Result]:
        """Finished paintings, the newest first."""
        for record in sorted(self.results.glob("paintings/*/run.json"), reverse=True)[:MAX_FILES]:
            try:
                yield Result(record.parent.name, json.loads(record.read_text("utf-8")))
            except (OSError, ValueError):
                continue

    def result_file(self, name: str, file: str) -> Path:
        """A file of a result, which requests name by its two parts."""
        folder = self.results / "paintings"
        path = (folder / name / file).resolve()
        if is_hidden(file) or path.parent.parent != folder.resolve() or not path.is_file():
            raise FolderError(f"{file!r} is not a result; choose one that is listed.")
        return path

    def _walk(self) -> tuple[list[Path], list[Path]]:
        """Folders and files below this one, the nearest first, without links to other places."""
        folders: list[Path] = []
        files: list[Path] = []
        waiting = [(self.root, 0)]
        while waiting and len(folders) + len(files) < _MOST_ENTRIES:
            place, depth = waiting.pop(0)
            try:
                below, here = list_folder(place)
            except OSError:
                continue
            below = [each for each in below if not each.is_symlink()]
            files += [each for each in here if each.resolve().is_relative_to(self.root)]
            if depth < _DEPTH:
                folders += below
                waiting += [(each, depth + 1) for each in below]
        return folders, files


def write_json(path: Path, values: Mapping[str, Json]) -> None:
    text = json.dumps(values, ensure_ascii=False, indent=1)
    atomic_write(path, lambda target: target.write_text(text, encoding="utf-8"))


def encode_preview(path: Path, longest_side: int) -> bytes:
    """An image as JPEG, upright and in sRGB, at most so large; the file itself is never served."""
    identify(path, MAX_PIXELS)
    levels = load_levels(path, side=longest_side)
    height, width = levels.shape[:2]
    size = fit_size(height, width, min(longest_side, max(height, width)))
    image = PILImage.fromarray(np.ascontiguousarray(levels))
    if size != (height, width):
        image = image.resize(size[::-1], PILImage.Resampling.LANCZOS)
    file = BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
