"""Damaged models: each follows from seed and index, so that any can be made again."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from flatbuffers import flexbuffers

from mcuformer_tflm.convert.metadata import ARCHITECTURE_NAME
from mcuformer_tflm.plan.memory_plan import METADATA_NAME, RECORD_NAME
from mcuformer_tflm.tflite.file import pack, read_files, unpack
from mcuformer_tflm.tflite.schema import schema

# Numbers at which sizes, indices and offsets break.
_NUMBERS = (
    -1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 127, 128, 255, 256, 4095, 4096, 65535, 65536, 10**6, 2**30,
    2**31 - 1, -(2**31),
)  # fmt: skip
_REALS = (0.0, -1.0, 1e-38, 1e30, float("nan"), float("inf"))
_TEXTS = (
    b"", b"x", b"\xff\xfe", b"a\nb", b'"; system("x"); "', b"*/ #error /*", b"../../etc/passwd",
    b"x" * 100_000, "\N{SNOWMAN}".encode() * 300, b"\0\0", b"%s%n",
)  # fmt: skip
# Bytes at both ends hold most of the tables, the middle most of the weights.
_END_BYTES = 6000
# The record's header and entries (``plan/memory_plan.py``).
_HEADER = struct.Struct("<IHHHH")
_ENTRY = struct.Struct("<iiHHHBB")
_START = _HEADER.size + 4

Damage = Callable[[random.Random, bytes], bytes]
_Edit = Callable[[random.Random, Any], None]


def mutant(models: Sequence[bytes], seed: int, index: int) -> tuple[str, bytes]:
    """Returns one damaged model and the kind of damage, by its number alone.

    Kinds take turns, so that each is met equally often.

    Args:
        models: Sound ones, of which one is damaged.
        seed: Of all mutants.
        index: Which.
    """
    rng = random.Random(f"{seed}/{index}")
    kind = tuple(DAMAGES)[index % len(DAMAGES)]
    return kind, DAMAGES[kind](rng, rng.choice(models))


def repaired(record: bytes) -> bytes:
    """Returns a plan's record with the checksum that its other bytes have."""
    head, body = record[: _HEADER.size], record[_START:]
    return head + struct.pack("<I", zlib.crc32(head + body)) + body


def _place(rng: random.Random, length: int) -> int:
    near = min(length, _END_BYTES)
    return rng.choice(
        (rng.randrange(length), rng.randrange(near), length - 1 - rng.randrange(near))
    )


def _bits(rng: random.Random, model: bytes) -> bytes:
    content = bytearray(model)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        content[_place(rng, len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _run(rng: random.Random, model: bytes) -> bytes:
    content = bytearray(model)
    start, length = _place(rng, len(content)), rng.choice((2, 4, 16, 64, 1024))
    run = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
    content[start : start + length] = run
    return bytes(content)


def _truncation(rng: random.Random, model: bytes) -> bytes:
    end = _place(rng, len(model))
    return rng.choice((model[:end], model[end:], model[: len(model) - end] + model[-end:]))


def _edited(*edits: _Edit) -> Damage:
    def damage(rng: random.Random, model: bytes) -> bytes:
        content, files = unpack(model), read_files(model)
        packed = _bits(rng, model)
        for _ in range(rng.choice((1, 1, 2))):
            try:
                rng.choice(edits)(rng, content)
                packed = pack(content, files)
            except Exception:
                # The first edit has taken what the second looks for, or no packer takes the value.
                break
        return packed

    return damage


def _tensors(content: Any) -> list[Any]:
    return list(content.subgraphs[0].tensors)


def _with_entry(rng: random.Random, values: Any, numbers: Sequence[int]) -> np.ndarray:
    # One entry of a list of int32 changed, left out or added.
    entries = [int(value) for value in values if value is not None]
    how = rng.randrange(5)
    if entries and how < 3:
        entries[rng.randrange(len(entries))] = rng.choice(numbers)
    elif entries and how == 3:
        del entries[rng.randrange(len(entries))]
    else:
        entries.insert(rng.randrange(len(entries) + 1), rng.choice(numbers))
    return np.array(entries, np.int64).astype(np.int32)


def _option(rng: random.Random, content: Any) -> None:
    operators = [op for op in content.subgraphs[0].operators if op.customOptions is not None]
    operator = rng.choice(operators)
    options = flexbuffers.Loads(bytearray(np.asarray(operator.customOptions, np.uint8).tobytes()))
    if not isinstance(options, dict) or not options:
        return
    name, how = rng.choice(list(options)), rng.randrange(6)
    if how < 2:
        options[name] = rng.choice(_NUMBERS)
    elif how == 2:
        options[name] = int(options[name]) + rng.choice((-1, 1)) if _whole(options[name]) else 0
    elif how == 3:
        del options[name]
    elif how == 4:
        options[name] = rng.choice(("x", 1.5, [1, 2], {"a": 1}, None, True, 2**40, [[[[]]]]))
    else:
        options[rng.choice(("extra", "mode", "block_tokens", "grid", ""))] = rng.choice(_NUMBERS)
    operator.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(options)), np.uint8)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and -(2**31) < value < 2**31 - 1


def _option_bytes(rng: random.Random, content: Any) -> None:
    operators = [op for op in content.subgraphs[0].operators if op.customOptions is not None]
    operator = rng.choice(operators)
    options = np.asarray(operator.customOptions, np.uint8).tobytes()
    damage = rng.choice((_bits, _run, _truncation))
    operator.customOptions = np.frombuffer(damage(rng, options), np.uint8) if options else None


def _shape(rng: random.Random, content: Any) -> None:
    tensor = rng.choice(_tensors(content))
    tensor.shape = _with_entry(rng, [] if tensor.shape is None else tensor.shape, _NUMBERS)


def _tensor(rng: random.Random, content: Any) -> None:
    tensors = _tensors(content)
    tensor, how = rng.choice(tensors), rng.randrange(7)
    if how == 0:
        tensor.type = rng.randrange(20)
    elif how == 1:
        tensor.buffer = rng.choice((*range(len(content.buffers) + 1), 2**32 - 1))
    elif how == 2:
        tensor.isVariable = True
    elif how == 3 and tensor.quantization is not None:
        tensor.quantization.scale = np.array([rng.choice(_REALS)] * rng.randrange(3), np.float32)
    elif how == 4 and tensor.quantization is not None:
        tensor.quantization.zeroPoint = np.array([rng.choice((*_NUMBERS, 2**62))], np.int64)
    elif how == 5:
        tensor.quantization = None
    else:
        tensor.name = rng.choice((*_TEXTS, *(other.name for other in tensors)))


def _constant(rng: random.Random, content: Any) -> None:
    buffers = [buffer for buffer in content.buffers if buffer.data is not None]
    buffer, how = rng.choice(buffers), rng.randrange(4)
    data = np.asarray(buffer.data, np.uint8).tobytes()
    if how == 0 or not data:
        buffer.data = None
    elif how == 1:
        words = np.frombuffer(data[: len(data) // 4 * 4], np.int32).copy()
        if len(words):
            words[rng.randrange(len(words))] = rng.choice(_NUMBERS)
        buffer.data = np.frombuffer(words.tobytes() + data[len(words) * 4 :], np.uint8)
    elif how == 2:
        buffer.data = np.frombuffer(_run(rng, data), np.uint8)
    else:
        buffer.data = np.frombuffer(_truncation(rng, data), np.uint8)


def _topology(rng: random.Random, content: Any) -> None:
    graph = content.subgraphs[0]
    operator, how = rng.choice(graph.operators), rng.randrange(9)
    indices = (*range(-2, len(graph.tensors) + 1), 2**31 - 1, -(2**31))
    if how < 2:
        operator.inputs = _with_entry(rng, operator.inputs, indices)
    elif how == 2:
        operator.outputs = _with_entry(rng, operator.outputs, indices)
    elif how == 3:
        operator.opcodeIndex = rng.choice((*range(len(content.operatorCodes) + 1), 2**31))
    elif how == 4:
        rng.shuffle(graph.operators)
    elif how == 5:
        graph.operators.remove(operator)
    elif how == 6:
        graph.operators.insert(rng.randrange(len(graph.operators) + 1), operator)
    elif how == 7:
        end = rng.choice(("inputs", "outputs"))
        setattr(graph, end, _with_entry(rng, getattr(graph, end), indices))
    else:
        code = rng.choice(content.operatorCodes)
        if rng.randrange(2):
            code.customCode = rng.choice((*_TEXTS, *(c.customCode for c in content.operatorCodes)))
        else:
            code.builtinCode = rng.randrange(210)
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)


def _subgraphs(rng: random.Random, content: Any) -> None:
    how = rng.randrange(3)
    if how == 0:
        content.subgraphs.append(content.subgraphs[0])
    elif how == 1:
        content.subgraphs.clear()
    else:
        content.subgraphs[0].tensors.append(rng.choice(_tensors(content)))


def _metadata(rng: random.Random, content: Any) -> None:
    entry, how = rng.choice(content.metadata), rng.randrange(5)
    if how == 0:
        entry.buffer = rng.choice((*range(len(content.buffers) + 1), 2**32 - 1))
    elif how == 1:
        entry.name = rng.choice((*_TEXTS, *(other.name for other in content.metadata)))
    elif how == 2:
        content.metadata.remove(entry)
    elif how == 3:
        content.metadata.append(entry)
    elif (buffer := content.buffers[entry.buffer]).data is not None:
        data = np.asarray(buffer.data, np.uint8).tobytes()
        damage = rng.choice((_bits, _run, _truncation))
        buffer.data = np.frombuffer(damage(rng, data), np.uint8)


def _architecture(rng: random.Random, content: Any) -> None:
    text = bytearray(_metadata_bytes(content, ARCHITECTURE_NAME))
    numbers = [i for i, byte in enumerate(text) if chr(byte).isdigit()]
    values = ("0", "-1", "9" * 400, "1e400", "NaN", "null", "[]", "{}", '"x"', "true", "[" * 5000)
    if numbers:
        at = rng.choice(numbers)
        text[at : at + 1] = rng.choice(values).encode()
    _set_metadata(content, ARCHITECTURE_NAME, bytes(text))


def _metadata_bytes(content: Any, name: str) -> bytes:
    for entry in content.metadata:
        if entry.name in (name, name.encode()) and entry.buffer < len(content.buffers):
            data = content.buffers[entry.buffer].data
            return b"" if data is None else np.asarray(data, np.uint8).tobytes()
    return b""


def _set_metadata(content: Any, name: str, value: bytes) -> None:
    for entry in content.metadata:
        if entry.name in (name, name.encode()) and entry.buffer < len(content.buffers):
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(value, np.uint8)
            content.buffers[entry.buffer] = buffer


def _plan(rng: random.Random, content: Any) -> None:
    # Both plans say the same after it, and the checksum is right: only the graph can tell.
    record = bytearray(_metadata_bytes(content, RECORD_NAME))
    offsets = np.frombuffer(_metadata_bytes(content, METADATA_NAME), "<i4").copy()
    count = max(0, (len(record) - _START) // _ENTRY.size)
    if count == 0 or len(offsets) < 4:
        return
    planned = [place for place in range(3, len(offsets)) if offsets[place] >= 0]
    number = rng.randrange(count)
    entries = [list(_ENTRY.unpack_from(record, _START + i * _ENTRY.size)) for i in range(count)]
    entry, how = entries[number], rng.randrange(8)
    if how < 3:
        entry[1] = max(0, entry[1] + 16 * rng.choice((-8, -2, -1, 1, 2, 8)))
    elif how == 3:
        entry[1] = rng.choice([other[1] for other in entries])
    elif how == 4:
        entry[rng.randrange(2)] = rng.choice(_NUMBERS)
    elif how == 5:
        entry[4] = rng.choice((*range(count + 1), 0xFFFF))
        entry[6] = rng.randrange(4)
    else:
        entry[rng.choice((2, 3, 5, 6))] = rng.choice((0, 1, 2, 3, 7, 255))
    _ENTRY.pack_into(record, _START + number * _ENTRY.size, *entry)
    tensors = _HEADER.unpack_from(record)[3]
    if number < tensors and tensors == len(planned):
        offsets[planned[number]] = entry[1] if entry[5] == 0 else -1
    _set_metadata(content, RECORD_NAME, repaired(bytes(record)))
    _set_metadata(content, METADATA_NAME, offsets.tobytes())


def _labels(rng: random.Random, model: bytes) -> bytes:
    files = read_files(model)
    flat = pack(unpack(model))
    output = BytesIO()
    output.write(flat)
    with ZipFile(output, "w") as archive:
        for name, text in files.items():
            how = rng.randrange(7)
            if how == 0:
                text = text + rng.choice(_TEXTS)
            elif how == 1:
                text = text[: rng.randrange(len(text) + 1)]
            elif how == 2:
                text = text.replace(b"\n", rng.choice((b"", b"\r", b"\n\n", b"\0")))
            elif how == 3:
                text = bytes(rng.choice((1 << 20, 1 << 25)))
            elif how == 4:
                archive.writestr(ZipInfo("../" * 9 + name), text, ZIP_DEFLATED)
            elif how == 5:
                name = rng.choice(("labels_0.txt", "/labels.txt", "x"))
            archive.writestr(ZipInfo(name), text, ZIP_DEFLATED)
    content = output.getvalue()
    tail = content[len(flat) :]
    return flat + rng.choice((tail, tail, _bits(rng, tail) if tail else tail))


# What is done to a model, by what it is called.
DAMAGES: dict[str, Damage] = {
    "bits": _bits,
    "run": _run,
    "truncation": _truncation,
    "option": _edited(_option, _option, _option_bytes),
    "shape": _edited(_shape),
    "tensor": _edited(_tensor),
    "constant": _edited(_constant),
    "topology": _edited(_topology, _topology, _topology, _subgraphs),
    "metadata": _edited(_metadata, _architecture),
    "plan": _edited(_plan),
    "labels": _labels,
}
