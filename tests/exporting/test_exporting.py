"""Every export predicts like the original, in a fresh process, or leaves nothing behind."""

import json
import re
import shutil
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from flatbuffers.number_types import Float32Flags, Int8Flags, Uint32Flags
from flatbuffers.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import InProcess
from labeled_images import COLORS, draw_image, save_turned
from PIL import Image
from shell import ROOT, complaint, invoke
from tensorflow.lite.python import schema_py_generated as schema

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction.job import predict
from nstk.errors import ExportError, ImageError, OutputError, SettingsError
from nstk.exporting import job, reload
from nstk.exporting.job import FORMATS, calibrate, export
from nstk.exporting.saved_model import apply_orientation, decode_upright, read_orientation
from nstk.exporting.verification import (
    Agreement,
    SampleSet,
    find_recorded,
    find_samples,
    measure_agreement,
    synthesize_image,
    verify,
)
from nstk.finetuning.replay import save_manifest
from nstk.heads.decisions import Argmax
from nstk.images.loading import load_levels
from nstk.progress import no_progress

CLASSES = ("class 10", "Ä\u2028meise", "蜂")


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr("nstk.exporting.verification._start", InProcess)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("format", FORMATS)
def test_an_export_predicts_like_the_original(exported, format):
    made = exported(format)
    assert made.images == 6
    assert made.image_source == "given"
    assert made.bytes > 1000
    assert f"Export({format}," in repr(made)
    if format == "tflite-int8":
        assert made.agreement >= 0.8
    else:
        assert made.agreement == 1
        assert made.max_probability_difference <= FORMATS[format].tolerance
    if format.startswith("tflite"):
        assert zipfile.ZipFile(made.path).namelist() == ["labels.txt"]
    if format == "keras":
        assert Classifier.load(made.path).classes == CLASSES
    assert [entry.name for entry in made.path.parent.iterdir()] == [made.path.name]


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_int8_uses_all_of_an_image_larger_than_those_of_calibration(classifier, exported):
    path = exported("tflite-int8").path
    # Another color in the corner: an int8 graph that clips sizes would see only that.
    large = draw_image(COLORS["red"], 700, 700, 3)
    large[:150, :150] = COLORS["blue"]
    interpreter = tf.lite.Interpreter(str(path))
    [answer] = interpreter.get_signature_runner()(images=large[np.newaxis]).values()
    expected = classifier.model(large[np.newaxis]).numpy()
    assert np.abs(answer - expected).max() < 0.1
    kinds = {each["dtype"] for each in interpreter.get_tensor_details()}
    assert np.int8 in kinds
    assert path.stat().st_size < 60_000


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize(
    ("format", "error"),
    [("tflite", 1e-4), pytest.param("tflite-int8", 0.1, marks=pytest.mark.slow)],
)
def test_a_fixed_size_is_an_input_without_resizing(
    color_classifier, images, tmp_path, in_process, format, error
):
    path = tmp_path / "model.tflite"
    options = {"size": 48, "max_images": 4, "min_agreement": 0.5}
    made = export(color_classifier, format, path, images=images, **options)
    assert made.images == 4
    assert made.agreement == 1 or format == "tflite-int8"
    interpreter = tf.lite.Interpreter(str(path))
    [entry], [answer] = interpreter.get_input_details(), interpreter.get_output_details()
    assert entry["shape"].tolist() == [1, 48, 48, 3]
    assert answer["shape"].tolist() == [1, 3]
    interpreter.allocate_tensors()
    image = draw_image(COLORS["red"], 48, 48, 1)[np.newaxis]
    interpreter.set_tensor(entry["index"], image)
    interpreter.invoke()
    expected = color_classifier.model(image).numpy()
    assert interpreter.get_tensor(answer["index"]) == pytest.approx(expected, abs=error)
    assert read_image_size(path) == (48, 48)


@pytest.mark.parametrize("format", ["keras", "savedmodel", "onnx"])
def test_other_formats_have_no_fixed_size(classifier, tmp_path, format):
    path = tmp_path / f"model{FORMATS[format].extension}"
    with pytest.raises(SettingsError, match="size"):
        export(classifier, format, path, size=48)
    assert not list(tmp_path.iterdir())


def find_metadata(path):
    """The root of the table that Android's readers look for; see tflite-support's schema."""
    model = schema.Model.GetRootAs(path.read_bytes())
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    [buffer] = [each.Buffer() for each in entries if each.Name() == b"TFLITE_METADATA"]
    content = model.Buffers(buffer).DataAsNumpy().tobytes()
    assert content[4:8] == b"M001"
    return Table(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0))


def child(table, slot):
    return Table(table.Bytes, table.Indirect(table.Pos + table.Offset(4 + 2 * slot)))


def children(table, slot):
    offset = table.Offset(4 + 2 * slot)
    start = table.Vector(offset)
    places = range(start, start + 4 * table.VectorLen(offset), 4)
    return [Table(table.Bytes, table.Indirect(place)) for place in places]


def text(table, slot):
    return table.String(table.Pos + table.Offset(4 + 2 * slot)).decode()


def number(table, slot, kind):
    return table.Get(kind, table.Pos + table.Offset(4 + 2 * slot))


def floats(table, slot):
    return table.GetVectorAsNumpy(Float32Flags, table.Offset(4 + 2 * slot)).tolist()


def read_image_size(path):
    [graph] = children(find_metadata(path), 3)
    [image] = children(graph, 2)
    size = child(child(child(image, 3), 1), 1)
    return number(size, 0, Uint32Flags), number(size, 1, Uint32Flags)


def test_a_tflite_file_says_how_to_read_it(exported):
    path = exported("tflite").path
    [graph] = children(find_metadata(path), 3)
    [image], [scores] = children(graph, 2), children(graph, 3)
    assert (text(image, 0), text(scores, 0)) == ("image", "probability")
    content = child(image, 3)
    assert number(content, 0, Int8Flags) == 2  # ImageProperties
    assert number(child(content, 1), 0, Int8Flags) == 1  # RGB
    [unit] = children(image, 4)
    assert number(unit, 0, Int8Flags) == 1  # NormalizationOptions
    assert (floats(child(unit, 1), 0), floats(child(unit, 1), 1)) == ([0.0], [1.0])
    [labels] = children(scores, 6)
    assert number(labels, 2, Int8Flags) == 2  # TENSOR_AXIS_LABELS
    stored = zipfile.ZipFile(path)
    assert stored.getinfo(text(labels, 0)).compress_type == zipfile.ZIP_STORED
    assert stored.read(text(labels, 0)).decode().split("\n") == [*CLASSES, ""]


def test_an_export_is_verified_in_a_fresh_process(classifier, exported):
    samples = find_samples(None, 0)
    found = verify("onnx", 1e-4, exported("onnx").path, classifier, samples, 4, no_progress)
    assert (found.images, found.agreement) == (4, 1)
    assert found.max_probability_difference < 1e-4


def test_the_classifier_is_unsure_about_some_images(classifier, images):
    confidences = []
    for path in sorted(images.glob("*.png"))[:7]:
        confidences.append(classifier.model(load_levels(path)[np.newaxis]).numpy().max())
    assert min(confidences) < 0.95  # a classifier that is always sure would hide differences


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("import sys; sys.exit('no such opcode')", "no such opcode"),
        (
            "import json, sys, numpy as np; sys.stdin.buffer.read(); np.savez(sys.argv[3], "
            "classes=json.dumps(['b', 'a']), probabilities=np.zeros((1, 1, 3), 'f4'))",
            "'b', 'a'",
        ),
    ],
)
def test_an_export_that_does_not_open_or_has_other_classes_is_not_kept(
    classifier, tmp_path, monkeypatch, script, named
):
    (tmp_path / "script.py").write_text(script)
    monkeypatch.setattr("nstk.exporting.verification._SCRIPT", tmp_path / "script.py")
    monkeypatch.setattr(
        "nstk.exporting.job.write_tflite", lambda _, path, *rest: path.write_bytes(b"nothing")
    )
    with pytest.raises(ExportError, match=named):
        export(classifier, "tflite", tmp_path / "model.tflite", max_images=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["script.py"]


def pretend(monkeypatch, agreement):
    monkeypatch.setattr("nstk.exporting.job.verify", lambda *_: agreement)
    monkeypatch.setattr(
        "nstk.exporting.job.write_tflite", lambda _, path, *rest: path.write_bytes(b"model")
    )


@pytest.mark.parametrize(
    ("format", "agreement"),
    [
        ("tflite", Agreement(200, 0.995, 1e-5)),
        ("tflite", Agreement(200, 1.0, 1e-3)),
        ("tflite-int8", Agreement(200, 0.965, 0.1)),
    ],
)
def test_an_export_that_predicts_differently_is_not_kept(
    classifier, tmp_path, monkeypatch, format, agreement
):
    pretend(monkeypatch, agreement)
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    with pytest.raises(ExportError) as caught:
        export(classifier, format, path)
    assert f"{agreement.agreement:.2%} of 200 images" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old"]


def test_the_agreement_needed_is_a_setting(classifier, tmp_path, monkeypatch):
    pretend(monkeypatch, Agreement(200, 0.965, 0.1))
    path = tmp_path / "model.tflite"
    made = export(classifier, "tflite-int8", path, min_agreement=0.96)
    assert (made.agreement, made.images, made.image_source) == (0.965, 200, "synthetic")
    assert path.read_bytes() == b"model"


@pytest.mark.parametrize(
    ("format", "name", "named"),
    [
        ("tflite", "model.onnx", r"model\.tflite"),
        ("keras", "model", r"model\.keras"),
        ("onnx", "missing/model.onnx", "missing"),
        ("tflite", "folder.tflite", "folder.tflite"),
        ("savedmodel", "file", "file"),
        ("savedmodel", "folder.tflite", "folder.tflite"),
        ("savedmodel", "foreign", "foreign"),
        ("savedmodel", "missing/model", "missing"),
    ],
)
def test_an_unwritable_path_is_refused_before_any_work(
    classifier, tmp_path, monkeypatch, format, name, named
):
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder.tflite").mkdir()
    (tmp_path / "folder.tflite" / "thesis.txt").write_text("text")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "saved_model.pb").write_bytes(b"of another program")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("nstk.exporting.job.find_samples", None)
    with pytest.raises(OutputError, match=named):
        export(classifier, format, tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_older_savedmodel_is_replaced_and_an_empty_folder_filled(
    classifier, tmp_path, monkeypatch
):
    def write(_, folder):
        folder.mkdir()
        (folder / "saved_model.pb").write_bytes(b"new")

    pretend(monkeypatch, Agreement(1, 1.0, 0.0))
    monkeypatch.setattr("nstk.exporting.job.write_saved_model", write)
    (tmp_path / "empty").mkdir()
    (tmp_path / "older" / "assets").mkdir(parents=True)
    (tmp_path / "older" / "assets" / "labels.txt").write_bytes(b"old")
    for name in ("empty", "older", "new"):
        export(classifier, "savedmodel", tmp_path / name)
    assert len(list(tmp_path.rglob("*"))) == 6
    assert {path.read_bytes() for path in tmp_path.glob("*/saved_model.pb")} == {b"new"}


def test_a_full_disk_leaves_the_older_folder(classifier, tmp_path, monkeypatch):
    def fail(_, folder):
        folder.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nstk.exporting.job.write_saved_model", fail)
    labels = tmp_path / "older" / "assets" / "labels.txt"
    labels.parent.mkdir(parents=True)
    labels.write_bytes(b"old")
    with pytest.raises(OutputError, match="No space left"):
        export(classifier, "savedmodel", tmp_path / "older")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [labels]


def test_a_missing_module_is_named_with_the_extra_to_install(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(
        job, "find_spec", lambda name: None if name == "tf2onnx" else find_spec(name)
    )
    with pytest.raises(ExportError) as caught:
        export(classifier, "onnx", tmp_path / "model.onnx")
    assert "tf2onnx" in str(caught.value)
    assert "nstk[onnx]" in str(caught.value)


def test_unknown_formats_and_values_out_of_range_are_refused(classifier, tmp_path):
    with pytest.raises(ExportError, match="keras, savedmodel, tflite, tflite-int8, onnx"):
        export(classifier, "pickle", tmp_path / "model.pkl")
    for options in ({"min_agreement": 1.1}, {"max_images": 0}):
        with pytest.raises(SettingsError):
            export(classifier, "keras", tmp_path / "model.keras", **options)
    assert not list(tmp_path.iterdir())


def test_the_documented_ood_score_is_that_of_predict(classifier, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    [script] = [each for each in re.findall(r"```python\n(.*?)```", text, re.S) if "rest" in each]
    classifier.save(tmp_path / "insects.keras")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(script, names)
    [prediction] = predict(classifier, np.zeros((480, 640, 3), np.uint8)).predictions
    assert names["ood_score"] == pytest.approx([prediction.ood_score], rel=1e-4)
    assert names["probabilities"].max() == pytest.approx(prediction.probability, abs=1e-5)


def test_every_format_can_be_opened():
    assert set(FORMATS) == set(reload.OPENERS)


def test_bad_input_is_one_line_and_nothing_written(classifier, folder, tmp_path):
    model = classifier.save(tmp_path / "model.keras")
    (tmp_path / "empty").mkdir()
    (tmp_path / "short.keras").write_bytes(model.read_bytes()[:2000])
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n and so on")
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out.tflite"
    for arguments, named in [
        ((tmp_path / "short.keras", "--to", "tflite", "-o", out), "short.keras"),
        ((tmp_path / "model.h5", "--to", "tflite", "-o", out), "model.h5"),
        ((model, "--to", "tflite", "-o", tmp_path / "out"), r"out.tflite"),
        ((model, "--to", "coreml", "-o", out), "coreml"),
        ((model, "--to", "tflite", "-o", out, "--min-agreement", "2"), "--min-agreement"),
        ((model, "--to", "tflite", "-o", out, "--images", tmp_path / "empty"), "empty"),
        ((model, "--to", "tflite", "-o", out, "--images", tmp_path / "none"), "none"),
    ]:
        result = invoke("export", *arguments)
        assert result.exit_code == 2
        assert named in complaint(result)
    assert sorted(tmp_path.rglob("*")) == before


def test_json_has_exactly_the_fixed_keys(classifier, tmp_path, monkeypatch):
    model = classifier.save(tmp_path / "model.keras")
    pretend(monkeypatch, Agreement(64, 1.0, 1e-6))
    out = tmp_path / "model.tflite"
    result = invoke("export", model, "--to", "tflite", "-o", out, "--json", "-q")
    answer = json.loads(result.stdout)
    assert answer.pop("deterministic") in (True, False)
    assert answer == {
        "format": "tflite",
        "path": str(out),
        "bytes": 5,
        "agreement": 1.0,
        "max_probability_difference": 1e-6,
        "images": 64,
    }
    assert result.stderr == ""


@given(st.integers(1, 20), st.integers(1, 3), st.integers(2, 5), st.integers(0, 99))
def test_equal_probabilities_agree_and_the_worst_signature_counts(
    images, signatures, classes, seed
):
    expected = np.random.default_rng(seed).dirichlet(np.ones(classes), images).astype("f4")
    probabilities = np.repeat(expected[:, np.newaxis], signatures, axis=1)
    assert measure_agreement(expected, probabilities, Argmax(), None) == Agreement(images, 1.0, 0.0)
    probabilities[0, -1] = np.eye(classes)[expected[0].argmin()]
    worst = measure_agreement(expected, probabilities, Argmax(), None)
    assert worst.agreement == pytest.approx((images - 1) / images)
    assert worst.max_probability_difference == pytest.approx(1 - expected[0].min())
    probabilities[0, -1] = np.nan
    assert (
        measure_agreement(expected, probabilities, Argmax(), 1e-5).max_probability_difference >= 0.5
    )


def test_equally_likely_classes_agree_within_the_tolerance():
    expected, probabilities = np.float32([[0.5, 0.5]]), np.float32([[[0.499999, 0.500001]]])
    assert measure_agreement(expected, probabilities[..., ::-1], Argmax(), 1e-5).agreement == 1
    assert measure_agreement(expected, probabilities, Argmax(), 1e-5).agreement == 1
    apart = np.float32([[0.51, 0.49]])
    assert measure_agreement(apart, probabilities, Argmax(), 1e-5).agreement == 0


def test_synthetic_images_are_reproducible_and_of_many_sizes():
    drawn = [each() for each in find_samples(None, 3).readers[:10]]
    again = [each() for each in find_samples(None, 3).readers[:10]]
    assert len({each.shape for each in drawn}) == 10
    for one, other in zip(drawn, again, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.uint8
        assert one.std() > 20


def test_synthetic_images_are_smooth_like_photographs():
    image = synthesize_image(1).astype(float)
    assert np.abs(np.diff(image, axis=0)).mean() < image.std() / 2


def test_calibration_uses_other_images_than_verification_if_it_can():
    kept = [np.full((1, 1, 3), number, np.uint8) for number in range(4)]

    def chosen(asked, *readable):
        readers = [lambda number=n: kept[number] if number in readable else None for n in range(4)]
        return [int(each.max()) for each in calibrate(SampleSet("given", readers), asked)]

    assert chosen(2, 0, 1, 2, 3) == [2, 3]
    assert chosen(2, 0, 1, 3) == [3]
    assert chosen(2, 0, 1) == [0, 1]
    assert chosen(4, 0, 1) == [0, 1]


def test_images_come_in_random_order_without_other_files(images):
    samples = find_samples([images, images / "0.png"], 0)
    assert len(samples.readers) == 30
    assert len(list(samples.read())) == 29
    orders = {tuple(each.args[0] for each in find_samples(images, s).readers) for s in (0, 1)}
    assert len(orders) == 2


def test_images_that_are_not_there_are_an_error(images, tmp_path):
    for place in (tmp_path, tmp_path / "missing", images / "notes.txt", []):
        with pytest.raises(ImageError):
            find_samples(place, 0)


@pytest.fixture(scope="module")
def run(color_folder, color_result, tmp_path_factory):
    """The images, the record and the result of a run."""
    record = tmp_path_factory.mktemp("run") / "model.json"
    return color_folder, save_manifest(color_result, record, backbone="compact"), color_result


def test_the_images_of_a_run_are_found_from_its_record_held_out_ones_first(run):
    data, record, made = run
    samples = find_recorded(record, made.classifier, 0)
    assert samples.source == "recorded"
    held_out = [file.path for file in made.files if file.split != "train"]
    expected = {load_levels(data / path).tobytes() for path in held_out}
    images = [each.tobytes() for each in samples.read()]
    assert len(images) == len(made.files) == 24
    assert set(images[: len(held_out)]) == expected


def test_changed_and_missing_images_are_left_out(run, tmp_path):
    data, record, made = run
    copy = shutil.copytree(data, tmp_path / "data")
    card = json.loads(record.read_text())
    card["given"]["data"] = str(copy)
    moved = tmp_path / "model.json"
    moved.write_text(json.dumps(card))
    changed, gone = (copy / file.path for file in made.files[:2])
    changed.write_bytes((copy / made.files[2].path).read_bytes())
    gone.unlink()
    assert len(list(find_recorded(moved, made.classifier, 0).read())) == 22
    for path in copy.rglob("*.*"):
        path.write_bytes(b"")
    assert find_recorded(moved, made.classifier, 0) is None
    shutil.rmtree(copy)
    assert find_recorded(moved, made.classifier, 0) is None


def test_the_record_of_another_classifier_is_ignored(run, tmp_path):
    _, record, made = run
    assert find_recorded(record, replace(made.classifier, classes=CLASSES[::-1]), 0) is None
    assert find_recorded(record, replace(made.classifier, backbone={}), 0) is None
    assert find_recorded(record, replace(made.classifier, results={}), 0) is None
    assert find_recorded(tmp_path / "missing.json", made.classifier, 0) is None
    card = json.loads(record.read_text())
    for damage in ({"files": [1]}, {"backbone": []}, {"given": {}}, {"settings": None}):
        (tmp_path / "model.json").write_text(json.dumps(card | damage))
        assert find_recorded(tmp_path / "model.json", made.classifier, 0) is None


def test_an_export_is_verified_with_the_images_of_the_run(run, tmp_path, monkeypatch):
    _, record, made = run
    pretend(monkeypatch, Agreement(24, 1.0, 0.0))
    path = tmp_path / "model.tflite"
    assert export(made.classifier, "tflite", path, record=record).image_source == "recorded"
    given = export(made.classifier, "tflite", path, record=record, images=run[0])
    assert given.image_source == "given"
    model = made.classifier.save(tmp_path / "model.keras")
    shutil.copy(record, tmp_path)
    printed = invoke("export", model, "--to", "tflite", "-o", path, "-q").stdout
    assert "24 images from its training run" in printed


@pytest.fixture(scope="module")
def decode():
    return tf.function(decode_upright, input_signature=[tf.TensorSpec((), tf.string)])


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_encoded_photographs_is_applied(decode, tmp_path, orientation, endian):
    path = save_turned(tmp_path / "a.jpg", orientation, endian)
    np.testing.assert_array_equal(decode(path.read_bytes()).numpy(), load_levels(path))


def test_encoded_images_of_other_modes_are_decoded_alike(decode, images):
    for seed in range(14):
        if seed % 7 != 6:  # 16 bits are truncated by TensorFlow and rounded by nstk
            path = images / f"{seed}.png"
            np.testing.assert_array_equal(decode(path.read_bytes()).numpy(), load_levels(path))


def test_transparent_images_lie_on_the_same_ground_as_elsewhere(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (9, 7, 4)).astype(np.uint8)
    rgba = Image.fromarray(levels)
    rgba.save(tmp_path / "rgba.png")
    rgba.convert("LA").save(tmp_path / "gray.png")
    palette = Image.fromarray(levels[..., 0] // 128)
    palette.putpalette([200, 0, 0, 0, 90, 0])
    palette.save(tmp_path / "palette.png", transparency=bytes([70, 255]))
    red = (255, 0, 0)
    for path in tmp_path.iterdir():
        content = tf.constant(path.read_bytes())
        np.testing.assert_array_equal(decode_upright(content).numpy(), load_levels(path))
        found = decode_upright(content, red).numpy()
        np.testing.assert_array_equal(found, load_levels(path, background=red))


@pytest.fixture(scope="module")
def orientation_of():
    return tf.function(read_orientation, input_signature=[tf.TensorSpec((), tf.string)])


@settings(max_examples=40)
@given(st.binary(max_size=60), st.integers(0, 200))
def test_damaged_exif_data_is_ignored(orientation_of, tail, cut):
    header = b"\xff\xd8\xff\xe1\x00\x40Exif\0\0"
    valid = header + b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + bytes(9)
    for content in (header + tail, valid[:cut] or b"\0", valid + tail):
        assert 1 <= int(orientation_of(content)) <= 8
    assert int(orientation_of(valid)) == 6


def test_orientations_are_those_of_load_image():
    from nstk.images.loading import _UPRIGHT

    pixels = tf.reshape(tf.range(60), (4, 5, 3))
    for orientation, turn in _UPRIGHT.items():
        turned = apply_orientation(pixels, tf.constant(orientation)).numpy()
        np.testing.assert_array_equal(turned, turn(pixels.numpy()))
