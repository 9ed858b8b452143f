import ctypes

from flatbuffers import flexbuffers
from hypothesis import given
from hypothesis import strategies as st

from mcuformer_tflm.runtime import library

int32s = st.integers(-(2**31), 2**31 - 1)
names = st.text(st.characters(codec="ascii", min_codepoint=97, max_codepoint=122), min_size=1)


def _read(content: bytes, name: str) -> int | None:
    value = ctypes.c_int32()
    # A buffer of exactly this size, so that a sanitizer sees any byte read beyond it.
    found = library.load().McuformerReadOption(
        ctypes.create_string_buffer(content, len(content)), ctypes.c_size_t(len(content)),
        name.encode(), ctypes.byref(value),
    )  # fmt: skip
    return value.value if found else None


@given(st.dictionaries(names, int32s, min_size=1, max_size=12))
def test_every_option_written_is_read(options):
    content = bytes(flexbuffers.Dumps(options))
    for name, value in options.items():
        assert _read(content, name) == value
    assert _read(content, "absent!") is None


@given(st.one_of(st.integers(2**31, 2**63 - 1), st.integers(-(2**63), -(2**31) - 1)))
def test_an_option_beyond_32_bits_is_no_option(value):
    assert _read(bytes(flexbuffers.Dumps({"shift": value})), "shift") is None


@given(st.integers(2**31, 2**64 - 1))
def test_an_option_without_sign_that_needs_the_32nd_bit_is_no_option(value):
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.UInt("shift", value)
    assert _read(bytes(builder.Finish()), "shift") is None


@given(st.binary(max_size=64))
def test_garbage_is_no_option(content):
    assert _read(content, "multiplier") is None


@given(st.integers(0, 200), st.integers(0, 255))
def test_one_damaged_byte_never_crashes(position, value):
    content = bytearray(flexbuffers.Dumps({"multiplier": 2**30, "shift": -9, "in_place": 1}))
    content[position % len(content)] = value
    for name in ("multiplier", "shift", "in_place"):
        _read(bytes(content), name)
        _read(bytes(content[: position % len(content)]), name)
