"""Classifiers read images as they look, and large JPEGs at a fraction of their size."""

import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw

import nstk
from nstk.features.cache import FeatureCache
from nstk.features.crops import needed_side
from nstk.features.extractor import FeatureExtractor, extract_features
from nstk.images.loading import ImageReader, load_levels

CLASSES = ("circle", "square")


def draw_icon(kind: str, seed: int) -> Image.Image:
    """How opaque each pixel of an icon is."""
    x, y, r = np.random.default_rng(seed).integers((20, 20, 8), (44, 44, 16)).tolist()
    mask = Image.new("L", (64, 64), 0)
    box = (x - r, y - r, x + r, y + r)
    draw = ImageDraw.Draw(mask)
    draw.ellipse(box, fill=255) if kind == "circle" else draw.rectangle(box, fill=200)
    return mask


@pytest.fixture(scope="module")
def icons(tmp_path_factory):
    """The same black icons on white, on transparent black, and as others would save them."""
    root = tmp_path_factory.mktemp("icons")
    for kind in CLASSES:
        for seed in range(6):
            mask = draw_icon(kind, seed)
            white = Image.new("RGB", mask.size, "white")
            white.paste("black", mask=mask)
            clear = Image.merge("RGBA", [Image.new("L", mask.size, 0)] * 3 + [mask])
            for name, image in (("white", white), ("clear", clear)):
                folder = root / name / kind
                folder.mkdir(parents=True, exist_ok=True)
                image.save(folder / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def classifier(icons, tiny_backbone):
    return nstk.finetune(icons / "clear", backbone=tiny_backbone).classifier


def probabilities(classifier, images, **options):
    options = {"executor": "tensorflow", **options}
    return nstk.predict(classifier, images, **options)


def test_transparent_icons_are_those_on_white(classifier, icons, tiny_backbone):
    white = nstk.finetune(icons / "white", backbone=tiny_backbone).classifier
    for weights, expected in zip(
        classifier.model.get_weights(), white.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weights, expected)
    asked = [each.top for each in probabilities(classifier, icons / "clear")]
    assert asked == [each.top for each in probabilities(classifier, icons / "white")]


def test_arrays_with_alpha_are_the_files(classifier, icons, tiny_backbone):
    files = sorted((icons / "clear").rglob("*.png"))
    arrays = [np.asarray(Image.open(path)) for path in files]
    expected = [each.top for each in probabilities(classifier, files)]
    for given in (arrays, np.stack(arrays), [Image.open(path) for path in files]):
        assert [each.top for each in probabilities(classifier, given)] == expected
    labels = [CLASSES.index(path.parent.name) for path in files]
    learned = nstk.finetune(
        (arrays, labels), class_names=list(CLASSES), backbone=tiny_backbone, background="#102030"
    )
    assert learned.classifier.reader_for().background == (16, 32, 48)


def test_a_ground_is_learned_with_the_classifier(icons, tiny_backbone, tmp_path):
    made = nstk.finetune(icons / "clear", backbone=tiny_backbone, background="black").classifier
    loaded = nstk.Classifier.load(made.save(tmp_path / "a.keras"))
    black = Image.new("RGB", (64, 64))
    [expected] = probabilities(loaded, np.asarray(black))
    for each in probabilities(loaded, icons / "clear"):
        assert dict(each.top) == pytest.approx(dict(expected.top), abs=1e-6)
    [explained, *_] = nstk.explain(loaded, icons / "clear", executor="tensorflow")
    assert explained.probability == pytest.approx(expected.top[0][1], abs=1e-6)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """JPEGs far larger than the network needs."""
    root = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    for number, kind in enumerate(CLASSES * 3):
        (root / kind).mkdir(exist_ok=True)
        coarse = generator.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize((1920, 1440), Image.Resampling.BICUBIC)
        image.save(root / kind / f"{number}.jpg", quality=90)
    return root


def test_a_large_jpeg_is_decoded_at_a_fraction_that_suffices(photographs):
    path = next(photographs.rglob("*.jpg"))
    fast, exact = ImageReader(), ImageReader(decode="exact")
    assert (needed_side(224), needed_side(32)) == (896, 704)
    assert fast.load_levels(path, 704).shape == (720, 960, 3)
    assert fast.load_levels(path, 721).shape == (1440, 1920, 3)
    assert fast.load_levels(path, 100).shape == (180, 240, 3)
    assert exact.load_levels(path, 704).shape == (1440, 1920, 3)
    whole = load_levels(path).reshape(720, 2, 960, 2, 3).mean(axis=(1, 3))
    assert np.abs(fast.load_levels(path, 704) - whole).mean() < 1


def test_predictions_hardly_depend_on_how_much_is_decoded(photographs, tiny_backbone, tmp_path):
    made = nstk.finetune(photographs, backbone=tiny_backbone).classifier
    exact = probabilities(made, photographs, decode="exact")
    fast = probabilities(made, photographs)
    assert exact.labels == fast.labels
    differences = [abs(a.probability - b.probability) for a, b in zip(exact, fast, strict=True)]
    assert 0 < np.mean(differences) < 0.01
    learned = nstk.finetune(photographs, backbone=tiny_backbone, decode="exact").classifier
    assert learned.reader_for().decode == "exact"
    assert learned.reader_for("fast").decode == "fast"
    with pytest.raises(nstk.NstkError, match="`decode` is 'rough'"):
        nstk.predict(made, photographs, decode="rough")


def test_the_cache_distinguishes_how_images_were_read(photographs, tiny_backbone, tmp_path):
    paths = sorted(photographs.rglob("*.jpg"))
    passes = []
    for reader in (
        ImageReader(),
        ImageReader(decode="exact"),
        ImageReader(background=(0, 0, 0)),
        ImageReader(),
    ):
        extractor = FeatureExtractor(tiny_backbone, 32, reader=reader)
        passes.append(
            extract_features(extractor, paths, cache=FeatureCache(tmp_path)).forward_passes
        )
    assert passes == [6, 6, 6, 0]


def test_an_audit_knows_the_true_size_of_what_it_decodes_in_part(
    photographs, tiny_backbone, tmp_path
):
    for path in photographs.rglob("*.jpg"):
        folder = tmp_path / path.parent.name
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder)
    small = Image.new("RGB", (40, 300), "red")
    small.save(tmp_path / "circle" / "small.jpg")
    found = nstk.audit(tmp_path, backbone=tiny_backbone)
    assert [each.path.name for each in found.tiny] == ["small.jpg"]


def test_twelve_bits_in_sixteen_are_told_of(tiny_backbone, tmp_path, caplog):
    generator = np.random.default_rng(0)
    for number, kind in enumerate(CLASSES * 3):
        (tmp_path / kind).mkdir(exist_ok=True)
        values = generator.integers(0, 4096, (40, 40)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / kind / f"{number}.tif")
    made = nstk.finetune(tmp_path, backbone=tiny_backbone)
    assert any("upper 4 bits" in notice for notice in made.notices)
    probabilities(made.classifier, tmp_path)
    assert "upper 4 bits" in caplog.text
