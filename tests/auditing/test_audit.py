"""An audit finds what was spoilt on purpose, and leaves sound images alone."""

import dataclasses
import gc
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
from nstk.auditing.copies import group_near
from nstk.auditing.flaws import find_flaws
from nstk.auditing.reading import AuditedImage
from nstk.auditing.suspects import find_outliers, find_suspects, outlier_scores
from nstk.errors import FolderError, OutputError, SettingsError
from nstk.images.image import load_image
from nstk.images.quality import ImageQuality, measure_image


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
def spoilt(tmp_path_factory):
    """Two classes in two parts, with one example of everything that can be wrong."""
    root = tmp_path_factory.mktemp("spoilt") / "data"
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
def found(spoilt, tiny_backbone):
    return nstk.audit(spoilt, backbone=tiny_backbone)


def test_files_that_are_wrong_are_listed(found):
    assert names(found.unreadable) == {"broken.png", "notes.txt"}
    assert names(found.skipped) == {"README.md"}
    [extension] = found.wrong_extension
    assert (extension.path.name, extension.format) == ("liar.jpg", "PNG")


def test_copies_are_found_and_told_apart(found):
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


def test_classes_are_counted_by_part(found):
    assert [(each.name, each.counts, each.images) for each in found.classes] == [
        ("ants", {"train": 14, "validation": 5}, 19),
        ("bees", {"train": 9, "validation": 4}, 13),
    ]
    assert found.images == 32
    assert found.notices == ()


def test_an_audit_changes_nothing_and_gives_the_same_again(spoilt, found, tiny_backbone):
    before = {path: path.stat().st_mtime_ns for path in spoilt.rglob("*")}
    again = nstk.audit(spoilt, backbone=tiny_backbone)
    assert {path: path.stat().st_mtime_ns for path in spoilt.rglob("*")} == before
    for field in ("label_suspects", "outliers", "near_duplicates", "blurred", "qualities"):
        assert getattr(again, field) == getattr(found, field)


# Labels


@pytest.fixture(scope="module")
def flipped(tmp_path_factory, tiny_backbone):
    """Three classes of sixty, one image in twenty in a wrong folder: the audit, the culprits."""
    root = draw_folder(tmp_path_factory.mktemp("flipped"), 60, ("blue", "green", "red"))
    random = np.random.default_rng(5)
    paths = sorted(path for path in root.rglob("*.*"))
    culprits = set()
    for index in random.choice(len(paths), len(paths) // 20, replace=False):
        path = paths[index]
        others = {"blue", "green", "red"} - {path.parent.name}
        wrong = random.choice(sorted(others))
        culprits.add(path.rename(root / wrong / f"was-{path.parent.name}-{path.name}"))
    return nstk.audit(root, backbone=tiny_backbone), culprits


def test_flipped_labels_are_among_the_suspects(flipped):
    found, culprits = flipped
    suspected = {suspect.path for suspect in found.label_suspects}
    assert len(culprits & suspected) >= 0.8 * len(culprits)
    assert len(culprits & suspected) >= 0.6 * len(suspected)


def test_the_suggestion_is_the_class_the_image_came_from(flipped):
    found, culprits = flipped
    for suspect in found.label_suspects:
        assert suspect.label == suspect.path.parent.name
        if suspect.path in culprits:
            assert suspect.path.name.startswith(f"was-{suspect.suggestion}-")
    own = [suspect.label_probability for suspect in found.label_suspects]
    assert own == sorted(own)


@given(
    labels=st.lists(st.integers(0, 2), min_size=6, max_size=30),
    seed=st.integers(0, 99),
)
def test_no_label_is_suspect_where_heads_agree_with_all(labels, seed):
    chances = np.random.default_rng(seed).uniform(0, 0.2, (len(labels), 3))
    chances[np.arange(len(labels)), labels] = 0.8
    assert find_suspects(chances, np.array(labels)) == []
    chances[0] = np.nan
    assert find_suspects(chances, np.array(labels)) == []


@given(
    labels=st.lists(st.integers(0, 2), min_size=6, max_size=30),
    seed=st.integers(0, 99),
)
def test_a_suspect_looks_more_like_another_class_than_like_its_own(labels, seed):
    chances = np.random.default_rng(seed).dirichlet((1, 1, 0.1), len(labels))
    for place, likely in find_suspects(chances, np.array(labels)):
        assert chances[place, likely] > chances[place, labels[place]]


def test_a_class_that_is_never_likely_does_not_claim_the_images_of_others():
    chances = np.array([[0.95, 0.05], [0.6, 0.4], [0.9, 0.1], [0.97, 0.03]])
    labels = np.array([0, 0, 1, 1])  # what has 0.065 of the second class on average
    assert find_suspects(chances, labels) == [(3, 0), (2, 0)]


def test_frames_of_one_scene_are_compared_once_and_other_scenes_kept_apart():
    sights = [
        AuditedImage(
            Path(f"{number}"), "JPEG", False, f"{number}", number % 8, draw_thumbnail(number), None
        )
        for number in range(600)
    ]
    groups = group_near(sights, 8)
    assert groups == [number % 3 for number in range(600)]


def draw_thumbnail(number):
    """A frame of one of three scenes: two that differ in their pattern, and a plain one."""
    random = np.random.default_rng(number % 3)
    scene = random.integers(40, 200, (32, 32, 3)) if number % 3 else np.full((32, 32, 3), 90)
    return np.uint8(scene + np.random.default_rng(number).integers(0, 3, (32, 32, 3)))


def test_a_stranger_among_neighbors_is_an_outlier_and_a_copy_is_no_neighbor():
    vectors = np.random.default_rng(0).normal(0, 1, (200, 8)).astype(np.float32)
    vectors[17] += 12
    ood_score = outlier_scores(vectors, range(200))
    assert find_outliers(ood_score)[0] == 17
    twice = np.concatenate([vectors, np.repeat(vectors[17:18], 8, axis=0)])
    groups = [*range(200), *[17] * 8]
    assert set(find_outliers(outlier_scores(twice, groups))[:9]) == {17, *range(200, 208)}
    assert not outlier_scores(vectors[:8], range(8)).any()


# Small and strange data


def test_classes_too_small_to_learn_from_are_audited_all_the_same(tmp_path, tiny_backbone):
    draw_class(tmp_path / "one", "red", 1)
    draw_class(tmp_path / "many", "blue", 5)
    found = nstk.audit(tmp_path, backbone=tiny_backbone)
    assert found.images == 6
    assert found.label_suspects == ()
    assert "two classes have two images" in found.notices[-1]
    assert "many has 5.0 times as many images as one" in found.notices[0]


def test_a_class_without_readable_images_is_a_notice(tmp_path, tiny_backbone):
    draw_folder(tmp_path, 6, ("blue", "green"))
    draw_class(tmp_path / "red", "red", 1)[0].write_text("not an image")
    found = nstk.audit(tmp_path, backbone=tiny_backbone)
    assert "no readable image of red" in found.notices[0]
    assert {suspect.suggestion for suspect in found.label_suspects} <= {"blue", "green"}


def test_an_empty_class_does_not_hide_that_the_others_are_uneven(tmp_path, tiny_backbone):
    for name, count in (("many", 8), ("few", 2), ("none", 0)):
        (tmp_path / name).mkdir()
        for number in range(count):
            paint(tmp_path / name / f"{number}.png", 100 + number + 10 * (name == "few"))
    notices = nstk.audit(tmp_path, backbone=tiny_backbone).notices
    assert "There is no readable image of none." in notices
    assert "many has 4.0 times as many images as few." in notices


def test_blank_images_of_different_colors_are_no_copies(tmp_path, tiny_backbone):
    for name, colors in (("a", [(0, 0, 0), (255, 255, 255)]), ("b", [(250, 10, 10), (9, 9, 250)])):
        (tmp_path / name).mkdir()
        for number, color in enumerate(colors):
            Image.new("RGB", (40, 40), color).save(tmp_path / name / f"{number}.png")
    assert nstk.audit(tmp_path, backbone=tiny_backbone).near_duplicates == ()


def test_images_with_several_labels_are_audited(tmp_path, tiny_backbone):
    lines = ["path,label"]
    for number in range(6):
        Image.fromarray(draw_image((40, 90, 40 * number), 40, 40, number)).save(
            tmp_path / f"{number}.png"
        )
        lines.append(f"{number}.png,{'red|round' if number % 2 else 'round'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = nstk.audit(tmp_path / "labels.csv", backbone=tiny_backbone)
    assert {each.name: each.images for each in found.classes} == {"red": 3, "round": 6}
    assert not any("Wrong labels" in notice for notice in found.notices)
    same = tmp_path / "same.csv"
    same.write_text("path,labels\n0.png,red|round\n1.png,red|round\n")
    found = nstk.audit(same, backbone=tiny_backbone)
    assert "only where two images have one and two lack it" in found.notices[-1]


@pytest.fixture(scope="module")
def lit(tmp_path_factory, tiny_backbone):
    """Images lit in any of three channels, one label in twenty wrong: the audit, the culprits."""
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
    culprits = {(f"{number}.png", names[label]) for number, label in np.argwhere(wrong).tolist()}
    return nstk.audit(root / "labels.csv", backbone=tiny_backbone), culprits


def test_of_several_labels_the_wrong_and_the_missing_are_among_the_suspects(lit):
    found, culprits = lit
    suspected = set()
    for each in found.label_suspects:
        labels, others = (
            set(filter(None, said.split("|"))) for said in (each.label, each.suggestion)
        )
        [doubtful] = labels ^ others
        suspected.add((each.path.name, doubtful))
        assert labels == set(found.labels(each.path))
        assert each.probability == pytest.approx(1 - each.label_probability)
        assert each.probability > 0.5
    assert len(culprits & suspected) >= 0.8 * len(culprits)
    assert len(culprits & suspected) >= 0.6 * len(suspected)
    assert not found.notices
    own = [each.label_probability for each in found.label_suspects]
    assert own == sorted(own)


def test_a_zip_is_audited_under_its_own_name_and_leaves_nothing(
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
    assert found.name(unreadable.path) == tmp_path / "data.zip/data/red/notes.txt"
    page = nstk.write_audit_report(found, tmp_path / "report")
    assert "private" not in page.read_text(encoding="utf-8")
    del found
    gc.collect()
    assert not list(private.iterdir())


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"changed")])
def test_data_that_changes_while_it_is_read_is_refused(
    tmp_path, tiny_backbone, monkeypatch, change
):
    draw_folder(tmp_path, 3)
    victim = tmp_path / "red" / "0.png"

    def load(path):
        loaded = load_image(path)
        if path == victim:
            change(path)
        return loaded

    monkeypatch.setattr("nstk.auditing.reading.load_image", load)
    with pytest.raises(FolderError, match=r"0.png changed while it was read; leave"):
        nstk.audit(tmp_path, backbone=tiny_backbone)


def test_data_without_a_readable_image_is_refused(tmp_path, tiny_backbone):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_text("not an image")
    with pytest.raises(FolderError, match="no image that can be read"):
        nstk.audit(tmp_path, backbone=tiny_backbone)
    with pytest.raises(SettingsError, match="near-distance"):
        nstk.AuditSettings(near_distance=33)


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


def test_a_image_of_one_color_is_not_blurred_but_empty():
    quality = measure_image(np.full((300, 500, 3), 0.5, np.float32))
    assert (quality.blur, quality.contrast) == (0, 0)
    assert quality.brightness == pytest.approx(0.5, abs=1e-4)
    assert (quality.height, quality.width, quality.side) == (300, 500, 300)


def draw_sights(**measured):
    """What was seen in images that are sound but for one measure."""
    [(measure, values)] = measured.items()
    sound = ImageQuality(height=200, width=200, blur=0.3, brightness=0.5, contrast=0.6)
    square = np.zeros((32, 32, 3), np.uint8)
    return [
        AuditedImage(Path(f"{number}.png"), "PNG", False, str(number), number, square,
              dataclasses.replace(sound, **{measure: value}))
        for number, value in enumerate(values)
    ]  # fmt: skip


def test_what_all_images_are_is_told_once_and_lists_none_of_them():
    flaws, notices = find_flaws(draw_sights(blur=np.linspace(0.8, 0.87, 400)))
    assert not any(flaws.values())
    [notice] = notices
    assert notice.startswith("All images are without sharp edges (blur 0.8")


def test_among_images_that_are_all_poor_those_far_beyond_the_others_are_listed():
    flaws, notices = find_flaws(draw_sights(blur=[*np.linspace(0.7, 0.74, 40), 0.95, 0.3]))
    assert [(flaw.path.name, flaw.value) for flaw in flaws["blurred"]] == [("40.png", 0.95)]
    assert notices[0].startswith("41 of 42 images are without sharp edges")


def test_images_of_a_few_pixels_are_tiny_only_where_others_are_larger():
    flaws, notices = find_flaws(draw_sights(height=[8] * 20 + [1]))
    assert [flaw.path.name for flaw in flaws["tiny"]] == ["20.png"]
    assert "8 px at the median" in notices[0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_whatever_is_flawed_is_listed_unless_three_quarters_are(values):
    flaws, notices = find_flaws(draw_sights(brightness=values))
    dark = sorted(value for value in values if value < 0.1)
    listed = [flaw.value for flaw in flaws["dark"]]
    assert listed == dark if not notices else set(listed) <= set(dark)
    if notices:
        assert 4 * len(dark) >= 3 * len(values)
        assert np.median(values) not in listed


# The page


class Addresses(HTMLParser):
    """Everything a page would load or lead to."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset")]


def test_the_page_shows_the_images_and_needs_nothing_else(found, tmp_path):
    page = nstk.write_audit_report(found, tmp_path / "report")
    assert page == tmp_path / "report" / "audit.html"
    text = page.read_text(encoding="utf-8")
    addresses = Addresses(text).found
    assert all(re.match(r"data:(image/(png|jpeg);base64)?,|#", each) for each in addresses)
    assert sum(each.startswith("data:") for each in addresses) >= 16
    assert "<script" not in text
    for words in ("Audit of data", "Copies in different parts", "smaller.jpg", "broken.png"):
        assert words in text
    assert nstk.write_audit_report(found, tmp_path / "report") == page


def test_a_page_about_sound_images_says_so(tmp_path, tiny_backbone):
    for name in ("a", "b"):
        for number in range(4):
            paint(tmp_path / "data" / name / f"{number}.png", 40 + number + 10 * (name == "a"))
    found = nstk.audit(tmp_path / "data", backbone=tiny_backbone)
    page = nstk.write_audit_report(found, tmp_path).read_text(encoding="utf-8")
    assert ("Nothing was found" in page) == (not found.label_suspects)
    assert "Copies" not in page


def test_a_place_where_no_page_can_stand_is_refused(found, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file; give the name of a folder"):
        nstk.check_audit_report(tmp_path / "file")
    with pytest.raises(OutputError, match="there is no folder"):
        nstk.write_audit_report(found, tmp_path / "missing" / "report")


def test_a_cache_saves_the_work_and_changes_no_finding(spoilt, tiny_backbone, tmp_path):
    without = nstk.audit(spoilt, backbone=tiny_backbone)
    first = nstk.audit(spoilt, backbone=tiny_backbone, cache=tmp_path)
    decoded = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nstk.auditing.reading.measure_image", lambda pixels: decoded.append(1) or 0)
        second = nstk.audit(spoilt, backbone=tiny_backbone, cache=tmp_path)
    assert decoded == []
    for found in (first, second):
        for field in dataclasses.fields(found):
            if field.name not in ("catalog", "seconds"):
                assert getattr(found, field.name) == getattr(without, field.name), field.name


def test_what_an_audit_saw_fine_tuning_need_not_look_at_again(tmp_path, tiny_backbone):
    data = draw_folder(tmp_path / "data", 6)
    nstk.audit(data, backbone=tiny_backbone, cache=tmp_path / "cache")
    made = nstk.finetune(data, backbone=tiny_backbone, cache=tmp_path / "cache")
    assert made.forward_passes == 0
    assert made.selection.head.digest == (
        nstk.finetune(data, backbone=tiny_backbone).selection.head.digest
    )


def test_what_changes_in_a_zip_is_told_as_inside_the_zip(tmp_path, tiny_backbone, monkeypatch):
    data = draw_folder(tmp_path / "data", 3)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in data.rglob("*.*"):
            archive.write(path, path.relative_to(data))

    def touch(path):
        path.write_bytes(path.read_bytes() + b" ")
        return load_image(path)

    monkeypatch.setattr("nstk.auditing.reading.load_image", touch)
    with pytest.raises(FolderError, match=r"data\.zip/\w+/0\.png changed") as caught:
        nstk.audit(tmp_path / "data.zip", backbone=tiny_backbone)
    assert "/nstk-" not in str(caught.value)
