"""A graph under construction, and the flatbuffer that it becomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from mcuformer_tflm.convert.quantization import Quantization

_TYPES = {
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "uint16": schema.TensorType.UINT16,
}
_ALIGNMENT = 16


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

    def __init__(self) -> None:
        """Starts an empty graph."""
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
        dtype: str = "int8",
    ) -> Activation:
        """Adds a tensor that lives in the arena."""
        tensor = self._tensor(name, shape, dtype, buffer=0)
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
        self, custom_code: str, inputs: Sequence[int], output: Activation, options: dict[str, int]
    ) -> None:
        """Adds a custom operator with flexbuffer options."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(custom_code, len(self._codes))
        operator.inputs = list(inputs)
        operator.outputs = [output.index]
        operator.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
        operator.customOptionsFormat = schema.CustomOptionsFormat.FLEXBUFFERS
        self._subgraph.operators.append(operator)

    def finish(self, sources: Sequence[Activation], result: Activation, description: str) -> bytes:
        """Packs the model.

        Args:
            sources: The model's inputs.
            result: Its output.
            description: Free text kept in the file.
        """
        self._subgraph.inputs = [source.index for source in sources]
        self._subgraph.outputs = [result.index]
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


def add_metadata(model: schema.ModelT, name: str, content: bytes) -> None:
    """Adds a metadata buffer to a model, replacing one of the same name."""
    model.metadata = [m for m in model.metadata or [] if _text(m.name) != name]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    metadata = schema.MetadataT()
    metadata.name = name.encode()
    metadata.buffer = len(model.buffers) - 1
    model.metadata.append(metadata)


def unpack(content: bytes) -> schema.ModelT:
    """Returns the editable form of a model that is known to be intact."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def pack(model: schema.ModelT) -> bytes:
    """Returns the flatbuffer, with every buffer's data at a multiple of 16 bytes.

    ``Pack`` of the object API drops the schema's ``force_align: 16``, and kernels that read
    int32 constants in place need it. Buffers are packed here, the rest by ``Pack``.
    """
    builder = flatbuffers.Builder(1 << 16)
    packers = [_AlignedBuffer(buffer) for buffer in model.buffers]
    originals, model.buffers = model.buffers, packers
    try:
        root = model.Pack(builder)
    finally:
        model.buffers = originals
    builder.Finish(root, file_identifier=b"TFL3")
    return bytes(builder.Output())


class _AlignedBuffer:
    def __init__(self, buffer: schema.BufferT) -> None:
        self._data = None if buffer.data is None else np.asarray(buffer.data, np.uint8)

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
        data = None
        if self._data is not None and len(self._data):
            builder.StartVector(1, len(self._data), _ALIGNMENT)
            builder.head -= len(self._data)
            builder.Bytes[builder.Head() : builder.Head() + len(self._data)] = self._data.tobytes()
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _text(name: bytes | str | None) -> str:
    return name.decode() if isinstance(name, bytes) else name or ""
