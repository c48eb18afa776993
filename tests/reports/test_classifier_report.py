"""The report about a classifier: complete, self-contained, and true to the numbers."""

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
from nstk.reports.classifier import (
    CARD_NAME,
    PAGE_NAME,
    RECORD_NAME,
    write_classifier_report,
)
from nstk.reports.classifier_data import compose_model_card, from_evaluation, from_finetuning
from nstk.settings import FinetuneSettings

NAMES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes, one of them with wrong labels, and a text file."""
    root = draw_folder(tmp_path_factory.mktemp("data") / "colors", 8, NAMES)
    for number in (0, 3, 6):
        shutil.copy(root / "red" / f"{number}.png", root / "blue" / f"wrong{number}.png")
    (root / "red" / "notes.jpg").write_text("not an image")
    return root


@pytest.fixture(scope="module")
def held_out(folder, tiny_backbone):
    """A run without folds, measured on held-out images."""
    return finetune(folder, backbone=tiny_backbone)


@pytest.fixture(scope="module")
def model(held_out, tmp_path_factory):
    return held_out.classifier.save(tmp_path_factory.mktemp("model") / "colors.keras")


@pytest.fixture(scope="module")
def made(folder, tiny_backbone):
    settings = FinetuneSettings(folds=3, learning_curve=True)
    return finetune(folder, backbone=tiny_backbone, settings=settings)


@pytest.fixture(scope="module")
def report(made, tmp_path_factory):
    """A folder with the report of a run with folds and a learning curve."""
    root = tmp_path_factory.mktemp("reports") / "report"
    page = write_classifier_report(root, made, command="nstk finetune colors <&>")
    assert page == root / PAGE_NAME
    return root


def read(report):
    return check_page((report / PAGE_NAME).read_text(encoding="utf-8").replace("\u00a0", " "))


def test_the_page_has_every_section_and_the_command(report, made):
    text = read(report).text
    for heading in (
        "Confusion matrix",
        "Per-class metrics",
        "Calibration",
        "Abstention",
        "Learning curve",
        "Worst predictions",
        "Data",
        "Settings",
        "Model card",
        "nstk finetune colors <&>",
        "likely wrong labels",
        "notes.jpg",
    ):
        assert heading in text
    assert f"{100 * made.accuracy:.1f} %" in text
    assert "blue, green or red" in text


def test_the_worst_predictions_are_shown(report, made):
    reader = read(report)
    wrong = min(8, made.evaluation.images - round(made.accuracy * made.evaluation.images))
    assert wrong
    images = [value for value in reader.values("src") if value.startswith("data:image")]
    assert len(images) == wrong


def test_the_record_has_the_same_numbers(report, made):
    record = json.loads((report / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["accuracy"] == pytest.approx(made.accuracy, rel=1e-5)
    assert record["classes"] == list(NAMES)
    assert record["command"] == "nstk finetune colors <&>"
    assert record["calibration"]["after"]["ece"] == pytest.approx(made.reliability.ece, rel=1e-5)
    assert record["learning_curve"]["images"] == list(made.learning_curve.images)
    assert record["audit"]["unreadable"] == 1
    assert len(record["top_losses"]) == 8
    assert record["settings"]["folds"] == 3


def test_with_folds_nothing_is_claimed_about_the_final_classifier(report, made):
    card = compose_model_card(from_finetuning(made))
    assert made.train_images == made.evaluation.images
    assert "not trained on" not in card["Accuracy"]
    assert "cross-validation" in card["Accuracy"]
    assert "of those here" not in card["Limitations"]
    record = json.loads((report / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["ood_count"] is None
    text = read(report).text
    assert "out of distribution is unknown" in text
    assert "3-fold cross-validation" in text


def test_the_card_tells_new_images_from_training_images(folder, held_out, tmp_path):
    made = held_out
    card = compose_model_card(from_finetuning(made))
    assert "not trained on" in card["Accuracy"]
    assert "of those here" in card["Limitations"]
    record = save_manifest(made, tmp_path / "made.json", backbone="tiny")
    for place, words in (
        (record, f"trained on {made.train_images} of them"),
        (None, "unknown"),
    ):
        subject = from_evaluation(nstk.evaluate(made.classifier, folder, record=place))
        card = compose_model_card(subject)
        assert words in card["Accuracy"]
        assert "not trained on" not in card["Accuracy"]
    assert subject.notices == ()


def test_the_model_card_is_the_same_on_the_page_and_in_the_file(report, made):
    card = compose_model_card(from_finetuning(made))
    page, text = read(report).text, (report / CARD_NAME).read_text(encoding="utf-8")
    record = json.loads((report / RECORD_NAME).read_text(encoding="utf-8"))
    assert record["model_card"] == card
    for words in card.values():
        assert words in text
        assert words in page


@in_a_browser
def test_a_browser_reports_no_errors_and_makes_no_requests(report, tmp_path):
    document, console, asked = browse(report / PAGE_NAME, tmp_path)
    assert "Model card" in document
    assert not console
    assert not asked


def test_evaluate_writes_a_report(model, folder, tmp_path, monkeypatch):
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
    assert "Confusion matrix" in read(report).text


def test_finetune_writes_a_report_of_a_zip(folder, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("nstk.backbones.candidates.load_backbone", lambda name, **_: tiny_backbone)
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


def test_an_unwritable_report_is_refused_before_any_work(model, folder, tmp_path):
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
