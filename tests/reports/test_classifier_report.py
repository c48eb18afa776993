"""The page about a classifier: it holds everything, asks nobody, and says what the numbers say."""

import json
import shlex
import shutil
import zipfile

import pytest
from browsing import browse, check_page, in_a_browser
from labeled_images import draw_folder
from shell import complaint, invoke

import nstk
from nstk.finetuning.job import finetune
from nstk.finetuning.replay import save_manifest
from nstk.reports.classifier import CARD_NAME, PAGE_NAME, RECORD_NAME
from nstk.reports.classifier_subject import describe_examination, describe_finetuning
from nstk.reports.model_card import write_model_card
from nstk.settings import FinetuneSettings

NAMES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes, one of them with wrong labels, and a file that is no image."""
    root = draw_folder(tmp_path_factory.mktemp("data") / "colors", 8, NAMES)
    for number in (0, 3, 6):
        shutil.copy(root / "red" / f"{number}.png", root / "blue" / f"wrong{number}.png")
    (root / "red" / "notes.jpg").write_text("not an image")
    return root


@pytest.fixture(scope="module")
def model(folder, tiny_backbone, tmp_path_factory):
    made = finetune(folder, backbone=tiny_backbone)
    return made.classifier.save(tmp_path_factory.mktemp("model") / "colors.keras")


@pytest.fixture(scope="module")
def made(folder, tiny_backbone):
    settings = FinetuneSettings(folds=3, learning_curve=True)
    return finetune(folder, backbone=tiny_backbone, settings=settings)


@pytest.fixture(scope="module")
def report(made, tmp_path_factory):
    """A folder with the report of a run with folds and a learning curve."""
    root = tmp_path_factory.mktemp("reports") / "report"
    page = nstk.write_classifier_report(root, made, command="nstk finetune colors <&>")
    assert page == root / PAGE_NAME
    return root


def read(report):
    return check_page((report / PAGE_NAME).read_text(encoding="utf-8"))


def test_the_page_has_every_part_and_the_command_as_it_was_typed(report, made):
    text = read(report).text
    for heading in (
        "What is taken for what",
        "Class by class",
        "How sure it may be",
        "What more images would bring",
        "Where it errs most",
        "The images",
        "How it was made",
        "Model card",
        "nstk finetune colors <&>",
        "likely wrong labels",
        "notes.jpg",
    ):
        assert heading in text
    assert f"{100 * made.accuracy:.1f} %" in text
    assert "blue, green or red" in text


def test_worst_images_stand_beside_their_maps(report, made):
    reader = read(report)
    wrong = min(8, made.evaluation.images - round(made.accuracy * made.evaluation.images))
    assert wrong
    images = [value for value in reader.values("src") if value.startswith("data:image")]
    assert len(images) == wrong


def test_the_record_holds_the_same_numbers(report, made):
    record = json.loads((report / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["accuracy"] == pytest.approx(made.accuracy, rel=1e-5)
    assert record["classes"] == list(NAMES)
    assert record["command"] == "nstk finetune colors <&>"
    assert record["calibration"]["after"]["ece"] == pytest.approx(made.reliability.ece, rel=1e-5)
    assert record["learning_curve"]["images"] == list(made.learning_curve.images)
    assert record["audit"]["unreadable"] == 1
    assert len(record["top_losses"]) == 8
    assert record["settings"]["folds"] == 3


def test_of_folds_nothing_is_claimed_that_was_not_measured(report, made):
    card = write_model_card(describe_finetuning(made))
    assert made.train_images == made.evaluation.images
    assert "it had not learned from" not in card["How good it is"]
    assert "each left out of what a head learned from" in card["How good it is"]
    assert "of those here" not in card["What it does not know"]
    record = json.loads((report / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["strange"] is None
    text = read(report).text
    assert "like nothing in training is not known here" in text
    assert "learned from, each left out once" in text


def test_held_out_images_are_said_to_be_new_and_known_ones_known(folder, tiny_backbone, tmp_path):
    made = finetune(folder, backbone=tiny_backbone)
    card = write_model_card(describe_finetuning(made))
    assert "images that it had not learned from" in card["How good it is"]
    assert "of those here" in card["What it does not know"]
    record = save_manifest(made, tmp_path / "made.json", backbone="tiny")
    for place, words in (
        (record, f"it had learned from {made.train_images} of them"),
        (None, "whether it had learned from some of them is not known"),
    ):
        subject = describe_examination(nstk.evaluate(made.classifier, folder, record=place))
        card = write_model_card(subject)
        assert words in card["How good it is"]
        assert "images that it had not learned from" not in card["How good it is"]
    assert subject.notices == ()


def test_the_model_card_says_the_same_on_the_page_and_beside_it(report, made):
    card = write_model_card(describe_finetuning(made))
    page, text = read(report).text, (report / CARD_NAME).read_text(encoding="utf-8")
    record = json.loads((report / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["model_card"] == card
    for words in card.values():
        assert words in text
        assert words in page


@in_a_browser
def test_a_browser_finds_nothing_to_complain_about_and_asks_nobody(report, tmp_path):
    document, console, asked = browse(report / PAGE_NAME, tmp_path)
    assert "Model card" in document
    assert not console
    assert not asked


def test_the_shell_writes_a_report_of_an_evaluation(model, folder, tmp_path, monkeypatch):
    report = tmp_path / "report"
    words = ["evaluate", str(model), str(folder), "--report", str(report)]
    monkeypatch.setattr("sys.argv", ["nstk", *words])
    result = invoke(*words)
    assert result.exit_code == 0, result.stderr
    assert str(report / PAGE_NAME) in result.stdout
    record = json.loads((report / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["audit"] is None
    assert shlex.split(record["command"]) == ["nstk", *words]
    assert record["accuracy"] < 1
    assert "What is taken for what" in read(report).text


def test_the_shell_writes_a_report_of_a_run_on_a_zip(folder, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.finetuning.job.load_backbone", lambda name, **_: tiny_backbone)
    with zipfile.ZipFile(tmp_path / "colors.zip", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(folder))
    words = ["finetune", tmp_path / "colors.zip", "-o", tmp_path / "c.keras", "--folds", 3]
    result = invoke(*words, "--report", tmp_path / "report", "--json", "-q")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["report"] == str(tmp_path / "report" / PAGE_NAME)
    record = json.loads((tmp_path / "report" / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["data"].endswith("colors.zip")
    assert all("colors.zip" in loss["path"] for loss in record["top_losses"])
    assert read(tmp_path / "report").values("src")


def test_a_report_that_cannot_be_written_is_found_out_before_any_work(model, folder, tmp_path):
    (tmp_path / "file").write_text("here")
    for words in (
        ("evaluate", model, folder),
        ("finetune", folder, "-o", tmp_path / "c.keras"),
    ):
        for place in (tmp_path / "file", tmp_path / "missing" / "report"):
            result = invoke(*words, "--report", place)
            assert result.exit_code == 2
            complaint(result)
    assert not (tmp_path / "c.keras").exists()
