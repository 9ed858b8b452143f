"""A graph under construction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from flatbuffers import flexbuffers

from mcuformer_tflm.convert.quantization import Quantization
from mcuformer_tflm.tflite.file import pack
from mcuformer_tflm.tflite.schema import schema

_TYPES = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "uint16": schema.TensorType.UINT16,
}

# Index of an optional input that an operator does without.
ABSENT = -1


@dataclasses.dataclass(frozen=True)
class Activation:
    """A tensor that an operator writes, or the model's input.

    Attributes:
        index: Index of the tensor in the model.
        shape: Its shape, batch of 1 included.
        quantization: Its scale and zero point.
        parts: Quantization of each column group, where a tensor holds several.
    """

    index: int
    shape: tuple[int, ...]
    quantization: Quantization
    parts: tuple[Quantization, ...] = ()


class Graph:
    """Collects tensors and custom operators in execution order."""

    def __init__(self, block_tokens: Mapping[str, int] | None = None) -> None:
        """Starts an empty graph.

        Args:
            block_tokens: That option of operators, by the names of their outputs; the others have
                none.
        """
        self._block_tokens = dict(block_tokens or {})
        self._subgraph = schema.SubGraphT()
        self._subgraph.name = b"main"
        self._subgraph.tensors = []
        self._subgraph.operators = []
        self._buffers = [schema.BufferT()]
        self._codes: dict[str, int] = {}
        self._constants: dict[tuple[str, bytes], int] = {}

    def add_activation(
        self,
        name: str,
        shape: Sequence[int],
        quantization: Quantization,
        parts: tuple[Quantization, ...] = (),
        dtype: str | None = None,
    ) -> Activation:
        """Adds a tensor that lives in the arena, of the quantization's type unless ``dtype``."""
        tensor = self._tensor(name, shape, dtype or quantization.dtype, buffer=0)
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = [quantization.scale]
        tensor.quantization.zeroPoint = [quantization.zero_point]
        index = len(self._subgraph.tensors) - 1
        return Activation(index, tuple(shape), quantization, parts)

    def add_constant(self, name: str, values: np.ndarray) -> int:
        """Adds a tensor that lies in flash; the same values share one tensor."""
        key = (f"{values.dtype}{values.shape}", values.tobytes())
        if key not in self._constants:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(key[1], np.uint8)
            self._buffers.append(buffer)
            self._tensor(name, values.shape, str(values.dtype), len(self._buffers) - 1)
            self._constants[key] = len(self._subgraph.tensors) - 1
        return self._constants[key]

    def add_operator(
        self,
        custom_code: str,
        inputs: Sequence[int],
        output: Activation,
        options: dict[str, int],
        *,
        option_bytes: int = 0,
    ) -> None:
        """Adds a custom operator with flexbuffer options.

        Args:
            custom_code: Its name.
            inputs: Indices of the tensors that it reads.
            output: What it writes.
            options: Integers by name.
            option_bytes: Least width of their values, where the file's size shall not depend on
                them; 0 takes what the widest needs.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(custom_code, len(self._codes))
        operator.inputs = list(inputs)
        operator.outputs = [output.index]
        name = self._subgraph.tensors[output.index].name.decode()
        if name in self._block_tokens:
            options = {**options, "block_tokens": self._block_tokens[name]}
        builder = flexbuffers.Builder()
        with builder.Map():
            for name, value in options.items():
                builder.Int(name, value, option_bytes)
        operator.customOptions = np.frombuffer(builder.Finish(), np.uint8)
        operator.customOptionsFormat = schema.CustomOptionsFormat.FLEXBUFFERS
        self._subgraph.operators.append(operator)

    def finish(
        self, sources: Sequence[Activation], results: Sequence[Activation], description: str
    ) -> bytes:
        """Packs the model.

        Args:
            sources: The model's inputs.
            results: Its outputs.
            description: Free text kept in the file.
        """
        self._subgraph.inputs = [source.index for source in sources]
        self._subgraph.outputs = [result.index for result in results]
        model = schema.ModelT()
        model.version = 3
        model.description = description.encode()
        model.subgraphs = [self._subgraph]
        model.buffers = self._buffers
        model.operatorCodes = []
        for custom_code in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = schema.BuiltinOperator.CUSTOM
            code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
            code.customCode = custom_code.encode()
            code.version = 1
            model.operatorCodes.append(code)
        return pack(model)

    def _tensor(self, name: str, shape: Sequence[int], dtype: str, buffer: int) -> schema.TensorT:
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = [int(size) for size in shape]
        tensor.type = _TYPES[dtype]
        tensor.buffer = buffer
        self._subgraph.tensors.append(tensor)
        return tensor
