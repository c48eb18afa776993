"""Manifests: tables of images, their labels and, optionally, their splits.

A CSV file has a header with ``path`` and ``label``, and optionally ``split``; a JSONL file has one
object with these keys per line. Paths are relative to the manifest's folder and stay inside it.
Several labels of one image are written in ``label`` or ``labels``, separated by ``|`` or ``;`` or
as a JSON array; if one image has several, every image may have any number.
"""

import codecs
import csv
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NoReturn

from nstk.datasets.catalogs import SPLIT_ORDER, Catalog, LabeledImage
from nstk.datasets.layout import SPLITS, Split
from nstk.datasets.listing import natural_key, natural_path_key, warn_similar_names
from nstk.errors import FolderError
from nstk.storage.files import check_regular
from nstk.types import Json

EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Extensions of manifests."""

MAX_BYTES = 2**28
"""Largest size of a manifest: enough for two million images."""

_COLUMNS = ("path", "label", "labels", "split")
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class _Row:
    """One line of a manifest, with its labels not yet parsed."""

    line: int
    path: str
    label: Json
    split: str


def read_manifest(path: Path, *, to_learn: bool = True) -> Catalog:
    """Read a manifest.

    Args:
        path: A ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson`` file in UTF-8, or in UTF-16 with a
            byte-order mark.
        to_learn: Whether the images are for training, which needs two classes and training images.

    Raises:
        FolderError: If it cannot be read, or a line names a file that is missing, outside the
            manifest's folder or named twice, or lacks a label, or has an unknown split.
    """
    try:
        check_regular(path, MAX_BYTES)
        with path.open(encoding=_find_encoding(path), newline="") as file:
            lines = iter(file)
            read = _read_jsonl if path.suffix.casefold() in (".jsonl", ".ndjson") else _read_csv
            plural, rows = read(path, lines)
    except OSError as error:
        raise FolderError(
            f"{path} cannot be read ({error.strerror}); fix its permissions."
        ) from error
    except UnicodeError as error:
        raise FolderError(
            f"{path} is not encoded in UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from error
    if not rows:
        raise FolderError(f"{path} names no image; write one line per image.")
    files = _find_files(path, rows)
    labels = [_labels(row.label) for row in rows]
    multi_label = plural or any(len(names) > 1 for names in labels)
    if not multi_label:
        for row, names in zip(rows, labels, strict=True):
            if not names:
                _refuse(path, row.line, f"{row.path} has no label", "give it one")
    splits = _splits(path, rows)
    classes = tuple(sorted(frozenset().union(*labels), key=natural_key))
    if to_learn:
        _check_classes(path, splits, labels, multi_label)
    places = {name: place for place, name in enumerate(classes)}
    images = [
        LabeledImage(file, tuple(sorted(places[name] for name in names)), split)
        for file, names, split in zip(files, labels, splits, strict=True)
    ]
    images.sort(key=lambda each: (each.labels, natural_path_key(each.path)))
    images.sort(key=lambda each: SPLIT_ORDER.index(each.split))
    return Catalog(
        source=path,
        root=path.parent,
        classes=classes,
        images=tuple(images),
        splits=frozenset(splits),
        multi_label=multi_label,
        notices=warn_similar_names(classes),
    )


def _find_encoding(path: Path) -> str:
    with path.open("rb") as file:
        mark = file.read(2)
    return "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _read_csv(path: Path, lines: Iterator[str]) -> tuple[bool, list[_Row]]:
    """Whether the header announces several labels, and the rows."""
    header = next(lines, "")
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        cells = next(csv.reader([header], delimiter=delimiter, strict=True), [])
        columns = [name.strip().casefold() for name in cells]
        known = [name for name in columns if name in _COLUMNS]
        if len(set(known)) < len(known) or "path" not in known or _label_key(known) is None:
            raise FolderError(
                f"{path} has the columns {', '.join(columns) or 'of an empty file'}; it needs path "
                "and label (or labels), each once, and may have split."
            )
        rows = []
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        for cells in reader:
            line = reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                _refuse(path, line, f"{len(cells)} cells", f"the header has {len(columns)}")
            rows.append(_row(path, line, dict(zip(columns, cells, strict=True))))
    except csv.Error as error:
        raise FolderError(f"{path} is not a table ({error}); save it as CSV.") from error
    return "labels" in columns, rows


def _read_jsonl(path: Path, lines: Iterator[str]) -> tuple[bool, list[_Row]]:
    rows, plural = [], False
    for line, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            _refuse(path, line, "no JSON", 'write one object, as in {"path": …, "label": …}')
        if not isinstance(value, dict):
            _refuse(path, line, "no JSON object", 'write one, as in {"path": …, "label": …}')
        key = _label_key(value)
        if not isinstance(value.get("path"), str) or key is None:
            _refuse(path, line, "no path or no label", "give both")
        plural = plural or key == "labels" or isinstance(value[key], list)
        rows.append(_row(path, line, value))
    return plural, rows


def _label_key(columns: Iterable[str]) -> str | None:
    """The column of the labels, None unless there is exactly one."""
    found = [name for name in columns if name in ("label", "labels")]
    return found[0] if len(found) == 1 else None


def _row(path: Path, line: int, cells: Mapping[str, Json]) -> _Row:
    label = cells[str(_label_key(cells))]
    if isinstance(label, str) and label.lstrip().startswith("["):
        try:
            label = json.loads(label)
        except (ValueError, RecursionError):
            _refuse(path, line, f"the labels {label} are not a JSON array", "correct them")
    for each in label if isinstance(label, list) else [label]:
        if not isinstance(each, str | int) or isinstance(each, bool):
            _refuse(path, line, f"{each!r} as a label", "write a text or a whole number")
    return _Row(line, cells["path"].strip(), label, str(cells.get("split") or "").strip())


def _labels(label: Json) -> frozenset[str]:
    names = label if isinstance(label, list) else str(label).replace(";", "|").split("|")
    tidy = (unicodedata.normalize("NFC", str(name).strip()) for name in names)
    return frozenset(name for name in tidy if name)


def _find_files(path: Path, rows: Sequence[_Row]) -> list[Path]:
    """Paths of the images; refuse those that are outside, missing or named twice."""
    lines: dict[PurePosixPath, int] = {}
    missing: list[_Row] = []
    for row in rows:
        place = _format_as_stored(path.parent, row.path)
        if not row.path or place.is_absolute() or PureWindowsPath(row.path).drive:
            _refuse(
                path, row.line, f"{row.path!r} as a path", "give one from the manifest's folder"
            )
        if ".." in place.parts or ".." in PureWindowsPath(row.path).parts:
            _refuse(path, row.line, f"{row.path} is outside the manifest's folder", "move it there")
        if place in lines:
            raise FolderError(
                f"{path} names {place} in lines {lines[place]} and {row.line}; keep one of them "
                "(write several labels of one image in one line, as in red|round)."
            )
        lines[place] = row.line
        if not os.path.exists(path.parent / place):
            missing.append(row)
    if missing:
        first, others = missing[0], len(missing) - 1
        more = f" and {others} more are missing" if others else ""
        cure = (
            "separate folders by /" if "\\" in first.path else "correct the path or remove the line"
        )
        _refuse(path, first.line, f"there is no file {path.parent / first.path}{more}", cure)
    return [path.parent / place for place in lines]


def _format_as_stored(folder: Path, name: str) -> PurePosixPath:
    """The path with its accents encoded as on the disk; macOS and Excel encode them differently."""
    spelled = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    return PurePosixPath(next((each for each in spelled if os.path.exists(folder / each)), name))


def _splits(path: Path, rows: Sequence[_Row]) -> list[Split]:
    if not any(row.split for row in rows):
        return ["train"] * len(rows)
    for row in rows:
        if row.split.casefold() not in SPLITS:
            _refuse(path, row.line, f"the split is {row.split!r}", "write train, val or test")
    return [SPLITS[row.split.casefold()] for row in rows]


def _check_classes(
    path: Path, splits: Sequence[Split], labels: Sequence[frozenset[str]], multi_label: bool
) -> None:
    found: dict[Split, set[str]] = {split: set() for split in splits}
    for split, names in zip(splits, labels, strict=True):
        found[split] |= names
    if "train" not in found:
        raise FolderError(f"{path} has no training image; give some images the split train.")
    classes = tuple(sorted(found["train"], key=natural_key))
    for split in SPLIT_ORDER[1:]:
        unknown = sorted(found.get(split, set()) - found["train"], key=natural_key)
        if unknown:
            raise FolderError(
                f"{path}: the {split} split has classes that train lacks: {', '.join(unknown)}; "
                f"rename or remove them (train has {', '.join(classes)})."
            )
    if not classes or (len(classes) == 1 and not multi_label):
        raise FolderError(
            f"{path} has {len(classes)} classes ({', '.join(classes)}); give at least two."
        )


def _refuse(path: Path, line: int, what: str, cure: str) -> NoReturn:
    raise FolderError(f"{path} line {line}: {what}; {cure}.")
