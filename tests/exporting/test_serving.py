"""Exports work without nstk: a SavedModel, and a classifier as a layer of a model."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from labeled_images import COLORS, draw_image
from PIL import Image

from nstk.classifiers.prediction.job import predict
from nstk.images.loading import load_image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def saved(exported):
    return exported("savedmodel").path


@pytest.fixture(scope="module")
def served(saved):
    return tf.saved_model.load(saved)


def batch(height, width, count=3):
    colors = list(COLORS.values())
    return np.stack([draw_image(colors[i % 3], height, width, seed=i) for i in range(count)])


def test_signatures_are_named_by_their_inputs(served):
    assert sorted(served.signatures) == ["serve", "serve_bytes", "serve_uint8", "serving_default"]
    for name, argument, kind in [
        ("serving_default", "images", tf.float32),
        ("serve", "images", tf.float32),
        ("serve_uint8", "images", tf.uint8),
        ("serve_bytes", "encoded", tf.string),
    ]:
        signature = served.signatures[name]
        assert signature.structured_input_signature[1][argument].dtype == kind
        assert set(signature.structured_outputs) == {"probabilities", "labels"}


@pytest.mark.parametrize("size", [(1, 1), (33, 90)])
def test_decoded_images_of_any_size_and_kind_of_number_are_served(served, classifier, size):
    images = batch(*size)
    expected = classifier.model(images).numpy()
    for answer in (
        served.serve(images),
        served.serve(images.astype(np.float32)),
        served.signatures["serve"](images=tf.constant(images, tf.float32)),
        served.signatures["serve_uint8"](images=tf.constant(images)),
    ):
        assert answer["probabilities"].numpy() == pytest.approx(expected, abs=1e-5)
        names = [classifier.classes[index] for index in expected.argmax(axis=1)]
        assert [name.decode() for name in answer["labels"].numpy()] == names


def test_files_of_several_sizes_and_formats_are_served_as_one_batch(served, classifier, folder):
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".jpg"))[:8]
    assert len({load_image(path).pixels.shape for path in paths}) > 2
    encoded = tf.constant([path.read_bytes() for path in paths])
    answer = served.signatures["serve_bytes"](encoded=encoded)
    expected = predict(classifier, paths, top=1).predictions
    assert [name.decode() for name in answer["labels"].numpy()] == [p.label for p in expected]
    assert answer["probabilities"].numpy().max(axis=1) == pytest.approx(
        [each.probability for each in expected], abs=1e-5
    )


def test_a_turned_photograph_is_served_upright(served, classifier, tmp_path):
    left, right = (draw_image(COLORS[name], 60, 50, 1) for name in ("red", "blue"))
    upright = Image.fromarray(np.concatenate([left, right], axis=1))
    exif = Image.Exif()
    exif[0x0112] = 8
    turned = upright.transpose(Image.Transpose.ROTATE_270)
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    encoded = tf.constant([(tmp_path / "turned.jpg").read_bytes()])
    answer = served.signatures["serve_bytes"](encoded=encoded)["probabilities"].numpy()
    expected = predict(classifier, tmp_path, top=3).predictions[0]
    found = dict(zip(classifier.classes, answer[0], strict=True))
    assert found == pytest.approx(dict(expected.top), abs=1e-5)


def test_bytes_that_are_not_an_image_are_an_error(served):
    with pytest.raises(tf.errors.InvalidArgumentError):
        served.signatures["serve_bytes"](encoded=tf.constant([b"not an image"]))


def test_the_labels_are_an_asset(saved, classifier):
    lines = (saved / "assets" / "labels.txt").read_text(encoding="utf-8")
    assert lines == "".join(f"{name}\n" for name in classifier.classes)


def test_no_training_operations_are_served(saved):
    stored = (saved / "saved_model.pb").read_bytes()
    assert b"Random" not in stored
    assert str(ROOT).encode() not in stored


def test_the_lines_in_the_readme_run(served, folder, tmp_path, monkeypatch, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    [lines] = [block for block in blocks if "saved_model.load" in block]
    assert len(lines.splitlines()) <= 10
    (tmp_path / "demo" / "new-digits").mkdir(parents=True)
    for index, path in enumerate(sorted(folder.rglob("*.png"))[:3]):
        (tmp_path / "demo" / "new-digits" / f"{index}.png").write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tf.saved_model, "load", {"served": served}.__getitem__)
    exec(compile(lines, "README", "exec"), {})
    assert capsys.readouterr().out.count("new-digits") == 3


HIDE = """
import runpy, sys

class Hidden:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("nstk", "nstk_cli"):
            raise ImportError("nstk is hidden")

sys.meta_path.insert(0, Hidden())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert "nstk" not in sys.modules
"""


@pytest.mark.slow
def test_a_classifier_is_a_layer_without_nstk(color_model, folder, tmp_path):
    path = color_model
    data = tmp_path / "data"
    for name, source in (("cold", "blue"), ("warm", "red")):
        (data / name).mkdir(parents=True)
        for image in (folder / source).glob("*.png"):
            (data / name / image.name).write_bytes(image.read_bytes())
    script = ROOT / "examples" / "classifier_as_layer.py"
    answer = subprocess.run(
        [sys.executable, "-c", HIDE, script, path, data, "1"],
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "accuracy" in answer.stdout
    assert "['blue', 'green', 'red'] and ['cold', 'warm']" in answer.stdout
    assert "by 0.0" in answer.stdout
