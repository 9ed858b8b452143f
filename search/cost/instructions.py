"""Instructions of one inference, before a network exists.

An operator's loops (``operator_loops.py``) times what a pass of each costs on a core. The costs
stand in ``instruction_costs.json``: least squares over operators of random networks, whose firmware
was counted on the emulated core; ``python scripts/fit_instruction_costs.py`` writes it anew and has
to be run when kernels change.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any, get_args

from mcuformer_tflm.custom_ops.reference import conv_stem
from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.custom_ops.reference.token_blocks import tokens_at_once
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import (
    checked_choice,
    checked_type,
    checked_whole,
    shown,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.board import check_core
from mcuformer_tflm.search.cost import stem
from mcuformer_tflm.search.cost.activation_memory import Image
from mcuformer_tflm.search.cost.block_tokens import checked_block_tokens
from mcuformer_tflm.search.cost.operator_loops import (
    AttentionLoops,
    ConvStemLoops,
    FullyConnectedLoops,
    InputLoops,
    LayerNormLoops,
    MlpLoops,
    OperatorLoops,
    PatchEmbedLoops,
    PoolLoops,
)

COSTS_FILE = Path(__file__).with_name("instruction_costs.json")
# A core with the same instructions runs the same code.
_COUNTED_AS = {"cortex-m33": "cortex-m4"}


def num_instructions(
    architecture: Architecture,
    core: str,
    *,
    image: Image = "whole",
    quantization: QuantizationConfig = INT8,
    kept: Collection[int] = (),
    block_tokens: int = BLOCK_TOKENS,
) -> int:
    """Returns the instructions of one inference of a network's firmware on a core: an estimate.

    What differs from what the emulator counts depends on the network's constants, which are not
    known yet (``mcuformer bench cost``).

    Args:
        architecture: The network.
        core: ``cortex-m4``, ``cortex-m7`` or ``cortex-m33``, for which those of the M4 stand.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.
        kept: Blocks that keep their normalised tokens (``choose_kept``).
        block_tokens: Tokens that one pass over a block's weights serves.

    Raises:
        ConfigError: If instructions were counted on no such core, or an argument is none of those.
    """
    checked_type("architecture", architecture, Architecture)
    core_costs(core)
    loops = network_loops(
        architecture, image=image, quantization=quantization, kept=kept, block_tokens=block_tokens
    )
    return round(total_instructions(loops, core))


def network_loops(
    architecture: Architecture,
    *,
    image: Image = "whole",
    quantization: QuantizationConfig = INT8,
    kept: Collection[int] = (),
    block_tokens: int = BLOCK_TOKENS,
) -> list[OperatorLoops]:
    """Returns the loops of all operators of a network, as ``num_instructions`` takes it.

    Raises:
        ConfigError: If an argument is none of those.
    """
    arch = checked_type("architecture", architecture, Architecture)
    kept, block_tokens = checked_schedule(arch, kept, block_tokens)
    loops = list(outer_loops(arch, image=image, quantization=quantization))
    for block in range(arch.depth):
        loops += block_loops(
            arch, block, quantization=quantization, kept=block in kept, block_tokens=block_tokens
        )
    return loops


def total_cycles(loops: Iterable[OperatorLoops], core: str) -> float:
    """Returns the cycles of several operators by llvm-mca's model of the core: an estimate.

    Raises:
        ConfigError: If instructions were counted on no such core, or of no such operator.
    """
    loops, cycles = list(loops), core_costs(core)["cycles"]
    total = cycles["instruction"] * total_instructions(loops, core)
    for one in loops:
        runs = one.loops()
        total += sum(more * runs.get(name, 0) for name, more in cycles["loops"].items())
    return total


def total_instructions(loops: Iterable[OperatorLoops], core: str) -> float:
    """Returns the instructions of several operators.

    Raises:
        ConfigError: If instructions were counted on no such core, or of no such operator.
    """
    total = 0.0
    for one in loops:
        instructions = operator_instructions(one, core)
        if instructions is None:
            raise ConfigError(f"Instructions of {one} were not counted on {core}.")
        total += instructions
    return total


@functools.lru_cache(maxsize=1 << 14)
def operator_instructions(loops: OperatorLoops, core: str) -> float | None:
    """Returns the instructions of one operator; None where none of its kind was counted.

    Raises:
        ConfigError: If instructions were counted on no such core.
    """
    costs = core_costs(core)["operators"].get(loops.kind)
    if costs is None:
        return None
    runs = loops.loops()
    if not runs.keys() <= costs["loops"].keys():
        return None
    return sum(costs["loops"][name] * times for name, times in runs.items())


def checked_schedule(
    architecture: Architecture, kept: object, block_tokens: object
) -> tuple[frozenset[int], int]:
    """Returns the blocks that keep their normalised tokens, and the tokens of a pass.

    Raises:
        ConfigError: If a block is none of the network's, or the tokens are no multiple of 4.
    """
    if not isinstance(kept, tuple | list | range | Set):
        raise ConfigError(f"kept is {shown(kept)}; it must be a tuple of blocks.")
    most = architecture.depth - 1
    blocks = frozenset(checked_whole("kept", block, least=0, most=most) for block in kept)
    return blocks, checked_block_tokens(block_tokens)


def is_counted(core: str) -> bool:
    """Whether instructions were counted on a core, or on one with the same."""
    return _COUNTED_AS.get(core, core) in _costs()["cores"]


def core_costs(core: str) -> Mapping[str, Any]:
    """Returns what ``instruction_costs.json`` has of a core.

    Raises:
        ConfigError: If it has none.
    """
    check_core(core)
    cores = _costs()["cores"]
    if not is_counted(core):
        known = ", ".join([*cores, *_COUNTED_AS])
        raise ConfigError(f"core is {core!r}, on which no instructions were counted; {known} are.")
    return cores[_COUNTED_AS.get(core, core)]


def block_loops(
    architecture: Architecture,
    block: int,
    *,
    quantization: QuantizationConfig = INT8,
    kept: bool = False,
    block_tokens: int = BLOCK_TOKENS,
) -> Iterator[OperatorLoops]:
    """Yields the operators of one block, in order.

    Args:
        architecture: The network.
        block: Which of its blocks.
        quantization: Of the network.
        kept: Whether it keeps its normalised tokens.
        block_tokens: Tokens that one pass over its weights serves.
    """
    arch, n, dim = architecture, architecture.sequence_length, architecture.embed_dim
    weight_bits, bits = quantization.weight_bits, quantization.residual_bits
    rank = arch.rank if arch.low_rank_attention else 0
    block_tokens = tokens_at_once(n, block_tokens)
    how: dict[str, Any] = {"weight_bits": weight_bits, "block_tokens": block_tokens}
    if kept:
        yield LayerNormLoops(n, dim, bits=bits)
        if rank:
            yield FullyConnectedLoops(n, dim, rank, **how)
    yield AttentionLoops(
        n, rank or dim, arch.num_heads[block], arch.head_dim, **how,
        norm_width=0 if kept else dim,
        norm_bits=8 if kept else bits,
        low_rank=0 if kept or not rank else dim,
        position_bias=arch.relative_position,
        class_tokens=n - arch.num_tokens if arch.relative_position else 0,
    )  # fmt: skip
    yield FullyConnectedLoops(
        n, arch.attention_dim(block), dim, **how,
        rank=rank,
        residual_bits=bits,
        slow_units=_slow_units("projection", block, bits, dim),
    )  # fmt: skip
    yield MlpLoops(
        n, dim, arch.hidden_dim(block), **how,
        rank=arch.rank,
        residual_bits=bits,
        slow_units=_slow_units("MLP", block, bits, dim),
    )  # fmt: skip


def outer_loops(
    architecture: Architecture, *, image: Image = "whole", quantization: QuantizationConfig = INT8
) -> Iterator[OperatorLoops]:
    """Yields the operators before and after the blocks, and the copies of image and output.

    Args:
        architecture: The network, whose blocks do not count.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the network.

    Raises:
        ConfigError: If an argument is none of those.
    """
    checked_choice("image", image, get_args(Image))
    checked_type("quantization", quantization, QuantizationConfig)
    arch, n, dim = architecture, architecture.sequence_length, architecture.embed_dim
    (height, width, channels), bits = arch.image_shape, quantization.residual_bits
    class_token = arch.pooling == "class_token"
    in_place = image == "whole" and stem.may_overwrite(arch, bits // 8)
    mode = "in place" if in_place else image
    yield InputLoops(height * width * channels if image == "whole" else 0, arch.num_classes)
    how: dict[str, Any] = {
        "mode": mode, "bits": bits, "class_token": class_token,
        "slow_units": _slow_units("stem", 0, bits, dim),
    }  # fmt: skip
    if arch.stem == "conv":
        stages = conv_stem.stem_channels(dim, arch.patch_size)
        yield ConvStemLoops(height, width, channels, stages, dim, **how)
    else:
        yield PatchEmbedLoops(height, width, channels, arch.patch_size, dim, tile=stem.TILE, **how)
    yield LayerNormLoops(1 if class_token else n, dim, bits=bits)
    if not class_token:
        yield PoolLoops(1, n, dim)
    yield FullyConnectedLoops(1, dim, arch.num_classes)


def slow_layer(layer: str, block: int, bits: int) -> str:
    """Returns by which name the share of slow units of a layer is known.

    Args:
        layer: "stem", "projection" or "MLP".
        block: Which block it is in.
        bits: Of the residual stream.
    """
    where = " of the first block" if block == 0 and layer != "stem" else ""
    return f"{layer}{where}, int{bits}"


def _slow_units(layer: str, block: int, bits: int, units: int) -> float:
    return units * _costs()["slow units"][slow_layer(layer, block, bits)]


@functools.cache
def _costs() -> Any:
    return json.loads(COSTS_FILE.read_text(encoding="utf-8"))
