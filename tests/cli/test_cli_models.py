"""Invalid and foreign classifier files are refused by every command."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from labeled_images import draw_folder
from shell import complaint, invoke

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.inference import attach_head
from nstk.classifiers.prediction import reading
from nstk.errors import ImageError
from nstk.features.networks import build_extractor
from nstk.heads.head import Head

NAMES = ("blue", "red")


@pytest.fixture(scope="module")
def model(tiny_backbone, tmp_path_factory):
    extractor = build_extractor(tiny_backbone, 32)
    kernel = np.zeros((extractor.output.shape[-1], 2), np.float32)
    head = Head(kernel, np.zeros(2, np.float32), np.ones(1), np.empty((0, 2)))
    path = tmp_path_factory.mktemp("model") / "model.keras"
    return Classifier(attach_head(extractor, head), NAMES, 32).save(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("images"), 1, NAMES)


def copy_members(source, target, **changes):
    """Copy an archive with changed members; None omits a member."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.get(name.partition(".")[0], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def forge(source, target, **layer):
    with zipfile.ZipFile(source) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][-1].update(layer)
    return copy_members(source, target, config=json.dumps(config))


class Caught:
    """Fails the test if it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


KINDS = {
    "someone else's": (lambda model, path: copy_members(model, path, nstk=None), "nstk.json"),
    "cut short": (lambda model, path: path.write_bytes(model.read_bytes()[:-500]), "given"),
    "of a foreign class": (
        lambda model, path: forge(model, path, module="evil.layers", class_name="Dense"),
        "evil.layers.Dense",
    ),
    "with a Lambda": (
        lambda model, path: forge(model, path, class_name="Lambda"),
        "Lambda",
    ),
    "HDF5": (lambda _, path: path.write_bytes(b"\x89HDF\r\n\x1a\n and so on"), "HDF5"),
    "a pickle": (lambda _, path: path.write_bytes(pickle.dumps(Caught())), "pickle"),
    "a text": (lambda _, path: path.write_text("a text"), ".keras"),
}

COMMANDS = {
    "predict": lambda images, place: (images, "-o", place / "labels.csv"),
    "evaluate": lambda images, place: (images,),
    "explain": lambda images, place: (images, "-o", place / "why"),
    "export": lambda images, place: ("--to", "keras", "-o", place / "copy.keras"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_invalid_classifier_is_refused(model, images, tmp_path, kind, command):
    spoil, said = KINDS[kind]
    place, given = tmp_path / "place", tmp_path / "given.keras"
    place.mkdir()
    spoil(model, given)
    result = invoke(command, given, *COMMANDS[command](images, place))
    assert result.exit_code == 2
    line = complaint(result)
    assert said in line
    assert "given.keras" in line
    assert not list(place.iterdir())


@pytest.mark.parametrize("name", ["model.h5", "model.pkl"])
def test_another_extension_is_refused_whatever_the_content(model, images, tmp_path, name):
    other = tmp_path / name
    other.write_bytes(model.read_bytes())
    result = invoke("predict", other, images)
    assert result.exit_code == 2
    assert name in complaint(result)


def test_data_without_a_known_class_is_refused(model, images, tmp_path):
    for name in NAMES:
        (tmp_path / "data" / f"other {name}").mkdir(parents=True)
        for path in (images / name).iterdir():
            (tmp_path / "data" / f"other {name}" / path.name).write_bytes(path.read_bytes())
    result = invoke("evaluate", model, tmp_path / "data")
    assert result.exit_code == 2
    assert "blue, red" in complaint(result)
    assert "other blue" in complaint(result)


@pytest.mark.parametrize("command", ["predict", "explain", "export"])
def test_an_invalid_output_is_refused_before_any_work(model, images, tmp_path, command):
    place = tmp_path / "file"
    place.write_text("in the way")
    result = invoke(command, model, *COMMANDS[command](images, place))
    assert result.exit_code == 2
    assert "file" in complaint(result)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["in the way"]


def test_a_file_that_changes_while_it_is_explained_is_listed(model, images, tmp_path, monkeypatch):
    def change(path):
        raise ImageError(f"{path}: changed while it was read; wait until it is whole.")

    monkeypatch.setattr(reading, "read_content", change)
    result = invoke("explain", model, images / "red", "-o", tmp_path / "why")
    assert result.exit_code == 2
    assert "changed while it was read" in complaint(result)
    assert not (tmp_path / "why").exists()
