"""A labeller is small, travels to workers, and gives a row for every image."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from nstk.classifiers.labeller import Labeller
from nstk.errors import SettingsError
from nstk.images.decoding import decode


@pytest.fixture(scope="module")
def files(color_folder):
    return [str(path) for path in sorted(color_folder.glob("*/*"))[::5]]


def test_it_travels_as_a_path_and_options(color_model, color_classifier, files):
    labeller = Labeller(color_model, executor="tensorflow")
    assert labeller(files)["label"] == color_classifier.predict(files).labels
    sent = pickle.dumps(labeller)
    assert len(sent) < 1000
    assert pickle.loads(sent)(files) == labeller(files)


def test_every_row_of_a_batch_has_a_label_or_an_error(color_model, files, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    paths = [files[0], "missing.jpg", str(tmp_path / "text.jpg"), files[0], files[1]]
    batch = {"path": np.array(paths, object), "id": np.arange(5)}
    made = Labeller(color_model)(batch)
    assert list(made) == ["path", "id", "label", "probability", "ood_score", "error"]
    assert [label is None for label in made["label"]] == [False, True, True, False, False]
    assert [error is None for error in made["error"]] == [True, False, False, True, True]
    assert made["label"][0] == made["label"][3]
    assert all(0 < share <= 1 for share in made["probability"] if share is not None)


def test_arrays_and_bytes_get_the_labels_of_their_files(color_model, files):
    labeller = Labeller(color_model)
    expected = labeller(files)["label"]
    content = [Path(path).read_bytes() for path in files]
    assert labeller({"bytes": content})["label"] == expected
    pixels = [np.asarray(decode(path).image.convert("RGB")) for path in map(Path, files)]
    assert labeller(pixels)["label"] == expected


def test_an_unknown_option_is_refused_where_it_is_given():
    with pytest.raises(SettingsError, match="bach"):
        Labeller("model.keras", bach=3)


def test_ray_maps_it_over_batches(color_model, files):
    """The example of docs/scaling.md, where Ray is installed."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False)
    try:
        rows = ray.data.from_items([{"path": path} for path in files])
        labeled = rows.map_batches(
            Labeller, fn_constructor_args=(color_model,), batch_size=4, concurrency=1
        ).to_pandas()
        assert set(labeled["label"]) <= {"blue", "green", "red"}
        assert len(labeled) == len(files)
    finally:
        ray.shutdown()
