"""Writes fuzz inputs from the operators that the tests build, as a pytest plugin.

    MCUFORMER_FUZZ_SEEDS=build/seeds PYTHONPATH=tests/helpers \
        .venv/bin/python -m pytest -p fuzz_seeds tests/custom_ops

The format is that of ``custom_ops/fuzz/fuzz_operators.cc``.
"""

import functools
import hashlib
import os
import re
import struct
from pathlib import Path

from mcuformer_tflm.convert.graph import Graph
from mcuformer_tflm.tflite.model_graph import read_graph

_TYPES = {"int8": 0, "int16": 1, "int32": 2, "uint16": 3, "float32": 4, "uint8": 5}
_ABSENT, _CONSTANT, _FILL_SHIFT = 8, 128, 4
_SMALL, _BYTES, _POSITIVE, _UNITS, _RISING = 1, 2, 3, 4, 6
_LARGEST_SIZE = 0xFEFF
# As in register.cc.
_REGISTER = Path(__file__).parents[2] / "custom_ops/tflm/register.cc"
OPERATORS = tuple(
    name.replace("_", "").lower()
    for name in re.findall(r"Register_MCUFORMER_(\w+)", _REGISTER.read_text())
)


def seed(operator, tensors):
    """Returns the fuzz input of one operator of a model; None if it is too large to be one."""
    name = operator.code.removeprefix("Mcuformer").lower()
    content = bytearray([OPERATORS.index(name), 0, len(operator.inputs)])
    for index in (*operator.inputs, operator.outputs[0]):
        if index < 0:
            content += bytes([_ABSENT, 0])
            continue
        tensor = tensors[index]
        if max(tensor.shape, default=0) > _LARGEST_SIZE:
            return None
        kind = _TYPES[tensor.dtype] | _fill(tensor) << _FILL_SHIFT
        content += bytes([kind | (_CONSTANT if tensor.constant else 0), len(tensor.shape)])
        content += struct.pack(f"<{len(tensor.shape)}H", *tensor.shape)
    content.append(len(operator.options))
    for key, value in sorted(operator.options.items()):
        content += bytes([len(key)]) + key.encode() + struct.pack("<i", value)
    return bytes(content)


def _fill(tensor):
    if tensor.dtype == "int32":
        if tensor.shape == (256,):
            return _RISING
        return _UNITS if tensor.shape[-1:] == (3,) else _SMALL
    return _POSITIVE if tensor.dtype in ("int16", "uint16") and tensor.constant else _BYTES


def pytest_configure(config):
    """Makes every model that is built leave its operators in the folder."""
    folder = Path(os.environ["MCUFORMER_FUZZ_SEEDS"])
    folder.mkdir(parents=True, exist_ok=True)
    finish = Graph.finish

    @functools.wraps(finish)
    def finish_and_keep(*arguments, **options):
        model = finish(*arguments, **options)
        graph = read_graph(model)
        for operator in graph.operators:
            if operator.code.startswith("Mcuformer"):
                content = seed(operator, graph.tensors)
                if content is not None:
                    (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)
        return model

    Graph.finish = finish_and_keep
