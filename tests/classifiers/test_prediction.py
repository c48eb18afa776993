"""Prediction: equal probabilities for every form of an image; unreadable files are skipped."""

import gc
import io
import os
import threading
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from labeled_images import COLORS, draw_image
from PIL import Image
from tensorflow.python.framework.func_graph import FuncGraph

from nstk.classifiers.classifier import Classifier
from nstk.classifiers.prediction import reading
from nstk.classifiers.prediction.job import predict, predict_proba, stream_predictions
from nstk.classifiers.prediction.prediction import Prediction, PredictSettings
from nstk.classifiers.prediction.reading import list_inputs
from nstk.errors import ImageError, NstkError, SettingsError
from nstk.images.decoding import read_content
from nstk.images.loading import load_image, load_levels

NAMES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def folder(color_folder):
    return color_folder


@pytest.fixture(scope="module")
def classifier(color_classifier):
    return color_classifier


@pytest.fixture(scope="module")
def labeled(classifier, folder):
    return predict(classifier, folder)


def probabilities(predictions, classes=NAMES):
    """One row per image, in the order of the classes."""
    tops = [dict(each.top) for each in predictions]
    return np.array([[top[name] for name in classes] for top in tops])


def close(predictions, others):
    """Differently sized batches differ by rounding."""
    found, expected = probabilities(predictions), probabilities(others)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    return True


def test_every_image_gets_its_label_in_order(labeled):
    paths = [prediction.path for prediction in labeled.predictions]
    assert len(paths) == 24
    assert paths == sorted(paths)
    assert all(each.label == each.path.parent.name for each in labeled.predictions)
    assert labeled.skipped == ()


def test_the_most_likely_classes_come_first(labeled):
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
def test_probabilities_do_not_depend_on_the_batch_size(classifier, folder, labeled, batch):
    found = predict(classifier, folder, batch=batch)
    assert [each.path for each in found] == [each.path for each in labeled]
    assert close(found, labeled)


def test_a_file_scores_like_the_same_array_in_the_plain_model(classifier, labeled):
    for each in labeled.predictions[::5]:
        pixels = np.asarray(Image.open(each.path).convert("RGB"))[np.newaxis]
        assert classifier.model(pixels).numpy().max() == pytest.approx(each.probability, abs=1e-6)


def test_a_saved_classifier_scores_the_same(classifier, folder, labeled, tmp_path):
    loaded = Classifier.load(classifier.save(tmp_path / "colors.keras"))
    assert predict(loaded, folder).predictions == labeled.predictions


def test_exif_orientation_is_applied(classifier, tmp_path):
    upright = Image.fromarray(draw_image(COLORS["red"], 60, 40, seed=9))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    first, second = predict(classifier, tmp_path).predictions
    assert first.top == second.top


def test_an_image_scores_the_same_as_a_file_its_bytes_and_an_array(classifier, labeled):
    paths = [each.path for each in labeled.predictions]
    sources = [
        *paths,
        *(path.read_bytes() for path in paths),
        *(load_levels(path) for path in paths),
        *(load_levels(path).astype(np.float32) for path in paths),
        *(load_levels(path).astype(np.int64) for path in paths),
    ]
    found = predict(classifier, sources, batch=len(paths)).predictions
    for start in range(0, len(found), len(paths)):
        assert close(found[start : start + len(paths)], labeled)
    alone = [predict(classifier, each).predictions[0] for each in sources[:: len(paths) // 3]]
    for each, other in zip(alone, found[:: len(paths) // 3], strict=True):
        assert dict(each.top) == pytest.approx(dict(other.top), abs=1e-6)
    assert found[len(paths)].path == Path(f"image {len(paths) + 1}")


def test_tensors_images_and_buffers_are_images_alone_and_among_others(classifier, labeled):
    path = labeled.predictions[0].path
    levels = load_levels(path)
    [expected] = predict(classifier, path).predictions
    sources = [
        *(tf.constant(levels), tf.constant(levels, tf.float32), Image.fromarray(levels)),
        *(bytearray(path.read_bytes()), memoryview(path.read_bytes())),
    ]
    for source in sources:
        [alone] = predict(classifier, source).predictions
        assert dict(alone.top) == pytest.approx(dict(expected.top), abs=1e-6)
    streamed = predict(classifier, (each for each in sources)).predictions
    assert {each.label for each in streamed} == {expected.label}
    assert [str(each.path) for each in streamed] == [f"image {n}" for n in range(1, 6)]


@pytest.mark.parametrize("sources", [None, 5, [None], [[0, 1]], [["a.png", 3]]])
def test_a_source_that_is_not_an_image_is_refused(classifier, sources):
    with pytest.raises(ImageError, match=r"type (NoneType|int|list)"):
        predict(classifier, sources)


def test_a_batch_is_as_many_images(classifier, labeled, folder):
    paths = [each.path for each in labeled if each.path.stem == "0"]
    levels = [load_levels(path)[:32, :32] for path in paths]
    expected = predict(classifier, levels)
    batch = np.stack(levels)
    ranged = (batch / 255, {"value_range": (0, 1)})
    for images, options in (
        (batch, {}),
        (batch.astype(float), {}),
        (tf.constant(batch), {}),
        ranged,
    ):
        found = predict(classifier, images, **options)
        assert [str(each.path) for each in found] == ["image 1", "image 2", "image 3"]
        assert close(found, expected)
    mixed = predict(classifier, [paths[0], batch, levels[0]])
    assert [str(each.path) for each in mixed][1:] == [f"image {n}" for n in range(2, 6)]
    rows = predict_proba(classifier, batch)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, probabilities(expected, classifier.classes), atol=1e-6)
    assert predict_proba(classifier, []).shape == (0, 3)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("labels", [False, True])
def test_a_dataset_is_read_as_it_is_predicted(classifier, batched, labels):
    images = np.stack([draw_image(color, 40, 30, seed=1) for color in COLORS.values()])
    data = (images, np.arange(3)) if labels else images
    dataset = tf.data.Dataset.from_tensor_slices(data)
    found = predict(classifier, dataset.batch(2) if batched else dataset, batch=2)
    assert [str(each.path) for each in found] == ["image 1", "image 2", "image 3"]
    assert close(found, predict(classifier, images))
    with pytest.raises(ImageError, match=r"repeat"):
        predict(classifier, dataset.repeat())


def test_labels_that_come_with_images_are_ignored():
    images = np.stack([draw_image(color, 40, 30, seed=1) for color in COLORS.values()])
    labels, weights = np.arange(3), np.ones(3)
    for given in (
        (images, labels),
        [images, labels, weights],
        list(zip(images, labels, strict=True)),
        [(images[:2], labels[:2]), (images[2:], labels[2:])],
        {"image": images, "label": labels},
        [{"image": images[0]}, {"image": images[1:], "label": labels[1:]}],
        tf.data.Dataset.from_tensor_slices((images, labels, weights)).batch(2),
        tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}),
        next(iter(tf.data.Dataset.from_tensor_slices((images, labels)).batch(3))),
    ):
        found = list_inputs(given)
        assert np.array_equal([each.given for each in found.images], images)


class Returned:
    """As results of nstk are: an array with its range."""

    value_range = (0.0, 1.0)

    def __init__(self, pixels):
        self.pixels = pixels

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.pixels, dtype)


def test_what_nstk_returns_is_taken_back(classifier, labeled):
    [alone] = predict(classifier, labeled[0].path)
    [found] = predict(classifier, Returned(load_image(labeled[0].path).pixels))
    assert close([found], [alone])


@pytest.mark.parametrize("value_range", [(1, 0), 255, (0, float("nan"))])
def test_a_range_that_is_not_one_is_refused(classifier, value_range):
    with pytest.raises(SettingsError, match="value_range"):
        predict(classifier, np.ones((4, 4, 3)), value_range=value_range)


def test_levels_are_the_rounded_image_for_every_color_mode(tmp_path, scene):
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
        (np.zeros((4, 5, 5), np.uint8), "(4, 5, 5)"),
        (np.zeros((0, 5, 3), np.uint8), "(0, 5, 3)"),
        (np.full((4, 5, 3), 256, np.int64), "256"),
        (np.full((4, 5, 3), 0.5), "value_range=(0, 1)"),
        (np.full((4, 5, 3), np.nan), "nan"),
    ],
)
def test_an_array_that_is_not_an_image_is_refused(classifier, folder, array, said):
    for sources in (array, [folder / "red" / "0.png", array]):
        with pytest.raises(ImageError, match=r"image \d") as caught:
            predict(classifier, sources)
        assert said in str(caught.value)


def test_arrays_of_equal_values_and_other_shapes_have_other_digests(classifier):
    wide = np.zeros((32, 64, 3), np.uint8)
    told = predict(classifier, [wide, wide.reshape(64, 32, 3), wide.copy()]).predictions
    assert told[0].digest == told[2].digest != told[1].digest


def test_a_classifier_that_crops_differently_uses_its_own_layers(classifier, folder):
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


def test_images_that_are_done_are_left_out_and_do_not_change_others(classifier, folder, labeled):
    expected = labeled.predictions
    for count in (0, 7, 24):
        done = {(each.path, each.digest) for each in expected[:count]}
        found = [*stream_predictions(classifier, folder, PredictSettings(batch=5), done=done)]
        whole = [*stream_predictions(classifier, folder, PredictSettings(batch=5))]
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
    stream = stream_predictions(classifier, list(folder.rglob("*.*")), PredictSettings(batch=2))
    assert isinstance(next(stream), Prediction)
    stream.close()
    assert len(read) <= 2 + 2 * 2 + 1
    assert threading.active_count() == before


def test_many_streams_leak_no_files_threads_or_functions(classifier, folder):
    def count():
        return len([*Path("/proc/self/fd").glob("*")]), threading.active_count()

    paths = list(folder.rglob("*.*"))
    predict(classifier, paths)
    before, executors = count(), classifier.pipeline.executors
    for size in (1, 2, 3, 5, 8):
        predict(classifier, paths[:size], batch=size)
    assert count() == before
    assert classifier.pipeline.executors is executors


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
    assert [each.path.parent.name for each in found] == ["red", *["blue"] * 8]
    assert close(found[:1], predict(classifier, red))


def test_unreadable_files_are_skipped(classifier, folder, tmp_path):
    (tmp_path / "notes.jpg").write_text("not an image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "good.png").write_bytes((folder / "green" / "0.png").read_bytes())
    found = predict(classifier, tmp_path)
    assert [each.path.name for each in found.predictions] == ["good.png"]
    assert sorted(file.path.name for file in found.skipped) == ["empty.png", "notes.jpg"]
    assert repr(found) == "Predictions(1 images, 2 skipped)"
    assert found._repr_html_().count("<tr>") == 2
    answer = found.to_dict()
    assert answer["predictions"][0]["label"] == "green"
    assert {each["path"] for each in answer["skipped"]} == {str(f.path) for f in found.skipped}
    with pytest.raises(ImageError, match=r"(empty\.png|notes\.jpg)"):
        predict_proba(classifier, tmp_path)


def test_a_folder_without_images_gives_no_predictions(classifier, tmp_path):
    assert predict(classifier, tmp_path).predictions == ()


def test_a_path_that_is_not_there_is_an_error(classifier, tmp_path):
    with pytest.raises(ImageError, match=r"missing\.png"):
        predict(classifier, tmp_path / "missing.png")


@pytest.mark.parametrize(
    ("name", "value"),
    [("top", 0), ("batch", 0), ("top", 1.5), ("batch", 2.5), ("abstain_below", 1.1)],
)
def test_an_option_out_of_range_is_refused(classifier, folder, name, value):
    with pytest.raises(SettingsError, match=name.replace("_", ".")):
        predict(classifier, folder, **{name: value})


def test_progress_counts_images(classifier, folder):
    seen = []
    predict(classifier, folder, batch=10, on_progress=seen.append)
    assert [event.step for event in seen if event.stage == "predict"] == [0, 10, 20, 24]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_after_use_is_refused(classifier, folder):
    predict(classifier, folder / "red")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        for job in (classifier.predict, classifier.explain, classifier.evaluate):
            try:
                list(job(folder))
            except NstkError as error:
                os.write(writer, f"{type(error).__name__}\n".encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answers:
        assert answers.read().split() == ["BackboneError"] * 3
    predict(classifier, folder / "red")  # the parent goes on


def test_many_calls_leave_no_networks_and_graphs_behind(classifier, folder):
    image = folder / "red" / "0.png"

    def call():
        predict(classifier, image)
        classifier.evaluate(folder)
        list(classifier.explain(image))
        gc.collect()
        kept = (keras.Model, FuncGraph)
        return sum(isinstance(each, kept) for each in gc.get_objects())

    call()
    assert call() == call()
