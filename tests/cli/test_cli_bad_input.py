"""Bad input is one clear line on standard error, exit 2, and nothing written."""

import re
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from shell import complaint, invoke, spawn

import nstk


def png_chunk(name, content):
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


@pytest.fixture
def place(tmp_path, scene):
    """A folder with one good image, good.png."""
    nstk.save_image(tmp_path / "good.png", scene)
    return tmp_path


def files(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def refuse(place, *arguments):
    """Run what must be refused.

    Returns:
        What it says, with the folder's own path taken out.
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
        path.write_text("this is no image\n" * 20)
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
    "directory": r"bad\.jpg.*folder",
    "text": r"bad\.jpg.*not an image|bad\.jpg.*no image",
    "truncated": r"bad\.jpg.*(truncated|cut short|ends|damaged)",
    "empty": r"bad\.jpg.*empty",
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


def test_what_is_no_folder_is_refused_as_data(place):
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
def test_what_is_no_weights_file_is_refused(place, data, content):
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
def test_weights_of_another_network_are_refused_with_both_sides(place, data, shared):
    weights = shared / "weights" / "mobilenet_0.75_224_notop.weights.h5"
    line = refuse(
        place,
        *("finetune", data, "-o", place / "model.keras"),
        *("--backbone", "mobilenet-0.5", "--weights", weights),
    )
    assert weights.name in line
    assert "24" in line  # channels of the first convolution in the file ...
    assert "16" in line  # ... and in the network


@pytest.mark.slow
def test_without_a_connection_an_imagenet_download_says_what_works_instead(place, data):
    before = files(place)
    home = place.parent / "keras-home"
    nowhere = "http://127.0.0.1:9"
    result = spawn(
        *("finetune", data, "-o", place / "model.keras", "--backbone", "mobilenet-0.25"),
        **{"http_proxy": nowhere, "https_proxy": nowhere, "KERAS_HOME": str(home)},
    )
    assert result.returncode == 2
    line = complaint(result)
    assert "compact" in line
    assert "--weights" in line
    assert files(place) == before
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("kind", ["missing", "text", "directory"])
def test_what_is_no_classifier_is_refused(place, kind):
    model = place / "model.keras"
    write_bad_image(model, kind, place / "good.png")
    assert "model.keras" in refuse(place, "predict", model, place / "good.png")


@pytest.mark.slow
def test_bad_input_in_a_process_of_its_own_is_one_line_and_exit_2(place):
    good, out = place / "good.png", place / "out.png"
    for arguments in (
        ("stylize", place / "missing.jpg", good, "-o", out),
        ("stylize", good, good, "-o", out, "--size", 0),
        ("finetune", place, "-o", place / "model.keras"),
    ):
        before = files(place)
        result = spawn(*arguments)
        assert result.returncode == 2
        complaint(result)
        assert files(place) == before
