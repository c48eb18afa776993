"""Labels for images: the same score however an image comes, and bad files only listed."""

import io
import os
import threading
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from labeled_images import COLORS, draw_folder, draw_image
from PIL import Image

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction import reading
from nstk.classifiers.prediction.job import Prediction, predict, stream_predictions
from nstk.errors import ImageError, SettingsError
from nstk.finetuning.job import finetune
from nstk.images.decoding import read_content
from nstk.images.loading import load_image, load_levels

NAMES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 8, NAMES)


@pytest.fixture(scope="module")
def classifier(folder, tiny_backbone):
    return finetune(folder, backbone=tiny_backbone).classifier


@pytest.fixture(scope="module")
def labeled(classifier, folder):
    return predict(classifier, folder)


def test_every_image_gets_its_label_in_order(labeled):
    paths = [prediction.path for prediction in labeled.predictions]
    assert len(paths) == 24
    assert paths == sorted(paths)
    assert all(each.label == each.path.parent.name for each in labeled.predictions)
    assert labeled.skipped == ()


def test_the_likeliest_classes_come_first(labeled):
    for each in labeled.predictions:
        assert each.top[0] == (each.label, each.probability)
        probabilities = [probability for _, probability in each.top]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)
        assert sorted(label for label, _ in each.top) == list(NAMES)


def test_top_limits_the_list(classifier, folder):
    assert [len(each.top) for each in predict(classifier, folder / "red", top=2).predictions] == (
        [2] * 8
    )


@pytest.mark.parametrize("batch", [1, 5])
def test_scores_do_not_depend_on_the_company(classifier, folder, labeled, batch):
    for each, other in zip(
        predict(classifier, folder, batch=batch).predictions, labeled.predictions, strict=True
    ):
        assert each.path == other.path
        assert dict(each.top) == pytest.approx(dict(other.top), abs=1e-6)


def test_a_file_scores_like_the_same_array_in_the_plain_model(classifier, labeled):
    for each in labeled.predictions[::5]:
        pixels = np.asarray(Image.open(each.path).convert("RGB"))[np.newaxis]
        assert classifier.model(pixels).numpy().max() == pytest.approx(each.probability, abs=1e-6)


def test_a_saved_classifier_scores_the_same(classifier, folder, labeled, tmp_path):
    loaded = Classifier.load(classifier.save(tmp_path / "colors.keras"))
    assert predict(loaded, folder).predictions == labeled.predictions


def test_a_turned_image_scores_like_the_upright_one(classifier, tmp_path):
    upright = Image.fromarray(draw_image(COLORS["red"], 60, 40, seed=9))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    first, second = predict(classifier, tmp_path).predictions
    assert first.top == second.top


def test_a_image_scores_the_same_as_a_file_its_bytes_and_an_array(classifier, labeled):
    paths = [each.path for each in labeled.predictions]
    sources = [
        *paths,
        *(path.read_bytes() for path in paths),
        *(load_levels(path) for path in paths),
        *(load_image(path).pixels for path in paths),
        *(load_image(path).pixels.astype(np.float64) for path in paths),
    ]
    found = predict(classifier, sources, batch=len(paths)).predictions
    for start in range(0, len(found), len(paths)):
        together = found[start : start + len(paths)]
        assert [each.top for each in together] == [each.top for each in labeled.predictions]
    alone = [predict(classifier, each).predictions[0] for each in sources[:: len(paths) // 3]]
    for each, other in zip(alone, found[:: len(paths) // 3], strict=True):
        assert dict(each.top) == pytest.approx(dict(other.top), abs=1e-6)
    assert found[len(paths)].path == Path(f"image {len(paths) + 1}")


def test_tensors_images_and_buffers_are_images_alone_and_among_others(classifier, labeled):
    path = labeled.predictions[0].path
    levels = load_levels(path)
    [expected] = predict(classifier, path).predictions
    sources = [
        *(tf.constant(levels), tf.constant(levels / np.float32(255)), Image.fromarray(levels)),
        *(bytearray(path.read_bytes()), memoryview(path.read_bytes())),
    ]
    for source in sources:
        [alone] = predict(classifier, source).predictions
        assert dict(alone.top) == pytest.approx(dict(expected.top), abs=1e-6)
    streamed = predict(classifier, (each for each in sources)).predictions
    assert {each.label for each in streamed} == {expected.label}
    assert [str(each.path) for each in streamed] == [f"image {n}" for n in range(1, 6)]


@pytest.mark.parametrize("sources", [None, 5, [None], [[0, 1]], [["a.png", 3]]])
def test_what_is_no_image_of_any_kind_is_refused_in_one_line(classifier, sources):
    with pytest.raises(ImageError, match=r"something of type \w+; give a path, the bytes"):
        predict(classifier, sources)


def test_levels_are_the_rounded_image_whatever_the_file_is_like(tmp_path, scene):
    for number, mode in enumerate(["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16"]):
        image = Image.fromarray(np.rint(scene * 255).astype(np.uint8))
        path = tmp_path / f"{number}.{'tif' if mode == 'CMYK' else 'png'}"
        if mode == "I;16":
            Image.fromarray((scene[..., 0] * 65535).astype(np.uint16)).save(path)
        else:
            image.convert(mode).save(path)
        expected = np.rint(load_image(path).pixels * 255)
        for levels in (load_levels(path), load_levels("name", content=path.read_bytes())):
            assert levels.dtype == np.uint8
            np.testing.assert_array_equal(levels, expected)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 5), np.uint8), "(4, 5) of uint8"),
        (np.zeros((4, 5, 4), np.uint8), "(4, 5, 4)"),
        (np.zeros((0, 5, 3), np.uint8), "(0, 5, 3)"),
        (np.zeros((4, 5, 3), np.int64), "int64"),
        (np.full((4, 5, 3), 255.0), "floats from 255 to 255"),
        (np.full((4, 5, 3), np.nan), "floats from nan"),
    ],
)
def test_an_array_that_is_no_image_is_listed(classifier, array, said):
    [skipped] = predict(classifier, [array]).skipped
    assert str(skipped.path) == "image 1"
    assert said in skipped.reason


def test_arrays_of_equal_numbers_and_other_shapes_are_other_images(classifier):
    wide = np.zeros((32, 64, 3), np.uint8)
    told = predict(classifier, [wide, wide.reshape(64, 32, 3), wide.copy()]).predictions
    assert told[0].digest == told[2].digest != told[1].digest


def test_a_classifier_that_cuts_in_another_way_is_asked_itself(classifier, folder):
    """As one is that was made by an nstk with another filter."""
    other = keras.models.clone_model(classifier.model)
    other.set_weights(classifier.model.get_weights())
    other.get_layer("rows_twice").scale = 1.9
    changed = replace(classifier, model=other)
    [answer] = predict(changed, folder / "red" / "0.png").predictions
    pixels = load_levels(answer.path)[np.newaxis]
    told = dict(answer.top)
    expected, before = (np.log(model(pixels).numpy()[0]) for model in (other, classifier.model))
    # Logarithms tell such answers apart however sure they are.
    assert np.log([told[name] for name in classifier.classes]) == pytest.approx(expected, abs=0.01)
    assert np.abs(expected - before).max() > 0.1


def test_images_that_are_done_are_left_out_and_change_no_other(classifier, folder, labeled):
    expected = labeled.predictions
    for count in (0, 7, 20, 24):
        done = {(each.path, each.digest) for each in expected[:count]}
        found = [*stream_predictions(classifier, folder, batch=5, done=done)]
        whole = [*stream_predictions(classifier, folder, batch=5)]
        assert found == whole[count:]
    [again] = stream_predictions(
        classifier, expected[0].path, done={(expected[0].path, expected[1].digest)}
    )
    assert again.path == expected[0].path


def test_a_stream_reads_no_more_than_a_few_images_ahead(classifier, folder, monkeypatch):
    read = []
    monkeypatch.setattr(
        reading, "read_content", lambda path: read.append(path) or path.read_bytes()
    )
    before = threading.active_count()
    stream = stream_predictions(classifier, list(folder.rglob("*.*")), batch=2)
    assert isinstance(next(stream), Prediction)
    stream.close()
    assert len(read) <= 2 + 2 * 2 + 1
    assert threading.active_count() == before


def test_many_streams_leave_no_files_threads_or_functions_behind(classifier, folder):
    def count():
        return len([*Path("/proc/self/fd").glob("*")]), threading.active_count()

    paths = list(folder.rglob("*.*"))
    predict(classifier, paths)
    before, finish = count(), classifier.pipeline.forward
    for size in (1, 2, 3, 5, 8):
        predict(classifier, paths[:size], batch=size)
    assert count() == before
    assert classifier.pipeline.forward is finish


def test_a_file_that_changes_while_it_is_read_is_refused(folder, tmp_path, monkeypatch):
    path = tmp_path / "growing.png"
    path.write_bytes((folder / "red" / "0.png").read_bytes())

    class Growing(io.FileIO):
        def read(self, *count):
            content = super().read(*count)
            os.truncate(path, len(content) + 4)
            return content

    with monkeypatch.context() as patch:
        growing = Growing(path)
        patch.setattr(Path, "open", lambda *_: growing)
        with pytest.raises(ImageError, match="changed while it was read"):
            read_content(path)


def test_files_and_folders_may_be_mixed(classifier, folder):
    red = folder / "red" / "0.png"
    found = predict(classifier, [red, folder / "blue"])
    assert [each.path.parent.name for each in found.predictions] == ["red", *["blue"] * 8]
    assert predict(classifier, red).predictions == found.predictions[:1]


def test_bad_files_are_listed_and_the_rest_is_labeled(classifier, folder, tmp_path):
    (tmp_path / "notes.jpg").write_text("not an image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "good.png").write_bytes((folder / "green" / "0.png").read_bytes())
    found = predict(classifier, tmp_path)
    assert [each.path.name for each in found.predictions] == ["good.png"]
    assert sorted(file.path.name for file in found.skipped) == ["empty.png", "notes.jpg"]


def test_a_folder_without_images_gives_no_labels(classifier, tmp_path):
    assert predict(classifier, tmp_path).predictions == ()


def test_a_path_that_is_not_there_is_an_error(classifier, tmp_path):
    with pytest.raises(ImageError, match=r"missing\.png"):
        predict(classifier, tmp_path / "missing.png")


@pytest.mark.parametrize("options", [{"top": 0}, {"batch": 0}, {"top": 1.5}, {"batch": 2.5}])
def test_what_is_no_count_is_refused(classifier, folder, options):
    with pytest.raises(SettingsError):
        predict(classifier, folder, **options)


def test_progress_counts_files(classifier, folder):
    seen = []
    predict(classifier, folder, batch=10, on_progress=seen.append)
    assert [event.step for event in seen if event.stage == "predict"] == [0, 10, 20, 24]
