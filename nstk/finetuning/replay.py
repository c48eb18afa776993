"""The record of a run: everything needed to repeat it and to compare the results.

It has what the result depends on (digests and splits of the files, the backbone, settings,
versions) and the results, and nothing that differs between two equal runs, such as times.
"""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nstk.backbones.loading import load_backbone
from nstk.classifiers.run_records import FORMAT, read_record
from nstk.datasets.sources import Data
from nstk.errors import ModelError
from nstk.finetuning.job import FinetuneJob
from nstk.finetuning.result import FinetuneResult
from nstk.finetuning.unfreezing.planning import NO_UNFREEZING, Plan
from nstk.images.image import VALUE_RANGE, ValueRange
from nstk.progress import Reporter, no_progress
from nstk.settings import CheckpointSettings, FinetuneSettings
from nstk.storage.checkpoints import list_versions
from nstk.storage.files import atomic_write
from nstk.types import Json


@dataclass(frozen=True, eq=False)
class Replay:
    """A repeated run.

    Attributes:
        result: The result of the repetition.
        differences: Differences from the record, one sentence each; empty if everything matches.
    """

    result: FinetuneResult
    differences: tuple[str, ...]


def save_manifest(
    result: FinetuneResult,
    path: str | Path,
    *,
    backbone: str | Path,
    weights: str | Path | None = None,
) -> Path:
    """Write the record of a run atomically; equal runs give equal bytes.

    Args:
        result: The result of `nstk.finetune`.
        path: File to write.
        backbone: Name or file of the backbone of the run, to find it again.
        weights: Its weights file, if there was one.

    Raises:
        OutputError: If it cannot be written.
    """
    card = describe_run(result)
    card["given"] = {
        "data": None if result.data is None else str(result.data),
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
    value_range: ValueRange = VALUE_RANGE,
    cache: str | Path | None = None,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
) -> Replay:
    """Repeat a run from its record, and compare the results.

    Args:
        manifest: The file that `save_manifest` wrote.
        data: The folder if it has moved, or the images if they came from memory.
        class_names: See `nstk.finetune`.
        value_range: See `nstk.finetune`.
        cache: See `nstk.finetune`.
        checkpoints: See `nstk.finetune`.
        on_progress: See `nstk.finetune`.

    Raises:
        ModelError: If the file is not a record, or its images came from memory and ``data`` is
            missing.
        NstkError: The errors of `nstk.finetune`.
    """
    old = read_record(manifest)
    given = old["given"]
    data = given["data"] if data is None else data
    if data is None:
        raise ModelError(f"{manifest}: its images came from memory; pass them as data.")
    settings = FinetuneSettings(**old["settings"])
    result = FinetuneJob(
        data=data,
        class_names=class_names,
        value_range=value_range,
        backbone=load_backbone(
            given["backbone"], weights=given["weights"], on_progress=on_progress
        ),
        settings=settings,
        cache=cache,
        checkpoints=checkpoints,
        plan=_plan(old) if settings.unfreeze_depth else None,
        on_progress=on_progress,
    ).run()
    # Through JSON and back, so that tuples and lists are the same.
    new = json.loads(json.dumps(describe_run(result)))
    return Replay(result, tuple(_compare(old, new)))


def describe_run(result: FinetuneResult) -> dict[str, Json]:
    """Inputs and results of a run, as JSON values."""
    classifier = result.classifier
    return {
        "format": FORMAT,
        "versions": {"python": platform.python_version(), **list_versions()},
        "settings": dict(classifier.settings),
        "backbone": {key: classifier.backbone[key] for key in ("name", "digest", "input_size")},
        "classes": list(classifier.classes),
        "files": [asdict(file) for file in result.files],
        "results": dict(classifier.results),
        "head": result.selection.head.digest,
    }


def _plan(old: Mapping[str, Json]) -> Plan:
    """The plan of the second stage, parts of which depended on time."""
    done = old["results"].get("second_stage")
    if not done:
        return NO_UNFREEZING
    return Plan(**{name: done[name] for name in Plan.__dataclass_fields__})


def _compare(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[str]:
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
    both = before.keys() & after.keys()
    for change, paths in {
        "gone": before.keys() - after.keys(),
        "new": after.keys() - before.keys(),
        "changed": {path for path in both if after[path] != before[path]},
    }.items():
        if paths:
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            yield f"Files that are {change}: {', '.join(sorted(paths)[:3])}{more}."


def _write(path: Path, text: str) -> None:
    # File names that are not valid text have lone surrogates, which are escaped in JSON.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
