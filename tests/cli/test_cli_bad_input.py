"""Bad input: one line on standard error, exit 2, and nothing written."""

import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from shell import complaint, invoke

from nstk.backbones.loading import load_backbone
from nstk.images.encoding import save_image


def png_chunk(name, content):
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_backbone, scene):
    """A folder with one good image, good.png; the tiny network replaces the default ones."""

    def load(name, **options):
        if name in ("compact", "efficientnet-lite0"):
            return tiny_backbone
        return load_backbone(name, **options)

    for module in ("backbones.loading", "backbones.candidates"):
        monkeypatch.setattr(f"nstk.{module}.load_backbone", load)
    save_image(tmp_path / "good.png", scene)
    return tmp_path


def files(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def refuse(place, *arguments):
    """Run a command that must fail without writing anything.

    Returns:
        Its message, without the path of the folder.
    """
    before = files(place)
    result = invoke(*arguments)
    line = complaint(result)
    assert result.exit_code == 2, result.stderr
    assert files(place) == before
    return line.replace(str(place), "PLACE")


def write_bad_image(path, kind, good):
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("not an image\n" * 20)
    elif kind == "truncated":
        Image.open(good).resize((200, 150)).convert("RGB").save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:1500])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "1x1":
        Image.new("RGB", (1, 1)).save(path, "PNG")
    elif kind == "3x2000":
        Image.new("RGB", (3, 2000)).save(path, "PNG")
    elif kind == "bomb":
        size = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
        header = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", size)
        path.write_bytes(header + png_chunk(b"IDAT", zlib.compress(b"\0" * 64)))
    else:
        assert kind == "missing"


SAID = {
    "missing": r"bad\.jpg",
    "directory": r"bad\.jpg",
    "text": r"bad\.jpg",
    "truncated": r"bad\.jpg",
    "empty": r"bad\.jpg",
    "1x1": r"bad\.jpg.*1 ?× ?1",
    "3x2000": r"bad\.jpg.*3 ?× ?2000",
    "bomb": r"bad\.jpg.*100 ?000",
}


@pytest.mark.parametrize("role", ["content", "style", "init"])
@pytest.mark.parametrize("kind", SAID)
def test_a_bad_image_is_refused(place, kind, role):
    bad, good, out = place / "bad.jpg", place / "good.png", place / "out.png"
    write_bad_image(bad, kind, good)
    if role == "init" and kind in ("1x1", "3x2000"):
        return  # any image can be resized to start from
    images = {"content": [bad, good], "style": [good, bad], "init": [good, good]}[role]
    init = ["--init", bad] if role == "init" else []
    line = refuse(place, "stylize", *images, "-o", out, "--size", 64, "--steps", 1, *init)
    assert re.search(SAID[kind], line), line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "0"], "--size is 0"),
        (["--steps", "-1"], "--steps is -1"),
        (["--steps", "0"], "--steps is 0"),
        (["--scales", "0"], "--scales is 0"),
        (["--style-weight", "nan"], "--style-weight is nan"),
        (["--content-weight", "inf"], "--content-weight is inf"),
        (["--seed", "-1"], "--seed is -1"),
        (["--backbone", "mobilnet-0.75"], "mobilenet-0.75"),
        (["--backbone", "no such network"], "no such network"),
    ],
)
def test_a_bad_option_of_stylize_is_refused(place, options, said):
    good = place / "good.png"
    assert said in refuse(place, "stylize", good, good, "-o", place / "out.png", *options)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("out.docx", r"\.png"),
        ("out", r"\.png"),
        ("missing/out.png", "missing"),
        ("good.png/out.png", "folder"),
        ("folder.png", "folder"),
    ],
)
def test_an_unwritable_output_of_stylize_is_refused(place, output, said):
    (place / "folder.png").mkdir()
    good = place / "good.png"
    assert re.search(said, refuse(place, "stylize", good, good, "-o", place / output))


def write_class(folder, name, count):
    (folder / name).mkdir(parents=True)
    random = np.random.default_rng(count)
    for number in range(count):
        noise = random.integers(0, 255, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(folder / name / f"{number}.png")


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({}, "class"),
        ({"ants": 4}, "class"),
        ({"ants": 4, "bees": 1}, "bees"),
        ({"ants": 4, "bees": 0}, "bees"),
    ],
)
def test_a_folder_without_two_classes_of_two_images_is_refused(place, classes, said):
    data = place / "data"
    data.mkdir()
    for name, count in classes.items():
        write_class(data, name, count)
    assert said in refuse(place, "finetune", data, "-o", place / "model.keras")


@pytest.fixture
def data(place):
    """A folder with two small classes."""
    write_class(place / "data", "ants", 3)
    write_class(place / "data", "bees", 3)
    return place / "data"


def test_data_must_be_a_folder(place):
    for data in (place / "missing", place / "good.png"):
        assert data.name in refuse(place, "finetune", data, "-o", place / "model.keras")


@pytest.mark.parametrize("output", ["model.h5", "model", "missing/model.keras", "folder.keras"])
def test_an_unwritable_output_of_finetune_is_refused(place, data, output):
    (place / "folder.keras").mkdir()
    line = refuse(place, "finetune", data, "-o", place / output)
    assert re.search(r"\.keras|folder", line)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "8"], "--size is 8"),
        (["--validation-share", "0.9"], "--validation-share is 0.9"),
        (["--backbone", "vgg91"], "vgg19"),
    ],
)
def test_a_bad_option_of_finetune_is_refused(place, data, options, said):
    assert said in refuse(place, "finetune", data, "-o", place / "model.keras", *options)


@pytest.mark.parametrize("content", [None, b"", b"not weights at all"])
def test_an_invalid_weights_file_is_refused(place, data, content):
    weights = place / "some.weights.h5"
    if content is not None:
        weights.write_bytes(content)
    line = refuse(
        place,
        *("finetune", data, "-o", place / "model.keras"),
        *("--backbone", "mobilenet-0.25", "--weights", weights),
    )
    assert "some.weights.h5" in line


@pytest.mark.slow
def test_weights_of_another_network_are_refused_with_both_shapes(place, data, shared):
    weights = shared / "weights" / "mobilenet_0.75_224_notop.weights.h5"
    line = refuse(
        place,
        *("finetune", data, "-o", place / "model.keras"),
        *("--backbone", "mobilenet-0.5", "--weights", weights),
    )
    assert weights.name in line
    assert "24" in line  # channels of the first convolution in the file ...
    assert "16" in line  # ... and in the network


def test_without_a_connection_a_download_error_names_alternatives(place, data, monkeypatch):
    def fail(name, *args, **kwargs):
        raise Exception(f"URL fetch failure on https://example.org/{name}: no network")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    output = place / "model.keras"
    line = refuse(place, "finetune", data, "-o", output, "--backbone", "mobilenet-0.25")
    assert "--backbone compact" in line
    assert "--weights" in line


@pytest.mark.parametrize("kind", ["missing", "text", "directory"])
def test_an_invalid_classifier_is_refused(place, kind):
    model = place / "model.keras"
    write_bad_image(model, kind, place / "good.png")
    assert "model.keras" in refuse(place, "predict", model, place / "good.png")
