"""Manifests: tables of images, their labels and, optionally, their splits.

Every table has a column of files and one of labels, or one column of 0 and 1 for each label. Files
lie in the manifest's folder or below it, and may be named without folder or extension if there is
only one such file.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from nstk.datasets.catalogs import (
    SPLIT_ORDER,
    Catalog,
    NamedImage,
    Split,
    build_catalog,
    normalize,
    read_split,
)
from nstk.datasets.listing import list_files, shorten
from nstk.datasets.tables import Table, keep_latest, read_table
from nstk.errors import FolderError
from nstk.types import Json

_PATHS = (
    *("path", "file_path", "filepath", "image_path", "img_path", "file_name", "filename", "fname"),
    *("file", "image_name", "img_name", "image", "img", "image_id", "img_id", "id"),
)
_PLURAL = ("labels", "classes", "categories", "tags")
_LABELS = (
    *("labels", "label", "class", "class_name", "label_name", "category", "target", "species"),
    *_PLURAL[1:],
)
_IGNORED = ("", "index", "unnamed:_0", *_PATHS)
_SPLITS = ("split", "subset", "partition", "set")
_FLAGS: dict[str, Split] = {
    "is_valid": "validation",
    "is_val": "validation",
    "is_validation": "validation",
    "is_test": "test",
}
_SWITCHES = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_SEPARATORS = re.compile("[|;]")
_IMAGES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".avif", ".jp2", ".j2k", ".jpx"),
)


def read_manifest(path: Path, *, to_learn: bool = True) -> Catalog:
    """Read a manifest, for training or, with other classes and splits, for evaluation."""
    finder = _ImageFinder(path)
    columns = _find_columns(read_table(path), finder)
    columns = replace(columns, table=keep_latest(columns.table, columns.path))
    table = columns.table
    if not table.rows:
        raise FolderError(f"{path} names no image; write one line per image.")
    files = _find_files(columns, finder)
    cells = _label_cells(columns)
    plural = _fold(columns.labels[0]) in _PLURAL
    multi_label = plural or any(isinstance(cell, list) for cell in cells)
    images: list[NamedImage] = []
    classes: dict[Split, set[str]] = {}
    for (line, row), file, cell in zip(table.rows, files, cells, strict=True):
        names = _parse_labels(table, line, cell, plural=plural)
        if not names and not multi_label:
            table.refuse(line, f"{row[columns.path]} has no label", "give it one")
        splits = [_to_split(name, row.get(name)) or "train" for name in columns.splits]
        split = next((each for each in splits if each != "train"), SPLIT_ORDER[0])
        images.append((file, names, split))
        classes.setdefault(split, set()).update(names)
    notices = [*columns.notices, *finder.notices()]
    joined = next(filter(_SEPARATORS.search, set().union(*classes.values())), None)
    if joined and not multi_label:
        notices.append(
            f"{path}: labels such as {joined!r} are read as one label each; name their column "
            "labels if they are several."
        )
    return build_catalog(
        path, images, classes, to_learn=to_learn, multi_label=multi_label, notices=notices
    )


@dataclass(frozen=True)
class _Columns:
    """The columns of files, of labels (several of 0 and 1, one for each label) and of splits."""

    table: Table
    path: str
    labels: list[str]
    splits: list[str]
    notices: list[str]


def _find_columns(table: Table, finder: "_ImageFinder") -> _Columns:
    named = {_fold(name): name for name in reversed(table.columns)}
    path = find_path_column(table.columns)
    notices = []
    if path is None and (path := next(filter(finder.find, table.columns), None)):
        header = (1, {name: name for name in table.columns})
        table = replace(table, rows=[header, *table.rows])
        named = {"set" if _has_splits(table, name) else name: name for name in table.columns}
        notices.append(f"{table.path} has no header; its columns are taken for path and label.")
    splits = [named[name] for name in (*_SPLITS, *_FLAGS) if name in named]
    splits = [name for name in splits if _has_splits(table, name)]
    known = [named[each] for each in _LABELS if each in named]
    others = [each for each in table.columns if each not in splits and _fold(each) not in _IGNORED]
    labels = known[:1] or [each for each in others if each != path]
    if len(labels) > 1:
        labels = [name for name in labels if all(_is_on(c) is not None for c in table.column(name))]
        labels = labels if len(labels) > 1 else []
    if path is None or not labels:
        raise FolderError(
            f"{table.path} has the columns {shorten(table.columns) or 'of an empty file'}; name "
            "that of the files path and that of the labels label (or labels, if images have "
            "several)."
        )
    if len(known) > 1 or not (known or notices):
        notices.append(f"{table.path}: {shorten(labels)} is read as the label.")
    return _Columns(table, path, labels, splits, notices)


def find_path_column(columns: Iterable[str]) -> str | None:
    """The column that names the files, by its name; None without such a name."""
    named = {_fold(name): name for name in reversed([*columns])}
    return next((named[each] for each in _PATHS if each in named), None)


def _fold(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


def _is_on(cell: Json) -> bool | None:
    """The value of a cell of 0 or 1, true or false; None for others."""
    return _SWITCHES.get(str(cell).strip().casefold())


def _to_split(column: str, cell: Json) -> Split | None:
    """The split that a cell names; None if it names none."""
    flag = _FLAGS.get(_fold(column))
    if flag is None:
        return read_split(str(cell))
    is_on = _is_on(cell)
    return flag if is_on else None if is_on is None else "train"


def _has_splits(table: Table, column: str) -> bool:
    """Whether all cells name splits; those of ``split`` and of flags must, unless all are empty."""
    for line, row in table.rows:
        cell = row.get(column)
        if not _to_split(column, cell):
            if _fold(column) in ("split", *_FLAGS) and any(table.column(column)):
                cure = (
                    "write true or false" if _fold(column) in _FLAGS else "write train, val or test"
                )
                table.refuse(line, f"{column} is {cell!r}", cure)
            return False
    return True


def _label_cells(columns: _Columns) -> list[Json]:
    """The label or labels of each row."""
    if len(columns.labels) == 1:
        return list(columns.table.column(columns.labels[0]))
    found = [
        [name for name in columns.labels if _is_on(row[name])] for _, row in columns.table.rows
    ]
    return found if any(len(each) != 1 for each in found) else [each[0] for each in found]


def _parse_labels(table: Table, line: int, cell: Json, *, plural: bool) -> frozenset[str]:
    if plural and isinstance(cell, str):
        try:
            array = cell.lstrip().startswith("[")
            cell = json.loads(cell) if array else _SEPARATORS.split(cell)
        except (ValueError, RecursionError):
            table.refuse(line, f"the labels {cell} are not a JSON array", "correct them")
    names = cell if isinstance(cell, list) else [] if cell is None else [cell]
    for each in names:
        if not isinstance(each, str | int) or isinstance(each, bool):
            table.refuse(line, f"{each!r} as a label", "write a text or a whole number")
    return frozenset(filter(None, (normalize(str(each).strip()) for each in names)))


def _find_files(columns: _Columns, finder: "_ImageFinder") -> list[Path]:
    """The file of each row; refuse those that are outside, missing, unclear or named twice."""
    table = columns.table
    lines: dict[PurePosixPath, int] = {}
    missing: list[tuple[int, str]] = []
    for line, row in table.rows:
        cell = row.get(columns.path)
        name = "" if cell is None else str(cell).strip()
        if not name:
            table.refuse(line, f"{name!r} as a path", "name an image")
        if finder.is_outside(name):
            table.refuse(line, f"{name!r} is outside the manifest's folder", "move one of them")
        place, *others = finder.find(name) or [PurePosixPath()]
        if others:
            cure = "write the path with its folder"
            table.refuse(line, f"{name} may be {place} or {others[0]}", cure)
        if not place.name:
            missing.append((line, name))
        elif place in lines:
            raise FolderError(
                f"{table.path} names {place} in {table.unit}s {lines[place]} and {line}; keep one "
                "of them (write several labels of one image in one cell, as in red|round, of a "
                "column named labels)."
            )
        lines[place] = line
    if missing:
        (line, name), rest = missing[0], len(missing) - 1
        more = f" and {rest} more are missing" if rest else ""
        cure = "correct the path, put the images below the manifest's folder or remove the line"
        table.refuse(line, f"there is no image {finder.folder / name}{more}", cure)
    return [finder.folder / place for place in lines]


class _ImageFinder:
    """Finds the images that a manifest names, in its folder and below."""

    def __init__(self, manifest: Path) -> None:
        self.folder = manifest.parent
        self._stem = manifest.stem.casefold()
        self._root = PurePosixPath(os.path.abspath(self.folder))
        self._moved: dict[str, PurePosixPath] = {}

    @cached_property
    def _below(self) -> Mapping[str, list[PurePosixPath]]:
        """All files by their names, and images also by their names without extension."""
        found: dict[str, list[PurePosixPath]] = {}
        for file in list_files(self.folder)[0]:
            place = PurePosixPath(file.relative_to(self.folder).as_posix())
            for key in {place.name, place.stem if place.suffix.casefold() in _IMAGES else ""}:
                found.setdefault(normalize(key).casefold(), []).append(place)
        return found

    def is_outside(self, name: str) -> bool:
        """Whether a name leads out of the folder, to a file of this machine."""
        place = PurePosixPath(name)
        return (
            ".." in place.parts
            or ".." in PureWindowsPath(name).parts
            or (
                place.is_absolute()
                and os.path.exists(place)
                and not place.is_relative_to(self._root)
            )
        )

    def find(self, name: str) -> list[PurePosixPath]:
        """The images of this name, relative to the folder: one, none, or several candidates."""
        if not name.strip("./\\") or self.is_outside(name):
            return []
        place = PurePosixPath(name)
        if place.is_relative_to(self._root):
            place = place.relative_to(self._root)
        if not place.is_absolute() and self._is_file(place):
            return [place]
        parts = PurePosixPath(normalize(str(place)).replace("\\", "/")).parts
        if place.is_absolute() or PureWindowsPath(name).drive:
            below = (PurePosixPath(*parts[start:]) for start in range(1, len(parts)))
            found = list(filter(self._is_file, below))[:1]
            self._moved |= dict.fromkeys([name] if found else [], place)
            return found
        found = [
            each
            for each in self._below.get(parts[-1].casefold(), ())
            if tuple(map(normalize, each.parts[-len(parts) : -1])) == parts[:-1]
        ]
        # As in train.csv beside train/ and test/.
        own = [each for each in found if self._stem.startswith(each.parts[0].casefold())]
        return own if len(own) == 1 else found

    def notices(self) -> list[str]:
        """What was assumed about paths of another machine."""
        if not self._moved:
            return []
        return [
            f"{len(self._moved)} absolute paths, such as {next(iter(self._moved))}, do not exist "
            f"here and are taken for files in {self.folder}."
        ]

    def _is_file(self, place: PurePosixPath) -> bool:
        path = self.folder / place
        return os.path.exists(path) and not os.path.isdir(path)
