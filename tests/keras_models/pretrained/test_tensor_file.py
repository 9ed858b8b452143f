"""Files of tensors are read by content; nothing in them runs, and no damaged one crashes."""

import io
import json
import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from mcuformer_tflm.keras_models.exceptions import CheckpointError, ConfigError
from mcuformer_tflm.keras_models.pretrained import tensor_file
from mcuformer_tflm.keras_models.pretrained.tensor_file import read_tensors

ARRAYS = {
    "single": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "half": np.linspace(-1, 1, 6, dtype=np.float16),
    "double": np.linspace(-1, 1, 6).reshape(1, 2, 3),
}


def _npz(save_arrays=np.savez, **arrays):
    file = io.BytesIO()
    save_arrays(file, **arrays)
    return file.getvalue()


def _safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


WHOLE = {
    "safetensors": save(ARRAYS),
    "npz": _npz(**ARRAYS),
    "compressed": _npz(np.savez_compressed, **ARRAYS),
}


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "weights"

    def write(content):
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("kind", WHOLE)
def test_tensors_of_either_kind_are_read_as_float32(kind, write):
    read = read_tensors(write(WHOLE[kind]))
    assert set(read) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == np.float32
        np.testing.assert_array_equal(read[name], array.astype(np.float32))


def test_bfloat16_is_widened(write):
    values = np.linspace(-1, 1, 6).astype(ml_dtypes.bfloat16)
    entry = {"dtype": "BF16", "shape": [6], "data_offsets": [0, 12]}
    read = read_tensors(write(_safetensors({"x": entry}, values.tobytes())))
    np.testing.assert_array_equal(read["x"], values.astype(np.float32))


class Trap:
    """What makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def _pickles():
    for protocol in range(6):
        yield pickle.dumps({"weight": Trap()}, protocol)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # as torch.save writes it
        archive.writestr("vit/data.pkl", pickle.dumps({"weight": Trap()}))
        archive.writestr("vit/data/0", bytes(64))
    yield file.getvalue()
    yield _npz(weight=np.array([Trap()], dtype=object))


@pytest.mark.parametrize("content", _pickles())
def test_a_pickle_is_refused_unread_and_how_to_convert_it_is_told(
    content, write, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"weights_only=True\); safetensors\.torch\.save_file"
    ):
        read_tensors(write(content))
    assert not (tmp_path / "sprung").exists()
    if content[:1] != b"\x80":  # the trap would have sprung
        return
    pickle.loads(content)
    assert (tmp_path / "sprung").exists()


@given(data=st.data(), kind=st.sampled_from(sorted(WHOLE)))
def test_a_damaged_file_is_refused_or_read_but_never_crashes(data, kind, write):
    content = bytearray(WHOLE[kind])
    if data.draw(st.booleans(), "truncated"):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
        with pytest.raises(CheckpointError):
            read_tensors(write(bytes(content)))
        return
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_tensors(write(bytes(content)))
    except CheckpointError:
        return
    assert all(np.isfinite(array).all() for array in read.values())


def _member(shape, data=b""):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "neither a safetensors nor an npz file"),
        (b"weights of a network", "neither a safetensors nor an npz file"),
        (b"\xff" * 8 + b"{", "is damaged"),
        (_safetensors(b'{"x": '), "is damaged"),
        (_safetensors(b"{" * 100_000), "is damaged"),
        (_safetensors({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}, bytes(4)),
         "is damaged"),
        (_safetensors({"x": {"dtype": "F32", "shape": [2**32] * 4, "data_offsets": [0, 0]}}),
         "is damaged"),
        (_safetensors({"x": {"dtype": "F32", "shape": [2**40, 0], "data_offsets": [0, 0]}}),
         "holds no value"),
        (_safetensors({"x": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]}}, bytes(1)),
         "x of .* is int8; weights must be floats"),
        (_member((2**40,)), "is damaged"),
        (_member((2**32, 2**32), bytes(8)), "is damaged"),
        (_member((-1,), bytes(8)), "is damaged"),
        (_npz(x=np.array([1.0, np.nan])), "values that are no numbers"),
        (_npz(x=np.array([1e300])), "values that are no numbers in 32 bits"),
        (_npz(x=np.array(["text"])), "weights must be floats"),
    ],
)  # fmt: skip
def test_a_lying_file_is_refused_by_what_it_holds(content, told, write):
    with pytest.raises(CheckpointError, match=told):
        read_tensors(write(content))


def test_a_file_that_unpacks_to_more_than_any_network_is_not_unpacked(write, monkeypatch):
    content = _npz(np.savez_compressed, x=np.zeros(100_000, np.float32))
    assert len(content) < 4000
    monkeypatch.setattr(tensor_file, "MOST_TENSOR_BYTES", 100_000)
    with pytest.raises(CheckpointError, match=r"holds 400,128 bytes .* more than 100,000"):
        read_tensors(write(content))


def test_what_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"none cannot be read \(No such file"):
        read_tensors(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"cannot be read \(Is a directory"):
        read_tensors(tmp_path)
    with pytest.raises(ConfigError, match=r"^path is 3; it must be a path"):
        read_tensors(3)
