"""Merging the prediction files of shards into the file that one run would have written."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from heapq import merge
from pathlib import Path

from nstk.classifiers.prediction.layouts import LAYOUTS, MAX_RECORD
from nstk.classifiers.prediction.results import check_results
from nstk.errors import OutputError
from nstk.storage.files import atomic_write


def merge_predictions(sources: Sequence[Path], output: Path) -> int:
    """Merge the files of all shards, in the order of their images; return the number of images.

    Only a line of each file is in memory at a time.

    Raises:
        OutputError: If a file is no shard of this run, or is given twice.
    """
    check_results(output)
    for source in sources:
        if source.suffix != output.suffix:
            raise OutputError(f"{source} is not a {output.suffix} file as {output} is to be.")
    shards = [_Shard(source) for source in sources]
    filled = [shard for shard in shards if shard.classifier]  # others have no image
    for shard in shards:
        if shard.heading != shards[0].heading or (
            shard.classifier and shard.classifier != filled[0].classifier
        ):
            raise OutputError(
                f"{shard.path} has other columns or another classifier than the others; give "
                "shards of one run."
            )
    count = 0

    def lines() -> Iterator[bytes]:
        nonlocal count
        yield shards[0].heading
        last = -1
        for place, line in merge(*shards):
            if place == last:
                raise OutputError(
                    f"Two files have an image at position {place}; give each shard once."
                )
            last, count = place, count + 1
            yield line

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(lines())

    atomic_write(output, write)
    return count


class _Shard:
    """The file of a shard: pairs of positions, which ascend, and lines as one run writes them."""

    def __init__(self, path: Path) -> None:
        self.path, self.layout = path, LAYOUTS[path.suffix]
        records = self._records()
        self.heading = b""
        if path.suffix == ".csv":
            named = next(records, b"")
            self.heading = named.replace(b",position\r\n", b"\r\n")
            if named == self.heading:
                raise self._refuse("it is no shard: it has no column position")
        self.classifier = self._read_classifier(next(records, b""))

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        records = self._records()
        last = -1
        if self.heading:
            next(records)
        for number, record in enumerate(records, start=1):
            found = self.layout.position.search(record)
            if found is None:
                raise self._refuse(f"record {number} has no position, which --shard writes")
            place = int(found[1])
            if place <= last:
                raise self._refuse("its images are not in order; run this shard again")
            last = place
            yield place, record[: found.start()] + record[found.end() :]

    def _records(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                lines: Iterable[bytes] = iter(partial(file.readline, MAX_RECORD), b"")
                yield from self.layout(top=1).split(lines)
        except OSError as error:
            raise self._refuse(f"it cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise self._refuse(f"a record is invalid ({error})") from error

    def _read_classifier(self, record: bytes) -> str:
        """The classifier of a record, or nothing in an empty file."""
        try:
            if self.heading and record:
                text = record.decode("utf-8", "surrogateescape")
                [cells] = csv.reader(io.StringIO(text, newline=""))
                return cells[-2]
            return str(json.loads(record)["classifier"]) if record else ""
        except (csv.Error, LookupError, TypeError, ValueError) as error:
            raise self._refuse(f"a record is invalid ({error})") from error

    def _refuse(self, reason: str) -> OutputError:
        return OutputError(f"{self.path} cannot be merged: {reason}.")
