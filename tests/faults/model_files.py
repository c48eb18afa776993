"""Styles, arrays, checkpoints, weights, classifiers and cached features."""

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from image_files import Made, draw
from table_files import LEFT_OUT

from nstk.errors import NstkError


def make_styles() -> Made:
    import tensorflow as tf

    from nstk.stylization.statistics import Statistics
    from nstk.stylization.styles import SavedStyle, load_style, write_style

    sums = Statistics(tf.eye(3), tf.ones(3), tf.constant(9.0))
    network = {"backbone": "tiny", "digest": "0" * 64, "pooling": "max"}
    style = SavedStyle("waves", network, {size: {"one": sums} for size in (32, 64)})
    path = write_style(style, "whole.nstyle", ["waves.png"])
    return [path.read_bytes()], load_style


def make_array_files() -> Made:
    from nstk.storage.array_files import read_arrays, write_arrays

    arrays = {"a": np.arange(6.0).reshape(2, 3), "b/c": np.zeros((2, 2), np.uint8)}
    write_arrays(Path("whole"), "facts.json", {"one": [1, {"two": None}]}, arrays)

    def read(path):
        try:  # as every caller does
            return read_arrays(path, "facts.json", limit=2**20)
        except (OSError, ValueError) as error:
            raise NstkError(str(error)) from error

    return [Path("whole").read_bytes()], read


def make_checkpoints() -> Made:
    """Checkpoints with valid digests for any content, so that all of it is read."""
    import keras

    from nstk.backbones.backbone import Backbone
    from nstk.backbones.packaged import build_compact
    from nstk.settings import CheckpointSettings, StylizeSettings
    from nstk.storage import checkpoints
    from nstk.stylization.job import stylize

    keras.utils.set_random_seed(7)
    network = Backbone("tiny", build_compact(widths=(4, 6), depths=(1, 1)), 32, "seeded")
    image = draw((32, 24))
    settings = StylizeSettings(size=32, steps=2, scales=1)
    states = CheckpointSettings(checkpoint="states", checkpoint_every=1)
    stylize(image, image, backbone=network, settings=settings, checkpoints=states)
    whole = [path.read_bytes() for path in sorted(Path("states").glob("*.checkpoint"))]
    [identity] = {json.dumps(_facts(each)["run"]) for each in whole}
    identity = checkpoints.RunIdentity(**json.loads(identity))
    from nstk.stylization import resumption
    from nstk.stylization.task import StyleTransferTask

    tasks = []
    start = StyleTransferTask.start
    StyleTransferTask.start = lambda self: tasks.append(self) or start(self)
    stylize(image, image, backbone=network, settings=settings)
    StyleTransferTask.start = start
    again = CheckpointSettings(checkpoint="again", resume=True)
    Path("again").mkdir()

    def read(path):
        content = _seal(path.read_bytes(), checkpoints)
        target = Path("again", "step-00000001.checkpoint")
        target.write_bytes(content)
        try:
            with checkpoints.CheckpointFolder(again) as folder:
                state = folder.find(identity)
                if state is None:
                    raise LEFT_OUT
                plan = resumption.read_plan(state)
                with checkpoints.reraise_as_checkpoint_error():
                    resumption.ResumableRun(tasks[0], plan).restore(state)
        finally:
            target.unlink(missing_ok=True)

    return whole, read


def _facts(content: bytes) -> dict:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read("checkpoint.json"))


def _seal(content: bytes, checkpoints) -> bytes:
    """The same with a digest that is right, where enough of it can be read for that."""
    from nstk.storage.array_files import read_arrays, write_arrays

    try:
        Path("unsealed").write_bytes(content)
        facts, arrays = read_arrays(Path("unsealed"), checkpoints.TITLE, limit=2**24)
        facts.pop("digest", None)
        facts["digest"] = checkpoints._digest(facts, arrays)
        write_arrays(Path("unsealed"), checkpoints.TITLE, facts, arrays)
        return Path("unsealed").read_bytes()
    except Exception:  # what cannot be sealed is read as it is
        return content
    finally:
        Path("unsealed").unlink(missing_ok=True)


def make_weights(write: str) -> Callable[[], Made]:
    """Weights files as one of the functions of ``tests/weights_files.py`` writes them."""

    def make():
        import keras
        import weights_files

        from nstk.backbones.packaged import build_compact
        from nstk.backbones.weights import assign_weights, open_weights

        keras.utils.set_random_seed(7)
        network = build_compact(widths=(2, 3), depths=(1, 1))
        extension = {"npz": ".npz", "keras": ".weights.h5", "published": ".h5"}[write]
        place = Path(f"whole{extension}")
        getattr(weights_files, f"write_{write}")(place, network)
        whole = place.read_bytes()
        place.unlink()

        def read(path):
            with open_weights(path) as stored:
                assign_weights(network, stored, name="tiny", origin=str(path))

        return [whole], read

    return make


def make_classifiers() -> Made:
    import keras
    from drawn_classifier import build_classifier

    from nstk.backbones.backbone import Backbone
    from nstk.backbones.loading import open_classifier
    from nstk.backbones.packaged import build_compact
    from nstk.classifiers.classifier import Classifier

    keras.utils.set_random_seed(7)
    network = Backbone("tiny", build_compact(widths=(2, 3), depths=(1, 1)), 8, "seeded")
    made = build_classifier(network, 8, 1.0)
    made = dataclasses.replace(made, backbone={**made.backbone, "input_size": 8})
    made.save("whole.keras")
    whole = Path("whole.keras").read_bytes()

    def read(path):
        refusal = None
        for each in (Classifier.load, open_classifier):
            try:
                each(path)
            except NstkError as error:
                refusal = error
        if refusal:
            raise refusal

    return [whole], read


def make_cached() -> Made:
    """Rows of features under the right digest of wrong bytes."""
    from nstk.features.cache import FeatureCache, _list_files

    cache = FeatureCache("cache")
    shelf = cache.shard({"what": "test"})
    for number in range(3):
        shelf.add(f"{number:064x}", np.full(5, number, np.float32))
    cache.close()
    [place] = Path("cache").rglob("*.rows")
    whole = place.read_bytes()
    place.unlink()

    def read(path):
        content = path.read_bytes()
        target = place.with_name(hashlib.sha256(content).hexdigest() + place.suffix)
        target.write_bytes(content)
        try:
            shelf = FeatureCache("cache").shard({"what": "test"})
            for number in range(3):
                if shelf.find(f"{number:064x}") is None:
                    raise LEFT_OUT
        finally:
            for left in _list_files(target.parent):
                left.unlink()

    return [whole], read
