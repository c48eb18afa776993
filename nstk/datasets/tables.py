"""Reading tables of images in the formats people have: CSV, JSON Lines, JSON and COCO."""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NoReturn, TextIO

from nstk.errors import FolderError
from nstk.storage.files import check_regular
from nstk.types import Json

ANSWERED = "answered_at"
"""Column of the time of an answer in a file of `nstk label`."""

EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")

MAX_BYTES = 2**28
"""Largest size of a manifest: enough for two million images."""

_DELIMITERS = ",;\t"
_EXCEL_DELIMITER = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a line that Excel writes
_NO_TABLE = 'write one object per image, as in {"path": …, "label": …}'


@dataclass(frozen=True)
class Table:
    """The cells of every row by column, texts or values of JSON, with its number in the file."""

    path: Path
    columns: list[str]
    rows: list[tuple[int, Mapping[str, Json]]]
    unit: str = "line"

    def refuse(self, line: int, what: str, cure: str) -> NoReturn:
        raise FolderError(f"{self.path} {self.unit} {line}: {what}; {cure}.")

    def column(self, name: str) -> Iterator[Json]:
        return (cells.get(name) for _, cells in self.rows)


def read_table(path: Path) -> Table:
    """Read a file in UTF-8, or in UTF-16 with a byte-order mark."""
    try:
        check_regular(path, MAX_BYTES)
        with path.open("rb") as start:
            mark = start.read(2)
        utf16 = mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        with path.open(encoding="utf-16" if utf16 else "utf-8-sig", newline="") as file:
            return _READERS.get(path.suffix.casefold(), _read_json_lines)(path, file)
    except OSError as error:
        raise FolderError(
            f"{path} cannot be read ({error.strerror}); fix its permissions."
        ) from error
    except UnicodeError as error:
        raise FolderError(
            f"{path} is not encoded in UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from error


def _read_csv(path: Path, file: TextIO) -> Table:
    first = next(file, "")
    declared = _EXCEL_DELIMITER.fullmatch(first)
    skipped = 1 if declared else 0
    header = next(file, "") if declared else first
    delimiter = declared[1] if declared else max(_DELIMITERS, key=header.count)
    reader = csv.reader(
        chain([header], file), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        table = Table(path, [name.strip() for name in next(reader, [])], [])
        twice = [name for name, count in Counter(table.columns).items() if name and count > 1]
        if twice:
            table.refuse(1 + skipped, f"several columns {twice[0]}", "keep one of them")
        for cells in reader:
            line = reader.line_num + skipped
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(table.columns):
                table.refuse(line, f"{len(cells)} cells", f"the header has {len(table.columns)}")
            table.rows.append((line, dict(zip(table.columns, cells, strict=True))))
    except (csv.Error, TypeError) as error:
        raise FolderError(f"{path} is not a table ({error}); save it as CSV.") from error
    return table


def _read_json_lines(path: Path, file: TextIO) -> Table:
    table = Table(path, [], [])

    def parse() -> Iterator[tuple[int, Json]]:
        for line, text in enumerate(file, 1):
            try:
                if text.strip():
                    yield line, json.loads(text)
            except (ValueError, RecursionError):
                table.refuse(line, "no JSON", _NO_TABLE)

    return _add_objects(table, parse())


def _read_json(path: Path, file: TextIO) -> Table:
    try:
        value = json.load(file)
    except UnicodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{path} is not JSON; {_NO_TABLE}.") from error
    table = Table(path, [], [], unit="image")
    if isinstance(value, list):
        return _add_objects(table, enumerate(value, 1))
    if not isinstance(value, dict) or not {"images", "annotations"} <= value.keys():
        raise FolderError(f"{path} is not a list of images, nor COCO's images and annotations.")
    try:
        names = {each["id"]: each["name"] for each in value.get("categories", [])}
        labels: dict[Json, dict[Json, None]] = {each["id"]: {} for each in value["images"]}
        for each in value["annotations"]:
            label = names.get(each["category_id"], each["category_id"])
            labels[each["image_id"]][label] = None
        objects = [(each["file_name"], [*labels[each["id"]]]) for each in value["images"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise FolderError(
            f"{path}: its COCO annotations are incomplete ({error!r}); images need id and "
            "file_name, annotations image_id and category_id, categories id and name."
        ) from error
    single = all(len(found) <= 1 for _, found in objects)
    rows = [
        {"path": name, "label": (found or [None])[0] if single else found}
        for name, found in objects
    ]
    return _add_objects(table, enumerate(rows, 1))


def _add_objects(table: Table, objects: Iterable[tuple[int, Json]]) -> Table:
    """Add one row for each JSON object; their keys are the columns."""
    columns: dict[str, None] = {}
    for line, value in objects:
        if not isinstance(value, dict):
            table.refuse(line, "no JSON object", _NO_TABLE)
        columns |= dict.fromkeys(value)
        table.rows.append((line, value))
    table.columns.extend(columns)
    return table


_READERS = {".csv": _read_csv, ".tsv": _read_csv, ".json": _read_json}


def keep_latest(table: Table, path: str) -> Table:
    """Keep the last answer for each image in a file of `nstk label`, unless it was withdrawn.

    Such a file has the time of each answer in the column `ANSWERED`; a row without it withdraws
    the answers before. Other tables are returned as they are.
    """
    if ANSWERED not in table.columns:
        return table
    latest = {row.get(path): (line, row) for line, row in table.rows}
    return replace(table, rows=[each for each in latest.values() if each[1].get(ANSWERED)])
