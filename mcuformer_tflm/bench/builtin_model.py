"""The same network in TFLite's builtin operators, as a converter without ours would write it.

For comparison of memory only: weights are random, scales are such that TFLM accepts them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.tflite.file import pack
from mcuformer_tflm.tflite.schema import schema

_SCALE = 0.05
_PROBABILITY_SCALE = 1 / 256
_EPSILON = 1


def builtin_model(architecture: Architecture, seed: int = 0) -> bytes:
    """Returns an int8 ``.tflite`` of builtin operators, without a memory plan.

    LayerNorm becomes MEAN, SUB, MUL, ADD, RSQRT; attention RESHAPE, TRANSPOSE, BATCH_MATMUL,
    SOFTMAX; GELU MUL, LOGISTIC, MUL; the rest CONV_2D, FULLY_CONNECTED, ADD. Weights have one
    scale a tensor, which costs TFLM less than one a channel.

    Args:
        architecture: The network.
        seed: Of the weights.
    """
    return _Builder(architecture, seed).build()


class _Builder:
    def __init__(self, architecture: Architecture, seed: int) -> None:
        self._arch = architecture
        self._rng = np.random.default_rng(seed)
        self._graph = schema.SubGraphT()
        self._graph.name, self._graph.tensors, self._graph.operators = b"main", [], []
        self._buffers = [schema.BufferT()]
        self._codes: dict[int, int] = {}

    def build(self) -> bytes:
        arch = self._arch
        n, dim = arch.num_tokens, arch.embed_dim
        image = self._tensor((1, *arch.image_shape))
        x = self._patches(image)
        for block in range(arch.depth):
            x = self._add(x, self._attention(self._norm(x), arch.attention_dim(block)))
            y = self._dense(self._norm(x), arch.rank)
            y = self._gelu(self._dense(y, arch.hidden_dim(block)))
            x = self._add(x, self._dense(self._dense(y, arch.rank), dim))
        x = self._mean(self._norm(x), (1, dim), axis=1, keep=False)
        assert self._shape(x) == (1, dim), n
        logits = self._dense(x, arch.num_classes)
        self._graph.inputs, self._graph.outputs = [image], [logits]
        model = schema.ModelT()
        model.version, model.description = 3, b"builtin operators"
        model.subgraphs, model.buffers, model.operatorCodes = [self._graph], self._buffers, []
        for builtin in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.version = builtin, 1
            code.deprecatedBuiltinCode = min(builtin, 127)
            model.operatorCodes.append(code)
        return pack(model)

    def _patches(self, image: int) -> int:
        arch = self._arch
        weights = (arch.embed_dim, arch.patch_size, arch.patch_size, arch.channels)
        options = schema.Conv2DOptionsT()
        options.strideW = options.strideH = arch.patch_size
        options.padding = schema.Padding.SAME
        grid = (1, arch.grid_height, arch.grid_width, arch.embed_dim)
        inputs = [image, self._weights(weights), self._bias(arch.embed_dim)]
        x = self._operator("CONV_2D", inputs, grid, options)
        x = self._reshape(x, (1, arch.num_tokens, arch.embed_dim))
        return self._add(x, self._weights((1, arch.num_tokens, arch.embed_dim)))

    def _norm(self, x: int) -> int:
        shape = self._shape(x)
        each = (*shape[:-1], 1)
        centred = self._operator(
            "SUB", [x, self._mean(x, each, axis=2, keep=True)], shape, schema.SubOptionsT()
        )
        # RSQRT takes no negative values: its input's zero point is the lowest integer.
        variance = self._mean(
            self._multiply(centred, centred, zero_point=-128), each, axis=2, keep=True,
            zero_point=-128,
        )  # fmt: skip
        shifted = self._add(variance, self._scalar(_EPSILON), zero_point=-128)
        root = self._operator("RSQRT", [shifted], each, None, zero_point=-128)
        y = self._multiply(centred, root)
        y = self._multiply(y, self._weights(shape[-1:]))
        return self._add(y, self._weights(shape[-1:]))

    def _attention(self, x: int, width: int) -> int:
        n, heads = self._arch.num_tokens, width // self._arch.head_dim
        query, key, value = (
            self._transpose(
                self._reshape(self._dense(x, width), (1, n, heads, self._arch.head_dim))
            )
            for _ in range(3)
        )
        scores = self._matmul(query, key, (1, heads, n, n), adjoint=True)
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        probabilities = self._operator(
            "SOFTMAX", [scores], (1, heads, n, n), options, _PROBABILITY_SCALE, -128
        )
        context = self._matmul(
            probabilities, value, (1, heads, n, self._arch.head_dim), adjoint=False
        )
        return self._dense(self._reshape(self._transpose(context), (1, n, width)))

    def _gelu(self, x: int) -> int:
        shape = self._shape(x)
        scaled = self._multiply(x, self._scalar(34))
        gate = self._operator("LOGISTIC", [scaled], shape, None, _PROBABILITY_SCALE, -128)
        return self._multiply(x, gate)

    def _dense(self, x: int, units: int | None = None) -> int:
        shape = self._shape(x)
        units = units or self._arch.embed_dim
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = len(shape) > 2
        inputs = [x, self._weights((units, shape[-1])), self._bias(units)]
        return self._operator("FULLY_CONNECTED", inputs, (*shape[:-1], units), options)

    def _matmul(self, x: int, y: int, shape: Sequence[int], adjoint: bool) -> int:
        options = schema.BatchMatMulOptionsT()
        options.adjY = adjoint
        return self._operator("BATCH_MATMUL", [x, y], shape, options)

    def _mean(
        self, x: int, shape: Sequence[int], axis: int, keep: bool, zero_point: int = 0
    ) -> int:
        options = schema.ReducerOptionsT()
        options.keepDims = keep
        axes = self._integers(np.array([axis], np.int32))
        return self._operator("MEAN", [x, axes], shape, options, zero_point=zero_point)

    def _reshape(self, x: int, shape: Sequence[int]) -> int:
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        return self._operator(
            "RESHAPE", [x, self._integers(np.array(shape, np.int32))], shape, options
        )

    def _transpose(self, x: int) -> int:
        a, b, c, d = self._shape(x)
        order = self._integers(np.array([0, 2, 1, 3], np.int32))
        return self._operator("TRANSPOSE", [x, order], (a, c, b, d), schema.TransposeOptionsT())

    def _add(self, x: int, y: int, zero_point: int = 0) -> int:
        return self._operator(
            "ADD", [x, y], self._shape(x), schema.AddOptionsT(), zero_point=zero_point
        )

    def _multiply(self, x: int, y: int, zero_point: int = 0) -> int:
        return self._operator(
            "MUL", [x, y], self._shape(x), schema.MulOptionsT(), zero_point=zero_point
        )

    def _operator(
        self,
        name: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: object,
        scale: float = _SCALE,
        zero_point: int = 0,
    ) -> int:
        operator = schema.OperatorT()
        builtin = getattr(schema.BuiltinOperator, name)
        operator.opcodeIndex = self._codes.setdefault(builtin, len(self._codes))
        output = self._tensor(shape, scale, zero_point)
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self._graph.operators.append(operator)
        return output

    def _weights(self, shape: Sequence[int]) -> int:
        values = self._rng.integers(-127, 128, math.prod(shape), dtype=np.int8)
        return self._tensor(shape, data=values.reshape(shape))

    def _bias(self, units: int) -> int:
        # Its scale is that of the products, as TFLM demands.
        return self._tensor((units,), _SCALE * _SCALE, data=np.zeros(units, np.int32))

    def _scalar(self, value: int) -> int:
        return self._tensor((1,), data=np.array([value], np.int8))

    def _integers(self, values: np.ndarray) -> int:
        return self._tensor(values.shape, data=values)

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self._graph.tensors[tensor].shape)

    def _tensor(
        self,
        shape: Sequence[int],
        scale: float = _SCALE,
        zero_point: int = 0,
        data: np.ndarray | None = None,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name = f"t{len(self._graph.tensors)}".encode()
        tensor.shape = [int(size) for size in shape]
        wide = data is not None and data.dtype == np.int32
        tensor.type = schema.TensorType.INT32 if wide else schema.TensorType.INT8
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self._buffers.append(buffer)
            tensor.buffer = len(self._buffers) - 1
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1
