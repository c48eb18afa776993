"""An audit finds every kind of problem, and lists no good images."""

import dataclasses
import gc
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeled_images import draw_class, draw_folder, draw_image
from PIL import Image, ImageFilter

import nstk
from nstk.auditing.issues import (
    find_outliers,
    find_quality_issues,
    group_similar,
    outlier_scores,
)
from nstk.auditing.reading import AuditedImage
from nstk.errors import FolderError, OutputError, SettingsError
from nstk.heads.suspects import find_suspects
from nstk.images.loading import load_image
from nstk.images.quality import ImageQuality, measure_image
from nstk.reports.audit import check_audit_report
from nstk.settings import AuditSettings


def names(found) -> set[str]:
    return {each.path.name for each in found}


def grouped(groups) -> set[frozenset[str]]:
    return {frozenset(path.name for path in group) for group in groups}


def paint(path: Path, seed: int, *, size=(96, 128)) -> np.ndarray:
    """An image of its own: soft blobs with grain."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), np.uint8))
    pixels = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC), np.float32)
    pixels = np.uint8(np.clip(pixels + random.normal(0, 12, (*size, 1)), 0, 255))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Two classes in two splits, with one example of every problem."""
    root = tmp_path_factory.mktemp("damaged") / "data"
    for split, count in (("train", 8), ("val", 4)):
        for name in ("ants", "bees"):
            for number in range(count):
                paint(root / split / name / f"{name}-{split}-{number}.png", len(name + split) * 1000
                      + number + 500 * (name == "ants"))  # fmt: skip
    ants = root / "train" / "ants"
    image = Image.open(ants / "ants-train-0.png")
    (root / "train/bees/same.png").write_bytes((ants / "ants-train-1.png").read_bytes())
    (root / "val/ants/again.png").write_bytes((ants / "ants-train-2.png").read_bytes())
    image.resize((64, 48), Image.Resampling.LANCZOS).save(ants / "smaller.jpg", quality=60)
    paint(ants / "liar.jpg", 1)
    Image.open(ants / "liar.jpg").save(ants / "liar.jpg", "PNG")
    (ants / "broken.png").write_bytes((ants / "ants-train-3.png").read_bytes()[:-60])
    (ants / "notes.txt").write_text("not an image")
    (root / "README.md").write_text("about these images")
    paint(ants / "tiny.png", 2, size=(14, 20))
    Image.open(ants / "ants-train-4.png").filter(ImageFilter.GaussianBlur(5)).save(
        ants / "blurred.png"
    )
    Image.fromarray(paint(ants / "dark.png", 3) // 16).save(ants / "dark.png")
    Image.fromarray(paint(ants / "empty.png", 4) // 32 + 120).save(ants / "empty.png")
    return root


@pytest.fixture(scope="module")
def found(damaged, tiny_backbone):
    return nstk.audit(damaged, backbone=tiny_backbone)


def test_unreadable_files_and_wrong_extensions_are_listed(found):
    assert names(found.unreadable) == {"broken.png", "notes.txt"}
    assert names(found.skipped) == {"README.md"}
    [extension] = found.wrong_extension
    assert (extension.path.name, extension.format) == ("liar.jpg", "PNG")


def test_exact_and_near_duplicates_are_found(found):
    assert grouped(found.exact_duplicates) == {
        frozenset({"ants-train-1.png", "same.png"}),
        frozenset({"ants-train-2.png", "again.png"}),
    }
    assert grouped(found.near_duplicates) == {
        frozenset({"ants-train-0.png", "smaller.jpg"}),
        frozenset({"ants-train-4.png", "blurred.png"}),
    }
    assert grouped(found.cross_class_duplicates) == {frozenset({"ants-train-1.png", "same.png"})}
    assert grouped(found.cross_split_duplicates) == {frozenset({"ants-train-2.png", "again.png"})}


def test_images_of_poor_quality_are_found(found):
    assert names(found.tiny) == {"tiny.png"}
    assert names(found.blurred) == {"blurred.png"}
    assert names(found.dark) == {"dark.png"}
    assert names(found.low_contrast) == {"dark.png", "empty.png"}


def test_classes_are_counted_by_split(found):
    assert [(each.name, each.counts, each.images) for each in found.classes] == [
        ("ants", {"train": 14, "validation": 5}, 19),
        ("bees", {"train": 9, "validation": 4}, 13),
    ]
    assert found.images == 32
    assert found.notices == ()


def test_an_audit_describes_itself_in_one_line_and_in_json(found):
    assert repr(found).startswith("Audit(32 images")
    described = json.loads(json.dumps(found.to_dict()))
    assert described["images"] == 32
    [extension] = described["wrong_extension"]
    assert extension["format"] == "PNG"
    assert {"side", "path"} == described["tiny"][0].keys()


def test_an_audit_changes_nothing_and_is_reproducible(damaged, found, tiny_backbone):
    before = {path: path.stat().st_mtime_ns for path in damaged.rglob("*")}
    again = nstk.audit(damaged, backbone=tiny_backbone)
    assert {path: path.stat().st_mtime_ns for path in damaged.rglob("*")} == before
    for field in ("label_suspects", "outliers", "near_duplicates", "blurred", "qualities"):
        assert getattr(again, field) == getattr(found, field)


# Labels


@pytest.fixture(scope="module")
def flipped(tmp_path_factory, tiny_backbone):
    """Three classes of sixty, one image in twenty mislabeled: the audit and these images."""
    root = draw_folder(tmp_path_factory.mktemp("flipped"), 60, ("blue", "green", "red"))
    random = np.random.default_rng(5)
    paths = sorted(path for path in root.rglob("*.*"))
    mislabeled = set()
    for index in random.choice(len(paths), len(paths) // 20, replace=False):
        path = paths[index]
        others = {"blue", "green", "red"} - {path.parent.name}
        wrong = random.choice(sorted(others))
        mislabeled.add(path.rename(root / wrong / f"was-{path.parent.name}-{path.name}"))
    return nstk.audit(root, backbone=tiny_backbone), mislabeled


def test_wrong_labels_are_among_the_suspects(flipped):
    found, mislabeled = flipped
    suspects = {suspect.path for suspect in found.label_suspects}
    assert len(mislabeled & suspects) >= 0.8 * len(mislabeled)
    assert len(mislabeled & suspects) >= 0.6 * len(suspects)


def test_the_suggestion_is_the_class_the_image_came_from(flipped):
    found, mislabeled = flipped
    for suspect in found.label_suspects:
        assert suspect.label == suspect.path.parent.name
        if suspect.path in mislabeled:
            assert suspect.path.name.startswith(f"was-{suspect.suggestion}-")
    own = [suspect.label_probability for suspect in found.label_suspects]
    assert own == sorted(own)


@given(
    labels=st.lists(st.integers(0, 2), min_size=6, max_size=30),
    seed=st.integers(0, 99),
)
def test_no_label_is_suspect_if_all_predictions_agree(labels, seed):
    probabilities = np.random.default_rng(seed).uniform(0, 0.2, (len(labels), 3))
    probabilities[np.arange(len(labels)), labels] = 0.8
    assert find_suspects(probabilities, np.array(labels)) == []
    probabilities[0] = np.nan
    assert find_suspects(probabilities, np.array(labels)) == []


@given(
    labels=st.lists(st.integers(0, 2), min_size=6, max_size=30),
    seed=st.integers(0, 99),
)
def test_a_suspect_is_more_probably_of_another_class(labels, seed):
    probabilities = np.random.default_rng(seed).dirichlet((1, 1, 0.1), len(labels))
    for place, likely in find_suspects(probabilities, np.array(labels)):
        assert probabilities[place, likely] > probabilities[place, labels[place]]


def test_a_class_that_is_never_likely_does_not_claim_the_images_of_others():
    probabilities = np.array([[0.95, 0.05], [0.6, 0.4], [0.9, 0.1], [0.97, 0.03]])
    labels = np.array([0, 0, 1, 1])  # the second class has 0.065 on average
    assert find_suspects(probabilities, labels) == [(3, 0), (2, 0)]


def test_frames_of_one_scene_are_one_group_and_other_scenes_are_not():
    audited = [
        AuditedImage(
            Path(f"{number}"), "JPEG", False, f"{number}", number % 8, draw_thumbnail(number), None
        )
        for number in range(600)
    ]
    groups = group_similar(audited, 8)
    assert groups == [number % 3 for number in range(600)]


def draw_thumbnail(number):
    """A frame of one of three scenes: two that differ in their pattern, and a plain one."""
    random = np.random.default_rng(number % 3)
    scene = random.integers(40, 200, (32, 32, 3)) if number % 3 else np.full((32, 32, 3), 90)
    return np.uint8(scene + np.random.default_rng(number).integers(0, 3, (32, 32, 3)))


def test_a_distant_image_is_an_outlier_and_a_duplicate_is_not_a_neighbor():
    vectors = np.random.default_rng(0).normal(0, 1, (200, 8)).astype(np.float32)
    vectors[17] += 12
    ood_score = outlier_scores(vectors, range(200))
    assert find_outliers(ood_score)[0] == 17
    twice = np.concatenate([vectors, np.repeat(vectors[17:18], 8, axis=0)])
    groups = [*range(200), *[17] * 8]
    assert set(find_outliers(outlier_scores(twice, groups))[:9]) == {17, *range(200, 208)}
    assert not outlier_scores(vectors[:8], range(8)).any()


# Small and unusual data


def test_classes_too_small_to_train_on_are_audited(tmp_path, tiny_backbone):
    draw_class(tmp_path / "one", "red", 1)
    draw_class(tmp_path / "many", "blue", 5)
    found = nstk.audit(tmp_path, backbone=tiny_backbone)
    assert found.images == 6
    assert found.label_suspects == ()
    assert "two classes" in found.notices[-1]
    assert "many has 5.0 times" in found.notices[0]


def test_a_class_without_readable_images_is_a_notice(tmp_path, tiny_backbone):
    draw_folder(tmp_path, 6, ("blue", "green"))
    draw_class(tmp_path / "red", "red", 1)[0].write_text("not an image")
    found = nstk.audit(tmp_path, backbone=tiny_backbone)
    assert "red" in found.notices[0]
    assert {suspect.suggestion for suspect in found.label_suspects} <= {"blue", "green"}


def test_an_empty_class_does_not_hide_uneven_ones(tmp_path, tiny_backbone):
    for name, count in (("many", 8), ("few", 2), ("none", 0)):
        (tmp_path / name).mkdir()
        for number in range(count):
            paint(tmp_path / name / f"{number}.png", 100 + number + 10 * (name == "few"))
    notices = nstk.audit(tmp_path, backbone=tiny_backbone).notices
    assert any("image of none" in notice for notice in notices)
    assert any("many has 4.0 times" in notice for notice in notices)


def test_blank_images_of_different_colors_are_not_duplicates(tmp_path, tiny_backbone):
    for name, colors in (("a", [(0, 0, 0), (255, 255, 255)]), ("b", [(250, 10, 10), (9, 9, 250)])):
        (tmp_path / name).mkdir()
        for number, color in enumerate(colors):
            Image.new("RGB", (40, 40), color).save(tmp_path / name / f"{number}.png")
    assert nstk.audit(tmp_path, backbone=tiny_backbone).near_duplicates == ()


def test_images_with_several_labels_are_audited(tmp_path, tiny_backbone):
    lines = ["path,labels"]
    for number in range(6):
        Image.fromarray(draw_image((40, 90, 40 * number), 40, 40, number)).save(
            tmp_path / f"{number}.png"
        )
        lines.append(f"{number}.png,{'red|round' if number % 2 else 'round'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = nstk.audit(tmp_path / "labels.csv", backbone=tiny_backbone)
    assert {each.name: each.images for each in found.classes} == {"red": 3, "round": 6}
    assert not any("errors" in notice for notice in found.notices)
    same = tmp_path / "same.csv"
    same.write_text("path,labels\n0.png,red|round\n1.png,red|round\n")
    found = nstk.audit(same, backbone=tiny_backbone)
    assert "two images" in found.notices[-1]


@pytest.fixture(scope="module")
def lit(tmp_path_factory, tiny_backbone):
    """Images with several of three colors, one label in twenty wrong: the audit and these."""
    root, names = tmp_path_factory.mktemp("lit"), ("blue", "green", "red")
    random = np.random.default_rng(3)
    truth = random.random((120, 3)) < 0.5
    wrong = random.random(truth.shape) < 0.05
    lines = ["path,labels"]
    for number, (row, said) in enumerate(zip(truth, truth ^ wrong, strict=True)):
        pixels = random.normal(60, 12, (40, 40, 3)) + 120 * row
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / f"{number}.png")
        labels = "|".join(name for name, has in zip(names, said, strict=True) if has)
        lines.append(f"{number}.png,{labels}")
    (root / "labels.csv").write_text("\n".join(lines))
    mislabeled = {(f"{number}.png", names[label]) for number, label in np.argwhere(wrong).tolist()}
    return nstk.audit(root / "labels.csv", backbone=tiny_backbone), mislabeled


def test_wrong_and_missing_labels_are_among_the_suspects(lit):
    found, mislabeled = lit
    suspects = set()
    for each in found.label_suspects:
        labels, others = (
            set(filter(None, said.split("|"))) for said in (each.label, each.suggestion)
        )
        [doubtful] = labels ^ others
        suspects.add((each.path.name, doubtful))
        assert labels == set(found.labels(each.path))
        assert each.probability == pytest.approx(1 - each.label_probability)
        assert each.probability > 0.5
    assert len(mislabeled & suspects) >= 0.8 * len(mislabeled)
    assert len(mislabeled & suspects) >= 0.6 * len(suspects)
    assert not found.notices
    own = [each.label_probability for each in found.label_suspects]
    assert own == sorted(own)


def test_a_zip_is_audited_under_its_own_name_and_leaves_no_files(
    tmp_path, tiny_backbone, monkeypatch
):
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    data = draw_folder(tmp_path / "data", 4)
    (data / "red/notes.txt").write_text("not an image")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in sorted(data.rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path))
    found = nstk.audit(tmp_path / "data.zip", backbone=tiny_backbone)
    [unreadable] = found.unreadable
    assert found.display_path(unreadable.path) == tmp_path / "data.zip/data/red/notes.txt"
    page = nstk.write_audit_report(found, tmp_path / "report")
    assert "private" not in page.read_text(encoding="utf-8")
    del found
    gc.collect()
    assert not list(private.iterdir())


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"changed")])
def test_data_that_changes_during_the_audit_is_refused(
    tmp_path, tiny_backbone, monkeypatch, change
):
    draw_folder(tmp_path, 3)
    victim = tmp_path / "red" / "0.png"

    def load(path, **options):
        loaded = load_image(path, **options)
        if path == victim:
            change(path)
        return loaded

    monkeypatch.setattr("nstk.images.loading.load_image", load)
    with pytest.raises(FolderError, match=r"0\.png changed"):
        nstk.audit(tmp_path, backbone=tiny_backbone)


def test_data_without_a_readable_image_is_refused(tmp_path, tiny_backbone):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_text("not an image")
    with pytest.raises(FolderError, match="readable image"):
        nstk.audit(tmp_path, backbone=tiny_backbone)
    with pytest.raises(SettingsError, match="near_distance"):
        AuditSettings(near_distance=33)


# Quality


def test_blur_grows_with_blurring_and_does_not_depend_on_contrast(scene):
    image = Image.fromarray(np.uint8(scene * 255))
    blurs = [
        measure_image(
            np.asarray(image.filter(ImageFilter.GaussianBlur(sigma)), np.float32) / 255
        ).blur
        for sigma in (0, 1, 2, 4)
    ]
    assert blurs == sorted(blurs)
    assert blurs[0] < 0.5 < blurs[-1]
    faint = measure_image(0.4 + 0.2 * scene)
    assert faint.blur == pytest.approx(blurs[0], abs=0.02)
    assert faint.contrast == pytest.approx(0.2 * measure_image(scene).contrast, rel=0.01)


def test_an_image_of_one_color_is_not_blurred_but_has_no_contrast():
    quality = measure_image(np.full((300, 500, 3), 0.5, np.float32))
    assert (quality.blur, quality.contrast) == (0, 0)
    assert quality.brightness == pytest.approx(0.5, abs=1e-4)
    assert (quality.height, quality.width, quality.side) == (300, 500, 300)


def audited_images(**measured):
    """Good images with given values of one quality metric."""
    [(measure, values)] = measured.items()
    good = ImageQuality(height=200, width=200, blur=0.3, brightness=0.5, contrast=0.6)
    square = np.zeros((32, 32, 3), np.uint8)
    return [
        AuditedImage(Path(f"{number}.png"), "PNG", False, str(number), number, square,
              dataclasses.replace(good, **{measure: value}))
        for number, value in enumerate(values)
    ]  # fmt: skip


def test_what_all_images_have_in_common_is_a_notice_and_no_issue():
    issues, notices = find_quality_issues(audited_images(blur=np.linspace(0.8, 0.87, 400)))
    assert not any(issues.values())
    [notice] = notices
    assert notice.startswith("All images")
    assert "blur 0.8" in notice


def test_among_images_that_are_all_poor_outliers_are_listed():
    issues, notices = find_quality_issues(
        audited_images(blur=[*np.linspace(0.7, 0.74, 40), 0.95, 0.3])
    )
    assert [(issue.path.name, issue.value) for issue in issues["blurred"]] == [("40.png", 0.95)]
    assert notices[0].startswith("41 of 42 images")


def test_images_of_a_few_pixels_are_tiny_only_where_others_are_larger():
    issues, notices = find_quality_issues(audited_images(height=[8] * 20 + [1]))
    assert [issue.path.name for issue in issues["tiny"]] == ["20.png"]
    assert "8 px" in notices[0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_all_dark_images_are_listed_unless_three_quarters_are_dark(values):
    issues, notices = find_quality_issues(audited_images(brightness=values))
    dark = sorted(value for value in values if value < 0.1)
    listed = [issue.value for issue in issues["dark"]]
    assert listed == dark if not notices else set(listed) <= set(dark)
    if notices:
        assert 4 * len(dark) >= 3 * len(values)
        assert np.median(values) not in listed


# The page


class Addresses(HTMLParser):
    """All addresses in a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset")]


def test_the_report_contains_the_images_and_loads_nothing(found, tmp_path):
    page = nstk.write_audit_report(found, tmp_path / "report")
    assert page == tmp_path / "report" / "audit.html"
    text = page.read_text(encoding="utf-8")
    addresses = Addresses(text).found
    assert all(re.match(r"data:(image/(png|jpeg);base64)?,|#", each) for each in addresses)
    assert sum(each.startswith("data:") for each in addresses) >= 16
    assert "<script" not in text
    for words in ("smaller.jpg", "broken.png"):
        assert words in text
    assert nstk.write_audit_report(found, tmp_path / "report") == page


def test_a_report_on_good_images_lists_nothing(tmp_path, tiny_backbone):
    for name in ("a", "b"):
        for number in range(4):
            paint(tmp_path / "data" / name / f"{number}.png", 40 + number + 10 * (name == "a"))
    found = nstk.audit(tmp_path / "data", backbone=tiny_backbone)
    page = nstk.write_audit_report(found, tmp_path).read_text(encoding="utf-8")
    assert "a/0.png" not in page or found.label_suspects or found.outliers


def test_an_unwritable_report_folder_is_refused(found, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        check_audit_report(tmp_path / "file")
    with pytest.raises(OutputError, match="missing"):
        nstk.write_audit_report(found, tmp_path / "missing" / "report")


def test_a_cache_saves_the_work_and_changes_no_finding(damaged, found, tiny_backbone, tmp_path):
    first = nstk.audit(damaged, backbone=tiny_backbone, cache=tmp_path)
    decoded = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nstk.auditing.reading.measure_image", lambda pixels: decoded.append(1) or 0)
        second = nstk.audit(damaged, backbone=tiny_backbone, cache=tmp_path)
    assert decoded == []
    for cached in (first, second):
        for field in dataclasses.fields(found):
            if field.name not in ("catalog", "seconds"):
                assert getattr(cached, field.name) == getattr(found, field.name), field.name


def test_features_of_an_audit_are_reused_by_finetune(tmp_path, tiny_backbone):
    data = draw_folder(tmp_path / "data", 6)
    nstk.audit(data, backbone=tiny_backbone, cache=tmp_path / "cache")
    made = nstk.finetune(data, backbone=tiny_backbone, cache=tmp_path / "cache")
    assert made.forward_passes == 0
    assert made.selection.head.digest == (
        nstk.finetune(data, backbone=tiny_backbone).selection.head.digest
    )


def test_a_change_in_a_zip_is_reported_with_the_path_in_the_zip(
    tmp_path, tiny_backbone, monkeypatch
):
    data = draw_folder(tmp_path / "data", 3)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in data.rglob("*.*"):
            archive.write(path, path.relative_to(data))

    def touch(path, **options):
        path.write_bytes(path.read_bytes() + b" ")
        return load_image(path, **options)

    monkeypatch.setattr("nstk.images.loading.load_image", touch)
    with pytest.raises(FolderError, match=r"data\.zip/\w+/0\.png changed") as caught:
        nstk.audit(tmp_path / "data.zip", backbone=tiny_backbone)
    assert "/nstk-" not in str(caught.value)
