"""Instructions of the kernels on emulated cores: exact counts, the same on every run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.custom_ops.reference import fully_connected
from mcuformer_tflm.custom_ops.reference.add import add_options
from mcuformer_tflm.custom_ops.reference.attention import exp_table, pack_qkv
from mcuformer_tflm.custom_ops.reference.attention import scratch_bytes as attention_scratch_bytes
from mcuformer_tflm.custom_ops.reference.conv_stem import (
    KERNEL_SIZE,
    convolution_sizes,
    matrix_shapes,
    pack_stem_weights,
    scratch_bytes,
    stem_channels,
)
from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS, pack_weights, unit_constants
from mcuformer_tflm.custom_ops.reference.softmax import softmax_table
from mcuformer_tflm.emulator.cycle_model import CYCLE_MODELS, estimated_cycles
from mcuformer_tflm.emulator.machine import Buffer, Machine, Struct, emulated_machine
from mcuformer_tflm.search.progress import Report

CORES = ("cortex-m4", "cortex-m7", "cortex-m55")
TOKENS = 225
# Width and units of the paper's layers at embed_dim 192.
LAYERS = ((192, 768), (768, 192), (192, 576))
# That one pass over weights serves where they are staged.
STAGED_TOKENS = 32
# Heads and their width, on a grid of 7 x 7 patches: of networks for small images.
SMALL_HEADS = ((8, 8), (8, 12), (4, 16))
# Of a convolutional stem of that width: the image's side and channels, the patch size.
STEM = (96, 3, 16, 192)
_PORTABLE = "portable C++, compiled for this core"
_CYCLES = (
    "an estimate: each block of code that ran, as often as it ran, at llvm-mca's cycles for it; "
    "no caches, no wait states, every branch predicted"
)


@dataclass(frozen=True)
class Case:
    """A call whose instructions are counted.

    Attributes:
        name: Name of the row.
        metric: ``instructions_per_mac`` or ``instructions_per_element``.
        count: By how many multiply-accumulates or elements the instructions are divided.
        run: Makes the call; returns its instructions.
        is_one_call: Whether it makes one call alone, whose cycles can be estimated.
    """

    name: str
    metric: str
    count: int
    run: Callable[[Machine], int]
    is_one_call: bool = False


def run(progress: Report) -> list[Row]:
    """Counts every case on every core, tuned and portable.

    Returns:
        For each case the instructions, llvm-mca's cycles of products that are one call, and the
        stack's bytes, for each core the code's bytes.

    Raises:
        ToolchainError: If the compiler, llvm-mca or the extra ``emulator`` is missing.
    """
    rows = []
    builds = [(core, portable) for core in CORES for portable in (False, True)]
    cases_ = cases()
    for i, (core, portable) in enumerate(builds):
        machine = emulated_machine(core, portable)
        note = _PORTABLE if portable else None
        suffix = "/portable" if portable else ""

        def row(
            case: str,
            metric: str,
            value: float,
            unit: str,
            core: str = core,
            note: str | None = note,
            suffix: str = suffix,
        ) -> Row:
            return Row("kernels", case + suffix, metric, value, unit, core, note)

        for j, case in enumerate(cases_):
            progress("kernels", i * len(cases_) + j, len(builds) * len(cases_))
            value = case.run(machine) / case.count
            rows.append(row(case.name, case.metric, round(value, 4), "instructions"))
            if case.is_one_call and not portable and core in CYCLE_MODELS:
                cycles = estimated_cycles(machine.executed(), core) / case.count
                rows.append(
                    row(case.name, "cycles_per_mac_estimated", round(cycles, 4), "cycles",
                        note=_CYCLES)
                )  # fmt: skip
            rows.append(row(case.name, "stack_bytes", machine.stack_bytes, "bytes"))
        rows.append(row("all", "code_bytes", machine.image.code_bytes, "bytes"))
    progress("kernels", len(builds) * len(cases_), len(builds) * len(cases_))
    return rows


def cases() -> list[Case]:
    """Returns what is counted."""
    result = []
    for width, units in LAYERS:
        shape, macs = f"{TOKENS}x{width}x{units}", TOKENS * width * units
        for name, options in (
            ("fully_connected", {}),
            ("fully_connected_in_place", {"in_place": True}),
            ("fully_connected_int4", {"weight_bits": 4}),
        ):
            layer = FullyConnectedCall(width, units, **options)
            result.append(Case(f"{name}/{shape}", "instructions_per_mac", macs, layer.run, True))
    (width, units), per_element = LAYERS[0], "instructions_per_element"
    staged = FullyConnectedCall(width, units, block_tokens=STAGED_TOKENS)
    return [
        *result,
        Case(
            f"fully_connected_staged/{TOKENS}x{width}x{units}",
            "instructions_per_mac",
            TOKENS * width * units,
            staged.run,
            True,
        ),
        Case("conv_stem/96x96x3x192", "instructions_per_mac", _stem_macs(*STEM), _conv_stem, True),
        Case("attention_qk/225x64", "instructions_per_mac", TOKENS * TOKENS * 64, _attention_qk),
        Case("attention_pv/225x64", "instructions_per_mac", TOKENS * TOKENS * 64, _attention_pv),
        *(small_heads(heads, head_dim) for heads, head_dim in SMALL_HEADS),
        Case("attention_softmax/225x225", per_element, TOKENS * TOKENS, _attention_softmax),
        Case("gelu_epilogue/225x768", per_element, TOKENS * 768, _gelu_epilogue),
        Case("softmax/225x225", per_element, TOKENS * TOKENS, _softmax),
        Case("add/225x192", per_element, TOKENS * 192, _add),
        Case("layer_norm/225x192", per_element, TOKENS * 192, _layer_norm),
    ]


@dataclass(frozen=True)
class FullyConnectedCall:
    """A fully connected layer of random constants."""

    width: int
    units: int
    weight_bits: int = 8
    in_place: bool = False
    gelu: bool = False
    block_tokens: int = BLOCK_TOKENS

    def run(self, machine: Machine) -> int:
        """Returns the instructions of the layer on ``TOKENS`` tokens."""
        rng = np.random.default_rng(0)
        x = _int8(rng, TOKENS, self.width)
        weights = _int8(rng, self.units, self.width) >> (8 - self.weight_bits)
        # Most outputs lie inside int8.
        shift = self.weight_bits - 16 - int(np.log2(self.width) / 2)
        constants = unit_constants(
            rng.integers(-20000, 20000, self.units),
            rng.integers(2**30, 2**31, self.units),
            np.full(self.units, shift),
        )
        packed = Struct((pack_weights(weights, self.weight_bits), constants, self.weight_bits))
        none = Struct((0, 0, 8))
        table = _int8(rng, 256) if self.gelu else None
        scratch_size = fully_connected.scratch_bytes(
            self.width, tokens=TOKENS, block_tokens=self.block_tokens
        )
        scratch = Buffer(np.zeros(scratch_size, np.int8))
        size = TOKENS * max(self.width, self.units) if self.in_place else TOKENS * self.units
        output = Buffer(np.zeros(size, np.int8))
        source: np.ndarray | Buffer = x
        if self.in_place:
            output.data[: x.size] = x.reshape(-1)
            source = output
        return machine.call(
            "mcuformer::FullyConnected",
            Struct((TOKENS, self.width, self.units, 0, 0, -3, self.block_tokens)),
            Struct((*packed.fields, *none.fields, table)),
            source, scratch, output,
        )  # fmt: skip


def _gelu_epilogue(machine: Machine) -> int:
    with_table = FullyConnectedCall(192, 768, gelu=True).run(machine)
    return with_table - FullyConnectedCall(192, 768).run(machine)


def _stem_macs(side: int, channels: int, patch_size: int, embed_dim: int) -> int:
    stages = stem_channels(embed_dim, patch_size)
    return sum(map(math.prod, convolution_sizes(side, side, channels, stages, embed_dim)))


def _conv_stem(machine: Machine) -> int:
    rng = np.random.default_rng(0)
    side, image_channels, patch_size, embed_dim = STEM
    channels = stem_channels(embed_dim, patch_size)
    kernels, constants = [], []
    for units, width in matrix_shapes(image_channels, channels, embed_dim):
        kernels.append(_int8(rng, units, width))
        constants.append(
            unit_constants(
                rng.integers(-20000, 20000, units),
                rng.integers(2**30, 2**31, units),
                np.full(units, -8 - int(np.log2(width) / 2)),
            )
        )
    *stages, projection = kernels
    kernels = [k.reshape(len(k), KERNEL_SIZE, KERNEL_SIZE, -1) for k in stages]
    patches = (side // patch_size) ** 2
    return machine.call(
        "bool mcuformer::ConvStem<signed char>",
        Struct((side, side, image_channels, len(channels), *channels, 0, embed_dim, 0, -3,
                2**30, 7, 0)),
        Struct((pack_stem_weights(kernels, projection), np.concatenate(constants), 8,
                _int8(rng, patches, embed_dim), None)),
        Struct((_int8(rng, side, side, image_channels), None, None)),
        Buffer(np.zeros(scratch_bytes(side, image_channels, channels), np.int8)),
        Buffer(np.zeros((patches, embed_dim), np.int8)),
    )  # fmt: skip


# Of attention: tokens, width, heads, head_dim, zero point, the factors of logits and context;
# grid's two, the rank's zero point, and the four fields of a normalisation, none of which take
# place.
_ATTENTION = Struct((TOKENS, 0, 1, 64, 3, 1500000000, -9, 1500000000, -14, *[0] * 7))


def _of_all_rows(machine: Machine, function: str, arguments: Callable[[int], tuple]) -> int:
    """Returns the instructions of a function that takes four rows at a time."""
    whole, rest = divmod(TOKENS, 4)
    total = whole * machine.call(function, *arguments(4))
    return total + (machine.call(function, *arguments(rest)) if rest else 0)


def _attention_qk(machine: Machine) -> int:
    rng = np.random.default_rng(0)
    queries, keys = rng.integers(-128, 128, 4 * 64, dtype=np.int16), _int8(rng, TOKENS, 64)
    logits = Buffer(np.zeros(4 * -(-TOKENS // 8) * 8, np.int16))
    packed = pack_weights(keys)
    return _of_all_rows(
        machine, "mcuformer::AttentionLogits",
        lambda rows: (_ATTENTION, None, 0, rows, queries, packed, logits),
    )  # fmt: skip


def _attention_pv(machine: Machine) -> int:
    rng = np.random.default_rng(0)
    probabilities = rng.integers(0, 200, 4 * -(-TOKENS // 8) * 8, dtype=np.int16)
    packed = pack_weights(_int8(rng, 64, TOKENS))
    context = Buffer(np.zeros(4 * 64, np.int8))
    return _of_all_rows(
        machine, "mcuformer::AttentionContext",
        lambda rows: (_ATTENTION, rows, probabilities, packed, context),
    )  # fmt: skip


def small_heads(heads: int, head_dim: int) -> Case:
    """Returns attention with a position bias on normalised tokens, projections and all."""
    side, width = 7, heads * head_dim
    tokens = side * side

    def run(machine: Machine) -> int:
        rng = np.random.default_rng(0)
        weights = _int8(rng, 3 * width, width)
        constants = unit_constants(
            rng.integers(-20000, 20000, 3 * width),
            rng.integers(2**30, 2**31, 3 * width),
            np.full(3 * width, -9 - int(np.log2(width) / 2)),
        )
        packed = pack_qkv(weights, constants, heads, head_dim)
        bias = rng.integers(-(2**9), 2**9, (heads, (2 * side - 1) ** 2), dtype=np.int16)
        return machine.call(
            "mcuformer::Attention<signed char>",
            Struct((tokens, width, heads, head_dim, 3, 1500000000, -7, 1500000000, -14, side, side,
                    0, width, 0, 0, 0, 4)),
            Struct((*packed, 8, None, None, exp_table(0.05), bias, None, None, 8)),
            _int8(rng, tokens, width),
            Buffer(np.zeros(attention_scratch_bytes(tokens, head_dim, width), np.int8)),
            Buffer(np.zeros((tokens, width), np.int8)),
        )  # fmt: skip

    macs = 3 * tokens * width * width + 2 * tokens * tokens * width
    return Case(f"attention/{tokens}x{heads}x{head_dim}", "instructions_per_mac", macs, run)


def _attention_softmax(machine: Machine) -> int:
    rng = np.random.default_rng(0)
    block = Buffer(rng.integers(-(2**9), 2**9, 4 * -(-TOKENS // 8) * 8, dtype=np.int16))
    return _of_all_rows(
        machine, "mcuformer::AttentionSoftmax",
        lambda rows: (TOKENS, rows, exp_table(0.05), block),
    )  # fmt: skip


def _softmax(machine: Machine) -> int:
    x = _int8(np.random.default_rng(0), TOKENS, TOKENS)
    output = Buffer(np.zeros_like(x))
    return machine.call("mcuformer::Softmax", TOKENS, TOKENS, x, softmax_table(0.05), output)


def _add(machine: Machine) -> int:
    rng = np.random.default_rng(0)
    x, y = _int8(rng, TOKENS, 192), _int8(rng, TOKENS, 192)
    options = add_options(0.05, 3, 0.03, -5, 0.06, 7)
    return machine.call(
        "mcuformer::Add<signed char>",
        Struct(tuple(options[name] for name in (
            "first_zero_point", "first_multiplier", "first_shift", "second_zero_point",
            "second_multiplier", "second_shift", "output_zero_point", "output_multiplier",
            "output_shift"))),
        x.size, x, y, Buffer(np.zeros_like(x)),
    )  # fmt: skip


def _layer_norm(machine: Machine) -> int:
    rng = np.random.default_rng(0)
    x, width = _int8(rng, TOKENS, 192), 192
    gamma = rng.integers(2**13, 2**15, width, dtype=np.int16)
    beta = rng.integers(-(2**14), 2**14, width, dtype=np.int32)
    epsilon, iterations, normalised_bits = 1, 4, 20
    return machine.call(
        "mcuformer::LayerNorm<signed char>",
        Struct((width, epsilon, iterations, normalised_bits)),
        TOKENS, x, gamma, beta, Buffer(np.zeros_like(x)),
    )  # fmt: skip


def _int8(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-128, 128, shape, dtype=np.int8)
