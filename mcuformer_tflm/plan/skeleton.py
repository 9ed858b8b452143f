"""The graph that a network will have once it is converted, without its weights.

It lets memory be planned before a network is trained or built. A test holds it to the exporter:
the same buffers, sizes, lifetimes and plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_choice, checked_type
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.cost import stem
from mcuformer_tflm.search.cost.activation_memory import Image
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator, Tensor

# Stands for a constant's bytes, which are not known yet.
_UNKNOWN = b"\0"


def skeleton_graph(
    architecture: Architecture, image: Image = "whole", *, quantization: QuantizationConfig = INT8
) -> ModelGraph:
    """Returns the graph that ``convert(..., schedule="streamed", image=image)`` would write.

    Constants have their shapes and sizes but no values; ``plan_memory`` takes it like any graph.

    Args:
        architecture: The network.
        image: Whether the input is the image, or a strip of its rows.
        quantization: Of the network.

    Raises:
        ConfigError: If an argument is none of those.
    """
    checked_type("architecture", architecture, Architecture)
    checked_choice("image", image, get_args(Image))
    checked_type("quantization", quantization, QuantizationConfig)
    arch, graph = architecture, _Skeleton()
    dim, tokens = arch.embed_dim, (1, arch.sequence_length, arch.embed_dim)
    class_token = arch.pooling == "class_token"
    stream = f"int{quantization.residual_bits}"
    height, width, channels = arch.image_shape
    rows = height if image == "whole" else stem.strip_rows(arch)
    source = graph.tensor("image", (1, rows, width, channels))
    x = graph.operator(arch.stem_name, stem.OPERATORS[arch.stem], [
        source, graph.constant((stem.packed_bytes(arch),)), graph.constants(stem.num_units(arch)),
        graph.constant((arch.num_tokens, dim)),
        *([graph.constant((dim,), stream)] if class_token else []),
    ], tokens, _stem_options(arch, image, quantization), stream)  # fmt: skip
    table = graph.constant((256,), "int16")
    for block in range(arch.depth):
        prefix, width = f"block_{block}_", arch.attention_dim(block)
        hidden, rank = arch.hidden_dim(block), arch.rank
        low_rank = arch.low_rank_attention
        y = graph.operator(prefix + "attention", "McuformerAttention", [
            x, table, *graph.norm(dim), *graph.layer(3 * width, rank if low_rank else dim),
            graph.bias(arch, block), *(graph.layer(rank, dim) if low_rank else ()),
        ], (*tokens[:-1], width), {"head_dim": arch.head_dim})  # fmt: skip
        projection = graph.layer(rank, width) if low_rank else ()
        projection += graph.layer(dim, rank if low_rank else width)
        x = graph.operator(
            prefix + ("projection_v" if low_rank else "projection"), "McuformerFullyConnected",
            [y, x, -1, *projection], tokens, dtype=stream,
        )  # fmt: skip
        layers: tuple[tuple[int, int], ...] = ((hidden, dim), (dim, hidden))
        if rank > 0:
            layers = ((rank, dim), (hidden, rank), (rank, hidden), (dim, rank))
        last = "fc2_v" if rank > 0 else "fc2"
        x = graph.operator(prefix + last, "McuformerMlp", [
            x, *graph.norm(dim), graph.constant((256,)),
            *(index for layer in layers for index in graph.layer(*layer)),
        ], tokens, dtype=stream)  # fmt: skip
    norm = [x, *graph.norm(dim)]
    if class_token:
        x = graph.operator("class_token_pool", "McuformerLayerNorm", norm, (1, dim))
    else:
        x = graph.operator("norm", "McuformerLayerNorm", norm, tokens)
        x = graph.operator("mean_pool", "McuformerMeanPool", [x], (1, dim))
    x = graph.operator(
        "head", "McuformerFullyConnected", [x, -1, -1, *graph.layer(arch.num_classes, dim)],
        (1, arch.num_classes), {"in_place": 1},
    )  # fmt: skip
    return ModelGraph(tuple(graph.tensors), tuple(graph.operators), (source,), (x,), {})


def _stem_options(
    arch: Architecture, image: Image, quantization: QuantizationConfig
) -> dict[str, int]:
    in_place = stem.may_overwrite(arch, quantization.residual_bits // 8)
    mode = "strips" if image == "strips" else "in place" if in_place else "whole"
    options = {"patch_size": arch.patch_size, "mode": MODES.index(mode)}
    return options | stem.stage_options(arch)


class _Skeleton:
    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str = "int8", data: bytes = b""
    ) -> int:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self.tensors.append(Tensor(name, tuple(shape), size, dtype, data, 1.0, 0))
        return len(self.tensors) - 1

    def constant(self, shape: Sequence[int], dtype: str = "int8") -> int:
        return self.tensor("constant", shape, dtype, _UNKNOWN)

    def weights(self, units: int, width: int) -> int:
        return self.constant((units, width))

    def constants(self, units: int) -> int:
        return self.constant((units, 3), "int32")

    def layer(self, units: int, width: int) -> tuple[int, ...]:
        return self.weights(units, width), self.constants(units)

    def bias(self, arch: Architecture, block: int) -> int:
        if not arch.relative_position:
            return -1
        return self.constant((arch.num_heads[block], arch.position_biases), "int16")

    def norm(self, width: int) -> tuple[int, int]:
        return self.constant((width,), "int16"), self.constant((width,), "int32")

    def operator(
        self,
        name: str,
        code: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: Mapping[str, int] | None = None,
        dtype: str = "int8",
    ) -> int:
        output = self.tensor(name, shape, dtype)
        self.operators.append(Operator(code, tuple(inputs), (output,), dict(options or {})))
        return output
