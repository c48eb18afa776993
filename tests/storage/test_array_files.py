"""Files of facts and arrays round-trip exactly, and damaged ones are refused."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from nstk.storage.array_files import digest_arrays, read_arrays, write_arrays

TITLE = "facts.json"
NUMBERS = st.sampled_from([np.float32, np.float64, np.int32, np.uint8, np.bool_])
ARRAYS = NUMBERS.flatmap(
    lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=3))
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("arrays") / "file"


@given(
    st.dictionaries(st.sampled_from(["x", "state/0", "ü"]), ARRAYS), st.booleans(), st.integers()
)
@settings(max_examples=50)
def test_reading_returns_what_was_written(place, arrays, compress, number):
    write_arrays(place, TITLE, {"number": number}, arrays, compress=compress)
    facts, found = read_arrays(place, TITLE)
    assert facts == {"number": number}
    assert found.keys() == arrays.keys()
    assert digest_arrays(found) == digest_arrays(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)


def test_equal_content_gives_equal_bytes(place, monkeypatch):
    write_arrays(place, TITLE, {"a": 1}, {"x": np.arange(6)})
    first = place.read_bytes()
    monkeypatch.setattr("time.time", lambda: 0.0)
    write_arrays(place, TITLE, {"a": 1}, {"x": np.arange(6)})
    assert place.read_bytes() == first


def test_the_digest_depends_on_names_shapes_dtypes_and_values():
    x = np.arange(6, dtype=np.float32)
    others = [{"y": x}, {"x": x.reshape(2, 3)}, {"x": x.view(np.int32)}, {"x": x + 1}, {}]
    digests = {digest_arrays(arrays) for arrays in [{"x": x}, *others]}
    assert len(digests) == 6
    assert digest_arrays({"a": x, "x": x}) == digest_arrays({"x": x, "a": x})


def claim(shape, descr="<f4", content=b"\0" * 16):
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


class Harm:
    def __reduce__(self):
        return (pytest.fail, ("code in a file was run",))


@pytest.mark.parametrize(
    "content",
    [
        claim((10**15,)),
        claim((3,)),
        claim((-1, -4)),
        claim((1,), "|O", pickle.dumps(Harm())),
        claim((4,), "|V0", b""),
        pickle.dumps(Harm()),
        b"",
    ],
)
def test_an_array_that_claims_more_than_it_holds_is_refused(place, content):
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr(TITLE, "{}")
        archive.writestr("x.npy", content)
    with pytest.raises(ValueError, match=r".+"):
        read_arrays(place, TITLE)


@pytest.mark.parametrize("content", ["[]", "{", "", "[" * 100_000])
def test_facts_must_be_a_json_object(place, content):
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr(TITLE, content)
    with pytest.raises(ValueError, match=r".+"):
        read_arrays(place, TITLE)


def test_a_file_larger_than_the_limit_is_not_unpacked(place):
    write_arrays(place, TITLE, {}, {"x": np.zeros(10**6)}, compress=True)
    with pytest.raises(ValueError, match="1000000 bytes"):
        read_arrays(place, TITLE, limit=10**6)


def test_uncompressed_content_is_never_larger_than_its_file(place):
    write_arrays(place, TITLE, {"a": 1}, {"x": np.zeros(1000)})
    assert read_arrays(place, TITLE, limit=place.stat().st_size)[0] == {"a": 1}


@given(st.data())
@settings(max_examples=60)
def test_a_flipped_bit_is_refused_or_harmless(place, data):
    write_arrays(place, TITLE, {"a": 1}, {"x": np.arange(9.0)})
    whole = read_arrays(place, TITLE)
    content = bytearray(place.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    content[where] ^= data.draw(st.integers(1, 255))
    place.write_bytes(content)
    try:
        facts, arrays = read_arrays(place, TITLE)
    except (OSError, ValueError):
        return
    assert json.dumps(facts) == json.dumps(whole[0])
    assert set(arrays) <= {"x"} or digest_arrays(arrays) != digest_arrays(whole[1])
