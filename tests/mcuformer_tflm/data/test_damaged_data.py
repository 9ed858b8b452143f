"""Data may be damaged or anybody's: loaders end in data, or in an error that names the file."""

import gzip
import io
import os
import random
import struct
import wave
import zipfile
import zlib

import numpy as np
import pytest

from mcuformer_tflm.data.fashion_mnist import fashion_mnist as load_idx
from mcuformer_tflm.data.folder import ImageFolder
from mcuformer_tflm.data.image_data import from_npz
from mcuformer_tflm.data.picture import read_picture
from mcuformer_tflm.data.sound import read_wav
from mcuformer_tflm.data.speech_commands import SpeechCommands
from mcuformer_tflm.keras_models import untrusted_files
from mcuformer_tflm.keras_models.exceptions import CheckpointError, DataError, ModelError
from mcuformer_tflm.keras_models.training.checkpoint import read_arrays
from mcuformer_tflm.keras_models.untrusted_files import gunzip, open_file, read_npz
from mcuformer_tflm.tflite.file import model_content


def _damaged(content, number):
    """One of many damaged copies: bits, runs, a part that is missing or twice there."""
    rng = random.Random(number)
    made, place = bytearray(content), rng.randrange(len(content))
    match number % 4:
        case 0:
            made[place] ^= 1 << rng.randrange(8)
        case 1:
            made[place : place + 4] = rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4)))
        case 2:
            del made[place : place + rng.choice((1, 2, len(made)))]
        case 3:
            made[place:place] = made[place // 2 : place]
    return bytes(made)


def _idx(values):
    return (
        struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape) + values.tobytes()
    )


@pytest.fixture
def idx_folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("t10k", 2)):
        pictures = rng.integers(0, 256, (count, 3, 3), np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(pictures)))
        classes = np.arange(count, dtype=np.uint8)
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(_idx(classes)))
    return tmp_path


def test_a_damaged_gzip_file_is_told_by_its_name(idx_folder):
    told = []
    for name in ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        path = idx_folder / name
        sound = path.read_bytes()
        for number in range(100):
            path.write_bytes(_damaged(sound, number))
            try:
                load_idx(idx_folder)
            except DataError as error:
                told.append((name, str(error)))
        path.write_bytes(sound)
    assert len(told) > 120
    assert all(name in text or "fashion-mnist" in text for name, text in told)
    assert len(load_idx(idx_folder).train_images) == 4


def test_gzip_of_several_members_is_read_and_a_bomb_is_not():
    members = gzip.compress(b"one") + gzip.compress(b"two") + bytes(100)
    assert gunzip(members, 6) == gzip.decompress(members) == b"onetwo"
    with pytest.raises(ValueError, match="more than 5 bytes"):
        gunzip(members, 5)
    squeezer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(64)) + squeezer.flush()
    assert len(bomb) < 100_000
    with pytest.raises(ValueError, match="more than 1,000,000 bytes"):
        gunzip(bomb, 1_000_000)


def _wav(samples):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16_000, len(samples), "NONE", ""))
        sound.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def test_a_damaged_sound_is_refused_as_what_it_is(tmp_path):
    path = tmp_path / "x.wav"
    # A chunk of another kind before the samples, as editors write.
    sound = _wav(np.arange(20))
    extra = b"LIST" + struct.pack("<I", 5) + b"12345\0"
    sound = b"RIFF" + struct.pack("<I", len(sound + extra) - 8) + sound[8:36] + extra + sound[36:]
    path.write_bytes(sound)
    assert len(read_wav(path)) == 20
    refused = 0
    for number in range(400):
        path.write_bytes(_damaged(sound, number))
        try:
            read_wav(path)
        except (OSError, ValueError):
            refused += 1
    assert refused > 200


def _npz(path, change=None, **arrays):
    np.savez(path, **arrays)
    if change is not None:
        path.write_bytes(change(path.read_bytes()))


def _encrypted(content):
    # The flag of a password, in both headers.
    made = bytearray(content)
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = made.find(start)
        while place >= 0:
            made[place + offset] |= 1
            place = made.find(start, place + 4)
    return bytes(made)


def _arrays(**changed):
    images = np.zeros((3, 2, 2), np.uint8)
    whole = {
        "train_images": images, "train_classes": np.arange(3), "test_images": images,
        "test_classes": np.arange(3),
    }  # fmt: skip
    return whole | changed


def _with_member(content):
    def change(_):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("train_images.npy", content)
        return file.getvalue()

    return change


def _npy(header):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def _npy_of(shape):
    return _npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': " + shape)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (_encrypted, {}),
        (_with_member(_npy_of(b"(" + b"9," * 9000)), {}),
        (_with_member(_npy_of(b"(1<<60,)}")), {}),
        (_with_member(_npy_of(b"(%d,)}" % 2**60)), {}),
        (_with_member(_npy(b"(" * 5000)), {}),
        (_with_member(b"no array"), {}),
        (lambda _: b"\x93NUMPY\x01\x00", {}),
        (lambda content: content[:-30], {}),
        (lambda content: content.replace(b"PK\x01\x02", b"PK\x01\x03"), {}),
        (None, {"train_images": np.uint8(3)}),
        (None, {"train_classes": np.uint8(3)}),
        (None, {"train_classes": np.array([0, 1, 2**40])}),
        (None, {"train_classes": np.array([0.5, np.nan, 1])}),
        (None, {"train_classes": np.array(["a", "b", "c"])}),
        (None, {"train_images": np.zeros((3, 2, 2), "datetime64[s]")}),
        (None, {"test_images": np.zeros((3, 0, 2), np.uint8)}),
        (None, {"labels": np.float32(3)}),
        (None, {"labels": np.array([b"\xff\xfe", b"b", b"c"])}),
        (None, {"labels": np.array([1.5, np.nan, 3])}),
        (None, {"train_images": np.array([{}, {}], object)}),
    ],
)  # fmt: skip
def test_a_damaged_npz_file_is_told_by_its_name(tmp_path, change, changed):
    path = tmp_path / "data.npz"
    _npz(path, change, **_arrays(**changed))
    with pytest.raises(DataError, match="data"):
        from_npz(path)


def test_no_damage_to_an_npz_file_leads_to_another_error(tmp_path):
    path = tmp_path / "data.npz"
    _npz(path, **_arrays())
    sound = path.read_bytes()
    refused = 0
    for number in range(120):
        path.write_bytes(_damaged(sound, number))
        for read, error in ((from_npz, DataError), (read_arrays, CheckpointError)):
            try:
                read(path)
            except error:
                refused += 1
    assert refused > 150


def test_arrays_that_unpack_to_far_more_than_their_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(untrusted_files, "_FREE_ARRAY_BYTES", 1 << 16)
    path = tmp_path / "data.npz"
    np.savez_compressed(path, epochs=np.array(1), weight_0=np.zeros(1 << 20))
    with pytest.raises(CheckpointError, match=r"bytes unpack to 8,388,\d+"):
        read_arrays(path)
    np.savez_compressed(path, weight_0=np.random.default_rng(0).normal(size=1 << 15))
    assert read_npz(path)["weight_0"].shape == (1 << 15,)


def test_a_pipe_among_files_is_passed_over_and_never_waited_for(tmp_path):
    sounds, pictures = tmp_path / "sounds", tmp_path / "pictures"
    for word in ("yes", "no"):
        (sounds / word).mkdir(parents=True)
        for speaker in range(20):
            (sounds / word / f"{speaker}_nohash_0.wav").write_bytes(_wav(np.arange(100)))
        os.mkfifo(sounds / word / "90_nohash_0.wav")
        (pictures / word).mkdir(parents=True)
        os.mkfifo(pictures / word / "x.png")
    data = SpeechCommands(sounds, batch_size=1)
    data.origin()
    read = sum(len(data.arrays(part)[0]) for part in ("training", "validation", "testing"))
    assert read == 40
    assert len(data.skipped) == 2
    assert "it is no file but a device, a pipe or a socket" in next(iter(data.skipped.values()))
    with pytest.raises(DataError, match="None of 2 images could be read"):
        ImageFolder(pictures, 8, 1).arrays()
    fifo = pictures / "yes" / "x.png"
    for read_one, error in (
        (lambda: read_picture(fifo, 1, shorter_side=8), DataError),
        (lambda: from_npz(fifo), DataError),
        (lambda: read_arrays(fifo), CheckpointError),
        (lambda: model_content(fifo), ModelError),
    ):
        with pytest.raises(error, match="no file but a device"):
            read_one()


def test_a_file_that_is_too_large_is_refused_by_its_size(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(11))
    with pytest.raises(OSError, match="it has 11 bytes; 10 are allowed"):
        open_file(path, 10)
    with open_file(path, 11) as file:
        assert file.read() == bytes(11)
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path, 10)
