"""Labels for pictures: the same score however a picture comes, and bad files only listed."""

import numpy as np
import pytest
from labelled_pictures import COLOURS, draw_folder, draw_picture
from PIL import Image

from nstk.errors import PictureError, SettingsError
from nstk.finetuning.classifier import load_classifier
from nstk.finetuning.job import finetune
from nstk.finetuning.prediction import predict

NAMES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("data"), 8, NAMES)


@pytest.fixture(scope="module")
def classifier(folder, tiny_backbone):
    return finetune(folder, backbone=tiny_backbone).classifier


@pytest.fixture(scope="module")
def labelled(classifier, folder):
    return predict(classifier, folder)


def test_every_picture_gets_its_label_in_order(labelled):
    paths = [prediction.path for prediction in labelled.predictions]
    assert len(paths) == 24
    assert paths == sorted(paths)
    assert all(each.label == each.path.parent.name for each in labelled.predictions)
    assert labelled.skipped == ()


def test_the_likeliest_classes_come_first(labelled):
    for each in labelled.predictions:
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
def test_scores_do_not_depend_on_the_company(classifier, folder, labelled, batch):
    for each, other in zip(
        predict(classifier, folder, batch=batch).predictions, labelled.predictions, strict=True
    ):
        assert each.path == other.path
        assert each.probability == pytest.approx(other.probability, abs=1e-5)


def test_a_file_scores_like_the_same_array_in_the_plain_model(classifier, labelled):
    for each in labelled.predictions[::5]:
        pixels = np.asarray(Image.open(each.path).convert("RGB"))[np.newaxis]
        assert classifier.model(pixels).numpy().max() == pytest.approx(each.probability, abs=1e-5)


def test_a_saved_classifier_scores_the_same(classifier, folder, labelled, tmp_path):
    loaded = load_classifier(classifier.save(tmp_path / "colours.keras"))
    assert predict(loaded, folder).predictions == labelled.predictions


def test_a_turned_picture_scores_like_the_upright_one(classifier, tmp_path):
    upright = Image.fromarray(draw_picture(COLOURS["red"], 60, 40, seed=9))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    first, second = predict(classifier, tmp_path).predictions
    assert first.top == second.top


def test_files_and_folders_may_be_mixed(classifier, folder):
    red = folder / "red" / "0.png"
    found = predict(classifier, [red, folder / "blue"])
    assert [each.path.parent.name for each in found.predictions] == ["red", *["blue"] * 8]
    assert predict(classifier, red).predictions == found.predictions[:1]


def test_bad_files_are_listed_and_the_rest_is_labelled(classifier, folder, tmp_path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "good.png").write_bytes((folder / "green" / "0.png").read_bytes())
    found = predict(classifier, tmp_path)
    assert [each.path.name for each in found.predictions] == ["good.png"]
    assert sorted(file.path.name for file in found.skipped) == ["empty.png", "notes.jpg"]


def test_a_folder_without_pictures_gives_no_labels(classifier, tmp_path):
    assert predict(classifier, tmp_path).predictions == ()


def test_a_path_that_is_not_there_is_an_error(classifier, tmp_path):
    with pytest.raises(PictureError, match=r"missing\.png"):
        predict(classifier, tmp_path / "missing.png")


@pytest.mark.parametrize("options", [{"top": 0}, {"batch": 0}])
def test_counts_below_one_are_refused(classifier, folder, options):
    with pytest.raises(SettingsError):
        predict(classifier, folder, **options)


def test_progress_counts_files(classifier, folder):
    seen = []
    predict(classifier, folder, batch=10, on_progress=seen.append)
    assert [event.step for event in seen if event.stage == "predict"] == [0, 10, 20, 24]
