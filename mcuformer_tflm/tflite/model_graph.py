"""What the planner needs to know of a ``.tflite``: tensors, operators, options."""

from __future__ import annotations

import dataclasses
import math
import struct
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.keras_models.untrusted_files import (
    LONGEST_NAME,
    MOST_MODEL_BYTES,
    MOST_OPERATORS,
    MOST_TENSORS,
)
from mcuformer_tflm.tflite.extent import check_extent
from mcuformer_tflm.tflite.file import Model, model_content
from mcuformer_tflm.tflite.operator_forms import check_form
from mcuformer_tflm.tflite.schema import schema

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
        num_scales: Scales that it has: one, one a channel, or none.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    dtype: str
    data: bytes
    scale: float
    zero_point: int
    num_scales: int = 1

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


def check_graph(graph: ModelGraph) -> None:
    """Checks that operators can run one after another, in the order of the file.

    Raises:
        ModelError: If an operator reads a tensor that none before it has written (a cycle, or
            operators out of order), writes a constant, an input or what another has written,
            or has no output; or if the model has no operators, or outputs that nobody writes.
    """
    if not graph.operators:
        raise ModelError("The model has no operators.")
    written = set(graph.inputs)
    for index in graph.inputs:
        if not 0 <= index < len(graph.tensors) or graph.tensors[index].constant:
            raise ModelError(f"The model's input, tensor {index}, is a constant or no tensor.")
    for step, operator in enumerate(graph.operators):
        if not operator.outputs:
            raise ModelError(f"Operator {step} ({operator.code}) writes no tensor.")
        for index in operator.inputs:
            if index >= 0 and index not in written and not graph.tensors[index].constant:
                raise ModelError(
                    f"Operator {step} ({operator.code}) reads {graph.tensors[index].name}, which "
                    "no operator before it writes: the graph has a cycle, or its operators are "
                    "out of order."
                )
        for index in operator.outputs:
            if index < 0 or index in written or graph.tensors[index].constant:
                name = graph.tensors[index].name if index >= 0 else index
                raise ModelError(
                    f"Operator {step} ({operator.code}) writes {name}, which is a constant or has "
                    "been written before."
                )
            written.add(index)
    for index in graph.outputs:
        if index not in written:
            raise ModelError(f"Nobody writes the model's output, tensor {index}.")


def read_graph(model: Model) -> ModelGraph:
    """Reads a model.

    Args:
        model: Path of a ``.tflite`` file, or its bytes.

    Raises:
        ConfigError: If it is neither.
        ModelError: If the file cannot be read, is damaged, or has not exactly one subgraph.
    """
    content = model_content(model)
    if content[4:8] != b"TFL3":
        raise ModelError(
            "This is no TensorFlow Lite model: the identifier TFL3 is missing at byte 4. "
            "Give a .tflite file that mcuformer has written."
        )
    try:
        root = schema.Model.GetRootAsModel(content, 0)
        check_extent(root, len(content))
        graph = _read(schema.ModelT.InitFromObj(root))
        check_graph(graph)
        return graph
    except ModelError:
        raise
    except (struct.error, ValueError, TypeError, IndexError, AttributeError, KeyError,
            OverflowError, MemoryError, RecursionError) as error:  # fmt: skip
        raise ModelError(
            f"The model file is damaged or cut short ({len(content)} bytes; {error}). Convert "
            "or copy it again."
        ) from error


def _read(model: Any) -> ModelGraph:
    if len(model.subgraphs) != 1:
        raise ModelError(f"The model has {len(model.subgraphs)} subgraphs; we run models of one.")
    graph = model.subgraphs[0]
    for what, count, most in (
        ("operators", len(graph.operators), MOST_OPERATORS),
        ("tensors", len(graph.tensors), MOST_TENSORS),
    ):
        if count > most:
            raise ModelError(f"The model has {count:,} {what}; {most:,} are allowed.")
    buffers = [_bytes(buffer.data) for buffer in model.buffers]
    tensors = tuple(_read_tensor(tensor, buffers) for tensor in graph.tensors)
    operators = []
    for operator in graph.operators:
        if not 0 <= operator.opcodeIndex < len(model.operatorCodes):
            raise ModelError(f"An operator has the code {operator.opcodeIndex}, which is none.")
        read = _read_operator(operator, model.operatorCodes[operator.opcodeIndex])
        for index in (*read.inputs, *read.outputs):
            if not -1 <= index < len(tensors):
                raise ModelError(f"An operator names tensor {index} of {len(tensors)}.")
        if -1 in read.outputs:
            raise ModelError(f"{read.code} writes no tensor.")
        check_form(
            read.code,
            [tensors[index] if index >= 0 else None for index in read.inputs],
            [tensors[index] for index in read.outputs],
            read.options,
        )
        operators.append(read)
    metadata = {
        (entry.name or b"").decode(): buffers[entry.buffer] for entry in model.metadata or []
    }
    return ModelGraph(
        tensors, tuple(operators), _indices(graph.inputs), _indices(graph.outputs), metadata
    )


def _read_operator(operator: Any, code: Any) -> Operator:
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    name, options = f"builtin {builtin}", {}
    if builtin == schema.BuiltinOperator.CUSTOM:
        name = (code.customCode or b"").decode()
        if operator.customOptions is not None:
            options = _read_options(name, _bytes(operator.customOptions))
    elif code.customCode:
        # TFLM goes by the builtin code, and would run another operator than we take it for.
        raise ModelError(f"An operator is both {code.customCode.decode()} and {name}.")
    return Operator(name, _indices(operator.inputs), _indices(operator.outputs), options)


def _read_options(code: str, content: bytes) -> dict[str, int]:
    options = flexbuffers.Loads(bytearray(content))
    if not isinstance(options, dict):
        raise ModelError(f"The options of {code} are no flexbuffer map.")
    for name, value in options.items():
        if not isinstance(value, int) or not -(2**31) <= value < 2**31:
            raise ModelError(f"{code} has the option {name}, which is no number of 32 bits.")
    return options


def _read_tensor(tensor: Any, buffers: list[bytes]) -> Tensor:
    shape = tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ()))
    if tensor.type not in _DTYPES:
        raise ModelError(
            f"Tensor {tensor.name!r} has the type {tensor.type}; known are "
            f"{', '.join(_DTYPES.values())}."
        )
    dtype = _DTYPES[tensor.type]
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if any(extent < 1 for extent in shape) or size > MOST_MODEL_BYTES:
        raise ModelError(
            f"Tensor {tensor.name!r} of shape {shape} has {size} bytes; a tensor has 1 to "
            f"{MOST_MODEL_BYTES}."
        )
    if tensor.isVariable:
        raise ModelError(f"Tensor {tensor.name!r} is a variable; TFLM would set it to zero.")
    data = buffers[tensor.buffer]
    if data and len(data) != size:
        raise ModelError(
            f"Tensor {tensor.name!r} needs {size} bytes but its buffer holds {len(data)}."
        )
    scale, zero_point, num_scales = 0.0, 0, 0
    if tensor.quantization is not None and tensor.quantization.scale is not None:
        scale = float(tensor.quantization.scale[0])
        zero_point = int(tensor.quantization.zeroPoint[0])
        num_scales = len(tensor.quantization.scale)
        if not (math.isfinite(scale) and scale >= 0 and abs(zero_point) < 2**31):
            raise ModelError(
                f"Tensor {tensor.name!r} has the scale {scale} and the zero point {zero_point}."
            )
    name = (tensor.name or b"").decode()
    if len(name) > LONGEST_NAME:
        raise ModelError(f"A tensor's name has {len(name)} characters; {LONGEST_NAME} are allowed.")
    return Tensor(name, shape, size, dtype, data, scale, zero_point, num_scales)


def _bytes(data: Any) -> bytes:
    return b"" if data is None else np.asarray(data, np.uint8).tobytes()


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)
