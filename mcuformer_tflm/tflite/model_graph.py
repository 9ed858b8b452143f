"""What the planner needs to know of a ``.tflite``: tensors, operators, options."""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from mcuformer_tflm.keras_models.exceptions import ModelError

_DTYPES = {
    schema.TensorType.INT8: "int8",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.UINT16: "uint16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.FLOAT32: "float32",
}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        name: Its name.
        shape: Its shape.
        size: Its bytes, unpadded.
        dtype: Its numpy type.
        data: A constant's little-endian bytes, which lie in flash; empty in the arena.
        scale: Quantization scale, or 0.
        zero_point: Quantization zero point.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    dtype: str
    data: bytes
    scale: float
    zero_point: int

    @property
    def constant(self) -> bool:
        """Whether it lies in flash."""
        return bool(self.data)


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator: its custom code (or builtin number), tensors by index, options."""

    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]


@dataclasses.dataclass(frozen=True)
class ModelGraph:
    """The one subgraph of a model.

    Attributes:
        tensors: All tensors, constants included, in the file's order.
        operators: Operators in execution order.
        inputs: Indices of the model's inputs.
        outputs: Indices of the model's outputs.
        metadata: Metadata buffers by name.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: dict[str, bytes]


def read_graph(content: bytes) -> ModelGraph:
    """Reads a model.

    Args:
        content: Bytes of a ``.tflite`` file.

    Raises:
        ModelError: If the file is damaged, or has not exactly one subgraph.
    """
    if content[4:8] != b"TFL3":
        raise ModelError(
            "This is no TensorFlow Lite model: the identifier TFL3 is missing at byte 4. "
            "Give a .tflite file that mcuformer has written."
        )
    try:
        return _read(schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0)))
    except ModelError:
        raise
    except (struct.error, ValueError, TypeError, IndexError, AttributeError, KeyError,
            OverflowError, MemoryError) as error:  # fmt: skip
        raise ModelError(
            f"The model file is damaged or cut short ({len(content)} bytes; {error}). Convert "
            "or copy it again."
        ) from error


def _read(model: Any) -> ModelGraph:
    if len(model.subgraphs) != 1:
        raise ModelError(f"The model has {len(model.subgraphs)} subgraphs; we run models of one.")
    graph = model.subgraphs[0]
    buffers = [_bytes(buffer.data) for buffer in model.buffers]
    tensors = tuple(_read_tensor(tensor, buffers) for tensor in graph.tensors)
    operators = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        name = (code.customCode or b"").decode() or f"builtin {builtin}"
        options = {}
        if code.customCode and operator.customOptions is not None:
            options = flexbuffers.Loads(bytearray(_bytes(operator.customOptions)))
            if not isinstance(options, dict):
                raise ModelError(f"The options of {name} are no flexbuffer map.")
        inputs, outputs = _indices(operator.inputs), _indices(operator.outputs)
        operators.append(Operator(name, inputs, outputs, options))
    for index in [i for op in operators for i in (*op.inputs, *op.outputs)]:
        if not -1 <= index < len(tensors):
            raise ModelError(f"An operator names tensor {index} of {len(tensors)}.")
    metadata = {
        (entry.name or b"").decode(): buffers[entry.buffer] for entry in model.metadata or []
    }
    return ModelGraph(
        tensors, tuple(operators), _indices(graph.inputs), _indices(graph.outputs), metadata
    )


def _read_tensor(tensor: Any, buffers: list[bytes]) -> Tensor:
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    if tensor.type not in _DTYPES or any(size < 1 for size in shape):
        raise ModelError(f"Tensor {tensor.name!r} has a type or shape that we do not know.")
    dtype = _DTYPES[tensor.type]
    size = math.prod(shape) * np.dtype(dtype).itemsize
    data = buffers[tensor.buffer]
    if data and len(data) != size:
        raise ModelError(
            f"Tensor {tensor.name!r} needs {size} bytes but its buffer holds {len(data)}."
        )
    scale, zero_point = 0.0, 0
    if tensor.quantization is not None and tensor.quantization.scale is not None:
        scale = float(tensor.quantization.scale[0])
        zero_point = int(tensor.quantization.zeroPoint[0])
    return Tensor((tensor.name or b"").decode(), shape, size, dtype, data, scale, zero_point)


def _bytes(data: Any) -> bytes:
    return b"" if data is None else np.asarray(data, np.uint8).tobytes()


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)
