"""The paper's memory figure, and the flash of a subnet and of the operators that run it."""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import checked_bool, checked_type
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.board import check_core
from mcuformer_tflm.search.cost.model_file import block_constants, model_bytes, outer_constants
from mcuformer_tflm.search.cost.stem import convolutions

# Measured with Debian's compiler (``mcuformer bench memory``), and rounded up by about a
# seventh for other versions of it; a test holds them to the measurement.
_CODE_BYTES = {
    "cortex-m0plus": 124 * 1024,
    "cortex-m33": 92 * 1024,
    "cortex-m4": 92 * 1024,
    "cortex-m55": 104 * 1024,
    "cortex-m7": 92 * 1024,
}


def fully_connected_shapes(architecture: Architecture) -> Iterator[tuple[str, int, int]]:
    """Yields (name, units, width) of every fully connected layer, the head last."""
    checked_type("architecture", architecture, Architecture)
    arch = architecture
    for block in range(arch.depth):
        prefix = f"block_{block}_"
        attention, hidden = arch.attention_dim(block), arch.hidden_dim(block)
        if arch.low_rank_attention:
            yield prefix + "qkv_u", arch.rank, arch.embed_dim
            yield prefix + "qkv_v", 3 * attention, arch.rank
            yield prefix + "projection_u", arch.rank, attention
            yield prefix + "projection_v", arch.embed_dim, arch.rank
        else:
            yield prefix + "qkv", 3 * attention, arch.embed_dim
            yield prefix + "projection", arch.embed_dim, attention
        if arch.rank_ratio is None:
            yield prefix + "fc1", hidden, arch.embed_dim
            yield prefix + "fc2", arch.embed_dim, hidden
            continue
        yield prefix + "fc1_u", arch.rank, arch.embed_dim
        yield prefix + "fc1_v", hidden, arch.rank
        yield prefix + "fc2_u", arch.rank, hidden
        yield prefix + "fc2_v", arch.embed_dim, arch.rank
    yield "head", arch.num_classes, arch.embed_dim


def eq5_bytes(architecture: Architecture, class_token: bool = False) -> int:
    """Returns the paper's peak memory (Eq. 5), which is not what an arena needs.

    The maximum over the blocks' fully connected layers of weights + max(input, output), int8:
    weights staged in SRAM, input and output sharing one buffer. It leaves out the residual
    copy, attention scores, the image and every overhead.

    Args:
        architecture: The network.
        class_token: Whether to count one whatever the network's pooling; the paper does.
    """
    checked_type("architecture", architecture, Architecture)
    class_token = checked_bool("class_token", class_token)
    tokens = max(architecture.sequence_length, architecture.num_tokens + class_token)
    return max(
        units * width + tokens * max(units, width)
        for name, units, width in fully_connected_shapes(architecture)
        if name != "head"
    )


def weight_bytes(architecture: Architecture, quantization: QuantizationConfig = INT8) -> int:
    """Returns the bytes of constants that the converted network keeps in flash.

    Weights, biases, multipliers, shifts, positions and tables, without the flatbuffer around
    them (``model_bytes``).

    Raises:
        ConfigError: If an argument is none of those.
    """
    arch = architecture
    checked_type("architecture", arch, Architecture)
    constants = list(outer_constants(arch, quantization=quantization))
    for block in range(arch.depth):
        constants += block_constants(arch, block, quantization=quantization)
    return sum(constant.size for constant in constants)


def code_bytes(core: str) -> int:
    """Returns the flash for kernels, adapters and memory planner on a core, measured.

    All operators, as ``RegisterMcuformerOps`` takes them, without TFLM itself. Firmware without
    an interpreter takes less (``mcuformer bench firmware``).

    Args:
        core: Such as ``cortex-m4``; the largest figure stands for one that is not measured.

    Raises:
        ConfigError: If that is no name of a Cortex-M.
    """
    check_core(core)
    return _CODE_BYTES.get(core, max(_CODE_BYTES.values()))


def num_parameters(architecture: Architecture) -> int:
    """Returns the number of trainable parameters."""
    arch = architecture
    total = sum(units * (width + 1) for _, units, width in fully_connected_shapes(arch))
    stem = convolutions(arch)
    total += sum(part.units * (part.width + 1) for part in stem)
    total += sum(part.units for part in stem[:-1])  # gains of standardised kernels
    if arch.relative_position:
        total += sum(arch.num_heads) * arch.position_biases
    return total + (arch.sequence_length + 2 * (2 * arch.depth + 1)) * arch.embed_dim


def num_macs(architecture: Architecture) -> int:
    """Returns the multiply-accumulates of one image."""
    checked_type("architecture", architecture, Architecture)
    arch, n = architecture, architecture.sequence_length
    total = sum(
        units * width * (1 if name == "head" else n)
        for name, units, width in fully_connected_shapes(arch)
    )
    total += sum(part.units * part.width * part.pixels for part in convolutions(arch))
    return total + sum(2 * n * n * arch.attention_dim(block) for block in range(arch.depth))


def flash_bytes(
    architecture: Architecture, core: str | None = None, *, quantization: QuantizationConfig = INT8
) -> int:
    """Returns the bytes of flash of the ``.tflite`` (``model_bytes``), and of code with a core.

    Args:
        architecture: The network.
        core: Whose code (``code_bytes``) is counted too; None counts the file alone.
        quantization: Of the network.

    Raises:
        ConfigError: If an argument is none of those.
    """
    code = 0 if core is None else code_bytes(core)
    return model_bytes(architecture, quantization=quantization) + code
