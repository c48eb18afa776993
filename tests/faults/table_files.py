"""Manifests, zips of images, predictions to resume, and records of runs."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from image_files import Made, draw, save

from nstk.errors import NstkError

LEFT_OUT = NstkError("left out, and done again")
"""What stands for a refusal where a file is only kept to save work."""


def make_manifests() -> Made:
    from nstk.datasets.sources import open_catalog

    for name in ("a", "b"):
        Path(name).mkdir()
        for number in range(3):
            Path(name, f"{number}.png").write_bytes(b"")
    rows = [(f"{name}/{number}.png", name) for name in "ab" for number in range(3)]
    table = "path,label\n" + "".join(f"{path},{name}\n" for path, name in rows)
    parts = "path;split;labels\n" + "".join(f"{path};train;{name}|c\n" for path, name in rows)
    return [table.encode(), parts.encode(), b"\xef\xbb\xbf" + table.encode()], open_catalog


def make_json_manifests() -> Made:
    tables, read = make_manifests()
    rows = [line.split(",") for line in tables[0].decode().splitlines()[1:]]
    plain = [json.dumps({"path": path, "label": label}) for path, label in rows]
    several = [json.dumps({"path": path, "labels": [label, "c"]}) for path, label in rows]
    return ["\n".join(lines).encode() for lines in (plain, several)], read


def make_zips() -> Made:
    from nstk.datasets.folders import scan_folder

    packed = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name in ("a", "b"):
                for number in range(2):
                    archive.writestr(f"data/{name}/{number}.png", save(draw((6, 5)), "PNG"))
        packed.append(file.getvalue())
    return packed, scan_folder


def make_results(extension: str) -> Callable[[], Made]:
    """Files of predictions that are resumed."""

    def make():
        from nstk.classifiers.prediction.results import ResultsFile

        place = Path(f"whole{extension}")
        with ResultsFile(place, CLASSIFIER) as results:
            for number in range(3):
                results.append(predict(number))

        def read(path):
            with ResultsFile(path, CLASSIFIER, resume=True) as results:
                return results.done

        return [place.read_bytes()], read

    return make


def make_kept_predictions() -> Made:
    """Predictions in a checkpoint folder, of a run that is resumed."""
    from nstk.classifiers.prediction.resumption import NAME, saved_predictions
    from nstk.settings import CheckpointSettings

    folder = Path("states")
    with saved_predictions(CheckpointSettings(checkpoint=folder), CLASSIFIER) as kept:
        for number in range(3):
            kept.append(predict(number))

    def read(path):
        again = Path(shutil.copytree(folder, "again"))
        path.replace(again / NAME)
        try:
            resumed = CheckpointSettings(checkpoint=again, resume=True)
            with saved_predictions(resumed, CLASSIFIER) as kept:
                return kept.known
        finally:
            shutil.rmtree(again)

    return [(folder / NAME).read_bytes()], read


CLASSIFIER = SimpleNamespace(classes=("a", "b"), multi_label=False, digest="0" * 64)
"""As much of one as files of predictions ask for."""


def predict(number):
    """An answer about an image whose name is hard to write."""
    from nstk.classifiers.prediction.prediction import Prediction

    return Prediction(
        path=Path(f"images/{number}\n,.png"),
        label="a",
        probability=0.75,
        digest="1" * 64,
        labels=("a",),
        top=(("a", 0.75), ("b", 0.25)),
        ood_score=0.5,
    )


def make_records() -> Made:
    """Records of runs that can be repeated."""
    from nstk.classifiers.run_records import read_record

    record = {
        "format": 1,
        **{name: {} for name in ("settings", "versions", "results")},
        "given": {"data": "data", "backbone": "tiny", "weights": None},
        "backbone": {"name": "tiny", "digest": "0"},
        "files": [{"path": "red/0.png", "sha256": "0", "split": "train", "label": "red"}],
        "head": "0",
    }
    return [json.dumps(record).encode()], read_record


def make_swept() -> Made:
    """Records of the runs of a sweep that is resumed."""
    from nstk.storage.files import digest_file
    from nstk.sweeping.records import RunFolder

    Path("runs").mkdir()
    Path("runs/one.png").write_bytes(b"1")
    record = {
        **{"digest": "0", "image": digest_file("runs/one.png"), "backbone": "tiny"},
        **{"seconds": 1.0, "diverged": False, "terms": {"loss": 1.0}},
        **{"curves": {"loss": [1.0]}, "stages": [["64×48", 3]]},
    }
    folder, point = RunFolder(Path("runs")), SimpleNamespace(label="one")

    def read(path):
        path.replace("runs/one.json")
        try:
            if folder.find(point, "0") is None:
                raise LEFT_OUT
        finally:
            Path("runs/one.json").unlink()

    return [json.dumps(record).encode()], read
