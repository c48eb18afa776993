"""Decompression bombs and forged files."""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from dataclasses import asdict

import h5py
import numpy as np
import pytest
from PIL import Image
from untrusted_files import open_and_read, soon

import nstk
from nstk.datasets.sources import open_catalog
from nstk.errors import FolderError, ImageError, ModelError, StyleFileError, WeightsError
from nstk.features.cache import FeatureCache
from nstk.images.loading import load_image, load_levels
from nstk.storage.array_files import write_arrays
from nstk.storage.checkpoints import FORMAT, CheckpointFolder, RunIdentity, _digest
from nstk.stylization.styles import load_style


def chunk(name, content):
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def png_of_zeros(width, height):
    """An empty gray image in a thousandth of its size."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def test_a_small_png_that_claims_many_pixels_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", 14_000, 14_000, 8, 6, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))
    path.write_bytes(content + chunk(b"IEND", b""))
    with soon(), pytest.raises(ImageError, match="bytes"):
        load_image(path)


def test_a_large_empty_mask_is_not_a_bomb(tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(png_of_zeros(8000, 7000))
    assert load_levels(path).shape == (7000, 8000, 3)


def test_a_gif_with_a_screen_much_larger_than_its_frame_is_refused(tmp_path):
    path = tmp_path / "bomb.gif"
    Image.new("P", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", 13_000, 13_000)
    path.write_bytes(content)
    with soon(), pytest.raises(ImageError, match="bytes"):
        load_image(path)


def test_only_the_first_of_many_gif_frames_is_decoded(tmp_path):
    path = tmp_path / "long.gif"
    Image.new("P", (64, 64)).save(path)
    content = path.read_bytes()
    frame = content[content.index(b",") : -1]  # from the image separator to the trailer
    path.write_bytes(content[:-1] + frame * 20_000 + b";")
    with soon():
        assert load_image(path).pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("tag", [256, 257, 277])
def test_a_tiff_that_claims_more_than_it_holds_is_refused(tmp_path, tag):
    path = tmp_path / "bomb.tif"
    Image.new("RGB", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack("<H", tag), 8)
    content[place + 2 : place + 12] = struct.pack("<HII", 4, 1, 0x0FFFFFFF)
    path.write_bytes(content)
    with soon(), pytest.raises(ImageError):
        load_image(path)


def test_a_zip_with_a_rare_compression_method_is_refused(tmp_path):
    path = tmp_path / "rare.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/1.png", b"\0" * 100)
    with pytest.raises(FolderError, match=r"rare\.zip"):
        open_catalog(path)


def test_a_style_that_unpacks_to_much_more_than_its_size_is_refused(tmp_path):
    path = tmp_path / "bomb.nstyle"
    zeros = {"64/one/gram": np.zeros(2**25, np.float32)}
    write_arrays(path, "style.json", {"version": 1}, zeros, compress=True)
    assert path.stat().st_size < 2**20
    with soon(), pytest.raises(StyleFileError, match=r"bomb\.nstyle"):
        load_style(path)


def test_an_array_with_an_invalid_header_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), \n"
    with zipfile.ZipFile(path, "w") as archive:
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
        archive.writestr("a/b.npy", start + header + bytes(60))
    with pytest.raises(WeightsError, match=r"weights\.npz"):
        open_and_read(path)


def test_an_array_that_claims_more_than_it_holds_is_refused_without_allocating(tmp_path):
    path = tmp_path / "weights.npz"
    file = io.BytesIO()
    facts = {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(file, facts)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/b.npy", file.getvalue() + bytes(60))
    with soon(), pytest.raises(WeightsError, match=r"weights\.npz"):
        open_and_read(path)


def test_a_truncated_cache_file_with_a_matching_digest_is_discarded(tmp_path):
    key = "0" * 64
    cache = FeatureCache(tmp_path)
    cache.shard({}).add(key, np.zeros(5, np.float32))
    cache.close()
    [path] = tmp_path.rglob("*.rows")
    content = path.read_bytes()[:-7]
    path.unlink()
    path.with_name(hashlib.sha256(content).hexdigest() + ".rows").write_bytes(content)
    cache = FeatureCache(tmp_path)
    assert cache.shard({}).find(key) is None
    assert "damaged" in cache.notices[0]


def test_weights_that_point_to_other_files_are_refused(tmp_path):
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file["dense/vars/1"] = h5py.ExternalLink("/etc/passwd", "/")
        file.create_dataset("dense/vars/0", (2,), "f4", external=[("/etc/passwd", 0, 8)])
    with pytest.raises(WeightsError, match=r"weights\.h5"):
        open_and_read(path)


@pytest.fixture(scope="module")
def whole_classifier(tiny_backbone, tmp_path_factory):
    from drawn_classifier import build_classifier

    path = tmp_path_factory.mktemp("classifier") / "whole.keras"
    return build_classifier(tiny_backbone, 16, 1.0).save(path)


def repack(whole, path, change=lambda config: None, more=()):
    """Copy an archive with another config and additional members."""
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            target.writestr(name, content)
        for name in more:
            target.writestr(name, b"stray")
    return path


@pytest.mark.parametrize(
    "name", ["../stray", "/tmp/stray", "assets/../../stray", "assets/words.txt", "config.json"]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_classifier_with_an_unknown_member_is_refused(whole_classifier, tmp_path, name):
    path = repack(whole_classifier, tmp_path / "forged.keras", more=[name])
    with pytest.raises(ModelError, match="member"):
        nstk.Classifier.load(path)
    assert list(tmp_path.iterdir()) == [path]


def find_layers(config, kind):
    found = [config] if isinstance(config, dict) and config.get("class_name") == kind else []
    parts = config.values() if isinstance(config, dict) else config
    if isinstance(config, dict | list):
        found += [layer for part in parts for layer in find_layers(part, kind)]
    return found


def test_a_classifier_with_more_weights_than_bytes_is_refused_before_it_is_built(
    whole_classifier, tmp_path
):
    def enlarge(config):
        find_layers(config, "Dense")[-1]["config"]["units"] = 10**9

    path = repack(whole_classifier, tmp_path / "forged.keras", enlarge)
    with soon(), pytest.raises(ModelError, match="weights"):
        nstk.Classifier.load(path)


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        ({"class_name": "Lambda", "module": "keras.layers", "config": {}}, "Lambda"),
        ({"class_name": "system", "module": "os", "config": {}}, r"os\.system"),
        (
            {
                "class_name": "StringLookup",
                "module": "keras.layers",
                "config": {"vocabulary": "/etc/passwd"},
            },
            "StringLookup",
        ),
    ],
)
def test_a_classifier_with_code_or_file_access_is_refused(whole_classifier, tmp_path, layer, word):
    def forge(config):
        config["config"]["layers"][1].update(layer)

    path = repack(whole_classifier, tmp_path / "forged.keras", forge)
    with pytest.raises(ModelError, match=word):
        nstk.Classifier.load(path)


@pytest.mark.parametrize(
    "facts",
    [
        {"temperature": "hot"},
        {"temperature": -1},
        {"temperature": None},
        {"backbone": [1]},
        {"results": "good"},
        {"size": 0},
        {"thresholds": [10**400, 0, 0]},
    ],
)
def test_a_classifier_with_an_invalid_card_is_refused(whole_classifier, tmp_path, facts):
    path = tmp_path / "forged.keras"
    with zipfile.ZipFile(whole_classifier) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "nstk.json":
                content = json.dumps(json.loads(content) | facts).encode()
            target.writestr(name, content)
    with pytest.raises(ModelError):
        nstk.Classifier.load(path)


@pytest.mark.parametrize(
    "change",
    [{"step": float("inf")}, {"step": {}}, {"step": "/dev/zero"}, {"state": None}],
    ids=str,
)
def test_a_forged_checkpoint_with_a_matching_digest_is_skipped(tmp_path, caplog, change):
    identity = RunIdentity("stylize", {}, {})
    facts = {"format": FORMAT, "step": 1, "run": asdict(identity), "state": {}} | change
    facts = {name: value for name, value in facts.items() if value is not None}
    path = tmp_path / "step-00000001.checkpoint"
    write_arrays(path, "checkpoint.json", {**facts, "digest": _digest(facts, {})}, {})
    settings = nstk.CheckpointSettings(checkpoint=tmp_path, resume=True)
    with CheckpointFolder(settings) as folder:
        assert folder.find(identity) is None
    assert "damaged" in caplog.text


def test_a_checkpoint_with_deeply_nested_facts_is_skipped(tmp_path, caplog):
    path = tmp_path / "step-00000001.checkpoint"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("checkpoint.json", "[" * 200_000)
    settings = nstk.CheckpointSettings(checkpoint=tmp_path, resume=True)
    with CheckpointFolder(settings) as folder:
        assert folder.find(RunIdentity("stylize", {}, {})) is None
    assert "damaged" in caplog.text
