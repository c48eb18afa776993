"""The record of a run beside its model: enough to repeat it, and to say whether the numbers match.

It holds what the result depends on (digests of the files and their parts, the backbone, settings,
versions) and what came out, and nothing that differs between two equal runs, such as times.
"""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeGuard

from nstk.classifiers.classifier import Classifier
from nstk.datasets.sources import Data
from nstk.errors import ModelError, NstkError
from nstk.finetuning.job import finetune
from nstk.finetuning.result import FinetuneResult
from nstk.finetuning.unfreezing.planning import NOTHING, Plan
from nstk.progress import Reporter, no_progress
from nstk.settings import CheckpointSettings, FinetuneSettings
from nstk.storage.files import atomic_write, check_regular

_FORMAT = 1
_LARGEST = 2**28
_PACKAGES = ("nstk", "keras", "tensorflow", "numpy", "pillow")


@dataclass(frozen=True, eq=False)
class Replay:
    """A run that was repeated.

    Attributes:
        made: What came out this time.
        differences: What is not as it was, one sentence each; empty where all numbers match.
    """

    made: FinetuneResult
    differences: tuple[str, ...]


def save_manifest(
    made: FinetuneResult,
    path: str | Path,
    *,
    backbone: str | Path,
    weights: str | Path | None = None,
) -> Path:
    """Write the record of a run, whole or not at all; equal runs give equal bytes.

    Args:
        made: What `nstk.finetune` gave.
        path: Where to.
        backbone: What it was given as its backbone, so that it can be found again.
        weights: The weights file it was given, if any.

    Raises:
        OutputError: If it cannot be written.
    """
    card = describe_run(made)
    card["given"] = {
        "data": None if made.data is None else str(made.data),
        "backbone": str(backbone),
        "weights": None if weights is None else str(weights),
    }
    text = json.dumps(card, ensure_ascii=False, indent=1) + "\n"
    return atomic_write(path, lambda temporary: _write(temporary, text))


def replay(
    manifest: str | Path,
    *,
    data: Data | None = None,
    class_names: Sequence[str] | None = None,
    cache: str | Path | None = None,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
) -> Replay:
    """Repeat a run from its record, and compare.

    Args:
        manifest: What `save_manifest` wrote.
        data: The folder, where it has moved; the images, where they came from memory.
        class_names: See `nstk.finetune`.
        cache: See `nstk.finetune`.
        checkpoints: See `nstk.finetune`.
        on_progress: See `nstk.finetune`.

    Raises:
        ModelError: If the file is no such record, or of images from memory, which are not given.
        NstkError: Whatever `nstk.finetune` raises.
    """
    old = read_record(manifest)
    given = old["given"]
    data = given["data"] if data is None else data
    if data is None:
        raise ModelError(f"{manifest}: its images came from memory; give them as data again.")
    settings = FinetuneSettings(**old["settings"])
    made = finetune(
        data,
        class_names=class_names,
        backbone=given["backbone"],
        weights=given["weights"],
        settings=settings,
        cache=cache,
        checkpoints=checkpoints,
        plan=_plan(old) if settings.opening else None,
        on_progress=on_progress,
    )
    # Through JSON and back, so that tuples and lists are the same.
    new = json.loads(json.dumps(describe_run(made)))
    return Replay(made, tuple(_compare(old, new)))


def read_record(path: str | Path) -> dict[str, Any]:
    """Read what `save_manifest` wrote, as plain JSON says it.

    Raises:
        ModelError: If the file is no such record.
    """
    advice = "give the .json file that nstk finetune wrote beside its model"
    path = Path(path)
    try:
        check_regular(path, _LARGEST)
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {advice}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not JSON ({error}); {advice}.") from error
    if not _is_record(card):
        raise ModelError(f"{path}: is no record of a run that this nstk can read; {advice}.")
    if not card["settings"].keys() <= FinetuneSettings.__dataclass_fields__.keys():
        raise ModelError(f"{path}: has settings that this nstk does not know; {advice}.")
    return card


def find_record(path: str | Path, classifier: Classifier) -> dict[str, Any] | None:
    """Read the record of the run that made a classifier.

    Args:
        path: Where it should be.
        classifier: Whose it should be, by its classes, its backbone and its results.

    Returns:
        What `read_record` gives; None where there is no record, or another classifier's.
    """
    try:
        record = read_record(path)
    except NstkError:
        return None
    made = {
        "classes": list(classifier.classes),
        "digest": classifier.backbone.get("digest"),
        "results": json.loads(json.dumps(dict(classifier.results))),
    }
    told = {
        "classes": record.get("classes"),
        "digest": record["backbone"]["digest"],
        "results": record["results"],
    }
    return record if told == made else None


def describe_run(made: FinetuneResult) -> dict[str, Any]:
    """What a run depended on and what came out of it, as plain JSON can say it."""
    classifier = made.classifier
    return {
        "format": _FORMAT,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "settings": dict(classifier.settings),
        "backbone": {key: classifier.backbone[key] for key in ("name", "digest", "input_size")},
        "classes": list(classifier.classes),
        "files": [asdict(file) for file in made.files],
        "results": dict(classifier.results),
        "head": made.selection.head.digest,
    }


def _is_record(card: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it has the parts of a record, each of its kind."""
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        return False
    needed: dict[str, set[str]] = {
        "given": {"data", "backbone", "weights"},
        "settings": set(),
        "versions": set(),
        "backbone": {"digest"},
        "results": set(),
    }
    parts = [(card.get(name), keys) for name, keys in needed.items()]
    files = card.get("files")
    if not isinstance(files, list) or "head" not in card:
        return False
    parts += [(file, {"path", "sha256", "split"}) for file in files]
    return all(isinstance(part, dict) and keys <= part.keys() for part, keys in parts)


def _plan(old: Mapping[str, Any]) -> Plan:
    """What the second stage did, some of it by the clock."""
    done = old["results"].get("second_stage")
    return Plan(**{name: done[name] for name in Plan.__dataclass_fields__}) if done else NOTHING


def _compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name, before in old["versions"].items():
        if before != new["versions"].get(name):
            yield f"{name} is {new['versions'].get(name)}; it was {before}."
    if old["backbone"] != new["backbone"]:
        yield "The backbone has other weights."
    yield from _compare_files(old["files"], new["files"])
    for name, before in old["results"].items():
        if before != new["results"].get(name):
            yield f"{name} is {new['results'].get(name)}; it was {before}."
    if old["head"] != new["head"]:
        yield "The head has other weights."


def _compare_files(old: list[dict[str, str]], new: list[dict[str, str]]) -> Iterator[str]:
    before, after = ({file["path"]: file for file in files} for files in (old, new))
    for said, paths in (
        ("gone", sorted(before.keys() - after.keys())),
        ("new", sorted(after.keys() - before.keys())),
        (
            "changed",
            sorted(path for path in before if after.get(path, before[path]) != before[path]),
        ),
    ):
        if paths:
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            yield f"Files that are {said}: {', '.join(paths[:3])}{more}."


def _write(path: Path, text: str) -> None:
    # Names that are no text have lone surrogates, and become their escapes in JSON.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
