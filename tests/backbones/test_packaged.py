"""The packaged network of classifiers: its conversion, its architecture and what it is good for."""

import collections
import io
import pickle
import struct
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest

import nstk
from nstk.backbones.backbone import Backbone
from nstk.backbones.packaged import build_efficientnet_lite0
from nstk.backbones.receptive_fields import WHOLE_IMAGE

ROOT = Path(__file__).resolve().parents[2]
STAGES = ((1, 4, 1, 1, 3), (6, 6, 2, 2, 5))


@pytest.fixture(scope="module")
def lite0():
    """The architecture with few channels and seeded weights."""
    keras.utils.set_random_seed(3)
    model = build_efficientnet_lite0(stages=STAGES, stem=4, head=10)
    return Backbone("tiny-lite0", model, 32, "seeded")


def test_black_and_white_are_scaled_as_in_training(lite0):
    scaled = lite0.model.get_layer("preprocessing")(np.float32([0, 1]))
    np.testing.assert_allclose(scaled, [-127 / 128, 1.0], rtol=1e-6)


def test_activations_are_clipped_at_six_and_nothing_sees_the_whole_image(lite0):
    maps = lite0.tap(["stem_activation"])(1e3 * np.ones((1, 32, 32, 3), np.float32))
    assert np.max(maps["stem_activation"]) <= 6
    assert lite0.reach("top_activation") < WHOLE_IMAGE
    assert [lite0.stride(f"{name}_activation") for name in ("stem", "block2a", "top")] == [2, 4, 4]


# The conversion


@pytest.fixture
def convert(monkeypatch):
    """The module that converts, and a stand-in for PyTorch with the names in a weights file."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2():
        raise AssertionError("it must not be called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    from examples import convert_efficientnet_lite0

    return convert_efficientnet_lite0


class Tensor:
    """Pickles as PyTorch's tensors do: a call on a storage, an offset, a shape and strides."""

    def __init__(self, storage, shape, strides):
        self.storage, self.shape, self.strides = storage, shape, strides

    def __reduce__(self):
        from torch._utils import _rebuild_tensor_v2

        return _rebuild_tensor_v2, (self.storage, 0, self.shape, self.strides, False, None)


class Storage:
    """What a tensor refers to by a persistent id."""


def write_old_format(tensors, numbers):
    file = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Storage):
                return ("storage", sys.modules["torch"].FloatStorage, "7", "cpu", len(numbers))
            return None

    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, tensors, ["7"]):
        Pickler(file, protocol=2).dump(value)
    file.write(struct.pack("<q", len(numbers)) + np.float32(numbers).tobytes())
    file.seek(0)
    return file


def test_strided_tensors_are_read_in_their_own_order(convert):
    # A kernel (out, in) = (2, 3), stored as TensorFlow does: (in, out).
    tensors = collections.OrderedDict(kernel=Tensor(Storage(), (2, 3), (1, 2)))
    read = convert.read_tensors(write_old_format(tensors, [0, 1, 2, 3, 4, 5]))
    np.testing.assert_array_equal(read["kernel"], [[0, 2, 4], [1, 3, 5]])


def test_other_names_in_a_weights_file_are_refused(convert):
    with pytest.raises(pickle.UnpicklingError, match="print does not belong"):
        convert.read_tensors(write_old_format(collections.OrderedDict(kernel=print), [0]))


# What it is good for


@pytest.mark.slow
def test_it_tells_ants_from_bees_without_a_word_about_the_network(shared, tmp_path):
    for split, count in (("train", 30), ("val", 20)):
        for name in ("ants", "bees"):
            (tmp_path / split / name).mkdir(parents=True)
            images = sorted((shared / "data" / "hymenoptera" / split / name).iterdir())
            for path in images[:count]:
                (tmp_path / split / name / path.name).symlink_to(path)
    made = nstk.finetune(tmp_path, executor="tensorflow")
    assert made.classifier.backbone["name"] == "efficientnet-lite0"
    assert made.accuracy >= 0.85
