"""The record of a run beside its model: what the classifier was fitted on, and what came out."""

import json
from pathlib import Path
from typing import TypeGuard

from nstk.classifiers.classifier import Classifier
from nstk.errors import ModelError, NstkError
from nstk.settings import FinetuneSettings
from nstk.storage.files import check_regular
from nstk.types import Json

FORMAT = 1
_LARGEST = 2**28


def read_record(path: str | Path) -> dict[str, Json]:
    """Read the record that `nstk.save_manifest` wrote, as JSON values."""
    advice = "give the .json file that finetune wrote beside the model"
    path = Path(path)
    try:
        check_regular(path, _LARGEST)
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {advice}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not JSON ({error}); {advice}.") from error
    if not _is_record(card):
        raise ModelError(f"{path}: is not a record of a run in the format of this nstk; {advice}.")
    if not card["settings"].keys() <= FinetuneSettings.__dataclass_fields__.keys():
        raise ModelError(f"{path}: has settings unknown to this nstk; {advice}.")
    return card


def find_record(path: str | Path, classifier: Classifier) -> dict[str, Json] | None:
    """Read the record of the run that made a classifier; None if it is missing or another's."""
    try:
        record = read_record(path)
    except NstkError:
        return None
    expected = {
        "classes": list(classifier.classes),
        "digest": classifier.backbone.get("digest"),
        "results": json.loads(json.dumps(dict(classifier.results))),
    }
    recorded = {
        "classes": record.get("classes"),
        "digest": record["backbone"]["digest"],
        "results": record["results"],
    }
    return record if recorded == expected else None


def _is_record(card: Json) -> TypeGuard[dict[str, Json]]:
    if not isinstance(card, dict) or card.get("format") != FORMAT:
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
