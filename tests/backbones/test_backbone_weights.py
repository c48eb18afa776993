"""Weights files: every format loads, and wrong files are refused with the reason."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from weights_files import write_keras, write_npz, write_published

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.backbones.packaged import build_compact
from nstk.backbones.weights import assign_weights, list_weights, open_weights
from nstk.errors import WeightsError

WRITERS = {"weights.h5": write_keras, "h5": write_published, "npz": write_npz}


def make_compact(seed=3, **shape):
    keras.utils.set_random_seed(seed)
    return build_compact(**shape)


def digest(network):
    return Backbone("any", network, 32, "any").digest


def put_top_on(network, classes=10):
    vectors = keras.layers.GlobalAveragePooling2D(name="avg_pool")(network.outputs[0])
    scores = keras.layers.Dense(classes, name="predictions")(vectors)
    return keras.Model(network.inputs[0], scores)


@pytest.fixture(scope="module")
def compact_npz(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("weights") / "compact.npz", make_compact())


# The right files


@pytest.mark.parametrize("extension", WRITERS)
@pytest.mark.parametrize("top", [False, True], ids=["without top", "with top"])
def test_every_format_loads_with_and_without_its_top(tmp_path, extension, top):
    network = make_compact()
    path = tmp_path / f"file.{extension}"
    WRITERS[extension](path, put_top_on(network) if top else network)
    loaded = load_backbone("compact", weights=path)
    assert loaded.digest == digest(network)
    assert loaded.source == str(path)


def test_a_network_of_keras_loads_with_and_without_its_top(tmp_path):
    digests = set()
    for top in (False, True):
        keras.utils.set_random_seed(5)
        network = keras.applications.MobileNet(
            alpha=0.25, include_top=top, weights=None, input_shape=(224, 224, 3)
        )
        path = write_published(tmp_path / f"{top}.h5", network)
        digests.add(load_backbone("mobilenet-0.25", weights=path).digest)
    assert len(digests) == 1


def test_weights_of_an_old_model_file_load_without_building_the_model(tmp_path):
    network = make_compact()
    path = write_published(tmp_path / "model.h5", network, root="model_weights")
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = "not parsed"
    assert load_backbone("compact", weights=path).digest == digest(network)


def test_half_precision_files_load_as_float32(tmp_path):
    network = make_compact()
    halves = {
        f"{layer.name}/{variable.name}": np.asarray(variable).astype(np.float16)
        for layer in network.layers
        for variable in layer.weights
    }
    np.savez(tmp_path / "halves.npz", **halves)
    loaded = load_backbone("compact", weights=tmp_path / "halves.npz")
    kernel = loaded.model.get_layer("block1_conv1").get_weights()[0]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, halves["block1_conv1/kernel"].astype(np.float32))


def test_compressed_arrays_load(tmp_path):
    network = make_compact()
    write_npz(tmp_path / "plain.npz", network)
    with np.load(tmp_path / "plain.npz") as arrays:
        np.savez_compressed(tmp_path / "small.npz", **arrays)
    assert load_backbone("compact", weights=tmp_path / "small.npz").digest == digest(network)


def test_generated_names_match_after_other_networks(tmp_path):
    def build():
        image = keras.Input((None, None, 3))
        maps = keras.layers.Conv2D(4, 3)(image)
        return keras.Model(image, keras.layers.Conv2D(4, 3)(maps))

    first, second = build(), build()
    assert first.layers[1].name != second.layers[1].name
    for writer, extension in ((write_keras, "weights.h5"), (write_published, "h5")):
        with open_weights(writer(tmp_path / f"first.{extension}", first)) as stored:
            assign_weights(second, stored, name="counted", origin="first")
        assert digest(second) == digest(first)


def test_a_normalization_uses_the_assigned_weights(tmp_path):
    def build(data):
        image = keras.Input((None, None, 3))
        normalization = keras.layers.Normalization()
        model = keras.Model(image, normalization(image))
        normalization.adapt(data)
        return model

    data = np.random.default_rng(0).random((4, 8, 8, 3), dtype=np.float32)
    given, other = build(data), build(data * 9)
    assign_weights(other, list_weights(given), name="normalized", origin="memory")
    np.testing.assert_allclose(other(data), given(data), rtol=1e-6)


def test_the_published_mobilenet_loads(shared):
    path = shared / "weights" / "mobilenet_0.75_224_notop.weights.h5"
    backbone = load_backbone("mobilenet-0.75", weights=path)
    plain = keras.applications.MobileNet(
        alpha=0.75, include_top=False, weights=str(path), input_shape=(96, 96, 3)
    )
    image = np.random.default_rng(0).random((1, 96, 96, 3), dtype=np.float32)
    expected = plain(keras.applications.mobilenet.preprocess_input(image * 255))
    np.testing.assert_allclose(backbone.model(image), expected, atol=1e-4)


# The wrong files


def refuse(path, *parts, name="compact"):
    """Check that a file is refused in one line that contains all of this."""
    with pytest.raises(WeightsError) as caught:
        load_backbone(name, weights=path)
    message = str(caught.value)
    assert "\n" not in message
    for words in (str(path), *parts):
        assert words in message
    return message


def test_an_incomplete_file_is_refused_with_the_missing_layers(shared):
    refuse(
        shared / "weights" / "vgg19_block1-3.npz",
        "block4_conv1, block4_conv2, block4_conv3 and 5 more",
        "'vgg19' has 16 layers",
        "the file has 8",
        name="vgg19",
    )


def test_a_file_of_another_network_is_refused_with_the_layers_of_both(shared):
    refuse(
        shared / "weights" / "mobilenet_0.75_224_notop.weights.h5",
        "block1_conv1",
        "'compact' has 12 layers",
        "the file has 54 (conv1_bn, ",
        "`backbone`",
    )


@pytest.mark.parametrize("extension", WRITERS)
def test_other_shapes_are_refused_with_both_shapes(tmp_path, extension):
    network = make_compact(widths=(16, 32, 64, 160, 24))
    path = WRITERS[extension](tmp_path / f"narrow.{extension}", network)
    refuse(path, "block5_conv1 3×3×160×24 + 24 instead of 3×3×160×384 + 384")


def test_layer_names_of_other_tools_are_listed(shared):
    refuse(shared / "weights" / "vgg19_16x.npz", "(conv0.weight, conv0.bias, ")


def test_other_files_are_refused(tmp_path):
    text = tmp_path / "weights.h5"
    text.write_text("These are my weights: 70 kg\n")
    refuse(text, ".npz")
    empty = tmp_path / "empty.npz"
    empty.touch()
    refuse(empty)
    refuse(tmp_path / "absent.h5", "No such file")
    refuse(tmp_path, "a folder")


@pytest.mark.parametrize("extension", WRITERS)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, extension, kept):
    path = WRITERS[extension](tmp_path / f"cut.{extension}", make_compact(widths=(4,) * 5))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    refuse(path)


def test_flipped_bytes_in_an_archive_are_detected(tmp_path, compact_npz):
    content = bytearray(compact_npz.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "flipped.npz"
    path.write_bytes(content)
    refuse(path, "CRC")


def test_a_complete_model_is_not_a_weights_file(tmp_path):
    path = tmp_path / "model.keras"
    make_compact(widths=(4,) * 5).save(path)
    refuse(path, "model.keras", "`backbone`")


# Malicious files


def test_pickled_arrays_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('unpickled')",))

    content = io.BytesIO()
    np.lib.format.write_array(content, np.array([Bomb()], dtype=object), allow_pickle=True)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("block1_conv1/kernel.npy", content.getvalue())
    refuse(path, "numbers")


def test_a_giant_declared_shape_is_refused_before_anything_is_allocated(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6, 10**3)}
    )
    path = tmp_path / "giant.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for variable in ("kernel", "bias"):
            archive.writestr(f"block1_conv1/{variable}.npy", header.getvalue())
    refuse(path, "1000000×1000000×1000")

    path = tmp_path / "giant.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = "block1_conv1"
        group.create_dataset("0", (10**6, 10**6, 10**3), dtype="f4", chunks=(1, 1, 10))
    refuse(path, "1000000×1000000×1000")


def test_links_to_other_files_are_not_followed(tmp_path):
    network = make_compact()
    whole = write_published(tmp_path / "whole.h5", network)
    linked = tmp_path / "linked.h5"
    with h5py.File(linked, "w") as file:
        file.attrs["layer_names"] = [b"block1_conv1"]
        file["block1_conv1"] = h5py.ExternalLink(str(whole), "/block1_conv1")
    refuse(linked)

    stored_elsewhere = tmp_path / "stored_elsewhere.h5"
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(64 * 4))
    with h5py.File(stored_elsewhere, "w") as file:
        file.create_dataset("bias", (64,), dtype="f4", external=[(str(secret), 0, 256)])
    refuse(stored_elsewhere, "other files")

    virtual = tmp_path / "virtual.h5"
    with h5py.File(virtual, "w") as file:
        layout = h5py.VirtualLayout((64,), dtype="f4")
        layout[:] = h5py.VirtualSource(str(whole), "block1_conv1/bias", shape=(64,))
        file.create_virtual_dataset("bias", layout)
    refuse(virtual, "other files")
