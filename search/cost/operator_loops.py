"""How often each loop of an operator runs, by the operator's shape alone.

A kernel's instructions are a sum over its loops, so they are linear in these numbers; what a pass
of each loop costs on a core stands in ``instruction_costs.json`` (``instructions.py``). A name is
that of a loop: "logits step" is a step of the inner loop while logits are made, for four tokens;
"rest" is what is done for each token of a last block of fewer than four. ``reads`` tells how often
each byte of an operator's constants is read, by what they are for.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from mcuformer_tflm.custom_ops.reference.conv_stem import KERNEL_SIZE, matrix_shapes
from mcuformer_tflm.custom_ops.reference.dot import (
    BLOCK_TOKENS,
    packed_weight_bytes,
    token_block_bytes,
)
from mcuformer_tflm.custom_ops.reference.token_blocks import STAGED_UNITS, tokens_at_once

Loops = Mapping[str, float]
Reads = Mapping[str, float]

# Values that one step of the inner loop multiplies, by the bits of a weight (kernels/dot.h), and
# steps of a turn (kernels/cortex_m/multiply.S).
_STEP, _UNROLLED = {8: 4, 4: 8}, {"int8": 16, "int4": 4, "widened": 8}
# From so many steps on an M7 has a loop of its own (kernels/cortex_m/multiply.h).
_LONG_STEPS, _LONG_UNROLLED = 48, 8
# Columns that a mean adds up at once, and rows that it adds before a sum is widened
# (kernels/column_sums.h).
_SUMMED_COLUMNS, _RUN = 4, 256
# Values of a turn of what is unrolled in C++ (kernels/layer_norm.cc, softmax.cc).
_UNROLL = 8
# Entries of a table, one of which is read for each value.
# How often the inner loop of four tokens loads a word of packed weights, by their bits.
_LOADS = {8: 2, 4: 4}
_TABLE = 256
# Bytes of a turn of the C library's memcpy.
_COPIED = 64


@dataclasses.dataclass(frozen=True)
class InputLoops:
    """The image's way into the arena, and the output's out of it.

    Attributes:
        image_bytes: Bytes that are copied before the first operator; 0 where strips are read.
        output_bytes: Bytes of all outputs.
    """

    image_bytes: int
    output_bytes: int

    kind = "input"

    def loops(self) -> Loops:
        """Returns how often each runs."""
        return {"call": 1, **_copied("image", self.image_bytes), "output byte": self.output_bytes}

    def reads(self) -> Reads:
        """Returns nothing: there are no constants."""
        return {}


@dataclasses.dataclass(frozen=True)
class FullyConnectedLoops:
    """A layer, or a low-rank pair of them.

    Attributes:
        tokens: Tokens.
        width: Values of a token.
        units: Values of an output token.
        rank: Of the pair; 0: one layer.
        weight_bits: 8 or 4.
        residual_bits: Of the residual that is added, 8 or 16; 0: none.
        gelu: Whether GELU follows.
        slow_units: Units of the last layer that are rescaled by the long way
            (``RescaleDown::Serves``).
        block_tokens: Tokens that one pass over the weights serves.
    """

    tokens: int
    width: int
    units: int
    _: dataclasses.KW_ONLY
    rank: int = 0
    weight_bits: int = 8
    residual_bits: int = 0
    gelu: bool = False
    slow_units: float = 0
    block_tokens: int = BLOCK_TOKENS

    @property
    def kind(self) -> str:
        """Which coefficients count."""
        if self.residual_bits:
            return "fully connected, residual"
        return "fully connected, GELU" if self.gelu else "fully connected"

    def loops(self) -> Loops:
        """Returns how often each runs."""
        t, how = self.tokens, (self.weight_bits, self.block_tokens)
        output = _of_stream("output", self.residual_bits)
        if self.rank == 0:
            layers = [_product(output, t, self.width, self.units, *how)]
        else:
            layers = [
                _product("rank", t, self.width, self.rank, *how),
                _product(output, t, self.rank, self.units, *how),
            ]
        slow = _slow(t, self.slow_units, self.residual_bits)
        return _sum(_blocks(t), _widened(t, self.width), *layers, slow)

    def reads(self) -> Reads:
        """Returns how often each byte of constants is read."""
        how = self.tokens, self.block_tokens
        layers = (self.rank, self.units) if self.rank else (self.units,)
        read = {"units": layer_reads(*how), **_weights_read(layers, self.weight_bits, *how)}
        return read | ({"table": self.tokens * self.units / _TABLE} if self.gelu else {})


@dataclasses.dataclass(frozen=True)
class MlpLoops:
    """A block's MLP with the normalisation before it.

    Attributes:
        tokens: Tokens.
        width: Values of a token.
        hidden: Hidden values.
        rank: Of both low-rank pairs; 0: two layers.
        weight_bits: 8 or 4.
        residual_bits: Of the residual stream, 8 or 16.
        slow_units: Of the last layer, as in ``FullyConnectedLoops``.
        block_tokens: Tokens that one pass over the weights serves.
    """

    tokens: int
    width: int
    hidden: int
    _: dataclasses.KW_ONLY
    rank: int = 0
    weight_bits: int = 8
    residual_bits: int = 8
    slow_units: float = 0
    block_tokens: int = BLOCK_TOKENS

    kind = "MLP"

    def loops(self) -> Loops:
        """Returns how often each runs."""
        t, how = self.tokens, (self.weight_bits, self.block_tokens)
        hidden_width, output_width, ranks = self.width, self.hidden, []
        if self.rank > 0:
            hidden_width = output_width = self.rank
            ranks = [
                _product("rank", t, self.width, self.rank, *how),
                _product("rank", t, self.hidden, self.rank, *how),
            ]
        return _sum(
            _blocks(t),
            _normalised(t, self.width, f"int{self.residual_bits}"),
            _widened(t, self.width),
            *ranks,
            _product("hidden", t, hidden_width, self.hidden, *how),
            _product(_of_stream("output", self.residual_bits), t, output_width, self.width, *how),
            _slow(t, self.slow_units, self.residual_bits),
        )

    def reads(self) -> Reads:
        """Returns how often each byte of constants is read."""
        how = self.tokens, self.block_tokens
        layers: tuple[int, ...] = (self.hidden, self.width)
        if self.rank:
            layers = (self.rank, self.hidden, self.rank, self.width)
        return {
            "norm": self.tokens, "units": layer_reads(*how),
            "table": self.tokens * self.hidden / _TABLE,
            **_weights_read(layers, self.weight_bits, *how),
        }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class AttentionLoops:
    """Attention, with what is done again for each head.

    Attributes:
        tokens: Tokens.
        width: Values of a token as queries, keys and values are made of them: the rank of a
            low-rank pair. 0: they are given.
        num_heads: Heads.
        head_dim: Width of a head.
        weight_bits: 8 or 4.
        norm_width: Values of a token that is normalised for each head; 0: it is already.
        norm_bits: Of that token, 8 or 16.
        low_rank: Values of a token before U of a pair, which is multiplied for each head, too; 0:
            there is none.
        position_bias: Whether a logit has one.
        class_tokens: Of those with a position bias, which is apart for class tokens, 0 or 1.
        block_tokens: Tokens that one pass over the weights serves.
    """

    tokens: int
    width: int
    num_heads: int
    head_dim: int
    _: dataclasses.KW_ONLY
    weight_bits: int = 8
    norm_width: int = 0
    norm_bits: int = 8
    low_rank: int = 0
    position_bias: bool = False
    class_tokens: int = 0
    block_tokens: int = BLOCK_TOKENS

    kind = "attention"

    def loops(self) -> Loops:
        """Returns how often each runs."""
        t, dim, heads = self.tokens, self.head_dim, self.num_heads
        cleared = packed_weight_bytes(t, dim) + packed_weight_bytes(dim, t)
        return _sum(
            {"call": 1, "cleared": cleared / 16},
            _sum(self._loaded(), times=self.loads),
            _sum(
                _blocks(t),
                *self._parts(),
                _widened(t, dim, "query's "),
                self._logits(),
                self._softmax(),
                _product("context", t, t, dim),
                times=heads,
            ),
        )

    def _logits(self) -> Loops:
        # A last block of fewer queries is made as one of four, and a last key as a pair. With a
        # class token, its query's block and the first keys are multiplied token by token.
        t, dim = self.tokens, self.head_dim
        blocks, pairs = -(-t // BLOCK_TOKENS), -(-t // 2)
        apart = self.class_tokens * BLOCK_TOKENS * (pairs + blocks - 1)
        served = (blocks - self.class_tokens) * (pairs - self.class_tokens)
        name = "biased logits" if self.position_bias else "logits"
        steps = -(-dim // _STEP[8])
        return {
            f"{name} block": blocks, f"{name} pair": served, "int8 step": served * steps,
            "int8 turn": served * -(-(steps - 1) // _UNROLLED["int8"]),
            f"{name} apart": apart, f"{name} apart's step": apart * steps,
        }  # fmt: skip

    def _softmax(self) -> Loops:
        # By four rows, those of a last block in pairs.
        t = self.tokens
        blocks, steps = -(-t // BLOCK_TOKENS), -(-t // 4)
        halves = 2 * (t // BLOCK_TOKENS) + -(-(t % BLOCK_TOKENS) // 2)
        return {
            "softmax block": blocks, "softmax row": t, "softmax step": blocks * steps,
            "softmax half's step": halves * steps, "softmax half": halves,
            "missing logits": blocks * (-t % 4),
        }  # fmt: skip

    def reads(self) -> Reads:
        """Returns how often each byte of constants is read."""
        how, bits = (self.tokens, self.block_tokens), self.weight_bits
        layer = layer_reads(*how)
        logits = self.num_heads * self.tokens**2
        # A head reads its own part of queries, keys and values, but all of U; two bytes of a table
        # for each logit.
        return {
            "norm": self.tokens * self.loads, "units": layer, "rank units": layer * self.loads,
            "weights 0": weight_reads(*how, units=self.head_dim, bits=bits),
            "weights 1": self.loads * weight_reads(*how, units=self.width, bits=bits),
            "table": logits / _TABLE, "bias": 2 * logits,
        }  # fmt: skip

    @property
    def loads(self) -> int:
        """How often the tokens are normalised and widened, and multiplied by U."""
        at_once = tokens_at_once(self.tokens, self.block_tokens)
        # Blocks that hold all of them serve all heads.
        return 1 if at_once > BLOCK_TOKENS and at_once >= self.tokens else self.num_heads

    def _loaded(self) -> Loops:
        if self.width == 0:
            return {}
        read, how = self.low_rank or self.width, (self.weight_bits, self.block_tokens)
        return _sum(
            _normalised(self.tokens, read, f"int{self.norm_bits}") if self.norm_width else {},
            _widened(self.tokens, read),
            _product("rank", self.tokens, read, self.width, *how) if self.low_rank else {},
        )

    def _parts(self) -> list[Loops]:
        if self.width == 0:
            return [{"given value": 3 * self.tokens * self.head_dim}]
        how = self.weight_bits, self.block_tokens
        return [_product("part", self.tokens, self.width, self.head_dim, *how)] * 3


@dataclasses.dataclass(frozen=True)
class LayerNormLoops:
    """A normalisation by itself.

    Attributes:
        tokens: Tokens.
        width: Values of a token.
        bits: Of a value, 8 or 16.
    """

    tokens: int
    width: int
    _: dataclasses.KW_ONLY
    bits: int = 8

    @property
    def kind(self) -> str:
        """Which coefficients count."""
        return f"normalisation, int{self.bits}"

    def loops(self) -> Loops:
        """Returns how often each runs."""
        return _sum({"call": 1}, _normalised(self.tokens, self.width))

    def reads(self) -> Reads:
        """Returns how often each byte of constants is read."""
        return {"norm": self.tokens}


@dataclasses.dataclass(frozen=True)
class PoolLoops:
    """Means of tokens: of all of them, or of windows.

    Attributes:
        windows: Means.
        tokens: Of each.
        width: Values of a token.
        bits: Of a value, 8 or 16.
        whole: Whether it is ``McuformerMeanPool``.
    """

    windows: int
    tokens: int
    width: int
    _: dataclasses.KW_ONLY
    bits: int = 8
    whole: bool = True

    @property
    def kind(self) -> str:
        """Which coefficients count."""
        return "mean" if self.whole else f"means of windows, int{self.bits}"

    def loops(self) -> Loops:
        """Returns how often each runs."""
        groups, rest = divmod(self.width, _SUMMED_COLUMNS)
        return _sum(
            {"call": 1 / self.windows, "window": 1, "group": groups, "column": rest},
            {"group's run": groups * -(-self.tokens // _RUN)},
            {"group's token": groups * self.tokens, "column's token": rest * self.tokens},
            times=self.windows,
        )

    def reads(self) -> Reads:
        """Returns nothing: there are no constants."""
        return {}


@dataclasses.dataclass(frozen=True)
class ElementLoops:
    """What goes over values one by one, or row by row.

    Attributes:
        name: Which one.
        rows: Rows.
        width: Values of a row.
    """

    name: str
    rows: int
    width: int

    @property
    def kind(self) -> str:
        """Which coefficients count."""
        return self.name

    def loops(self) -> Loops:
        """Returns how often each runs."""
        groups, rest = divmod(self.width, _UNROLL)
        return {
            "call": 1, "row": self.rows, "group": self.rows * groups, "value": self.rows * rest,
        }  # fmt: skip

    def reads(self) -> Reads:
        """Returns how often each byte of constants is read."""
        return {"table": self.rows * self.width / _TABLE}


@dataclasses.dataclass(frozen=True)
class PatchEmbedLoops:
    """The patch embedding.

    Attributes:
        height: Of the image.
        width: Of the image.
        channels: Of the image.
        patch_size: Height and width of a patch.
        embed_dim: Values of a token.
        tile: Side of a partial convolution.
        mode: "whole", "in place" or "strips".
        bits: Of a token's value, 8 or 16.
        class_token: Whether one comes first.
        slow_units: Of the last layer, as in ``FullyConnectedLoops``.
    """

    height: int
    width: int
    channels: int
    patch_size: int
    embed_dim: int
    _: dataclasses.KW_ONLY
    tile: int = 4
    mode: str = "whole"
    bits: int = 8
    class_token: bool = False
    slow_units: float = 0

    kind = "patch embedding"

    def loops(self) -> Loops:
        """Returns how often each runs."""
        rows, columns = self._grid()
        patches, blocks = rows * columns, self._token_blocks(rows, columns)
        strips, in_place = self.mode == "strips", self.mode == "in place"
        sides = [
            min(self.tile, self.patch_size - start)
            for start in range(0, self.patch_size, self.tile)
        ]
        values = [y * x * self.channels for y in sides for x in sides]
        row_bytes = columns * self.embed_dim * self.bits // 8
        token_bytes = self.embed_dim * self.bits // 8 if self.class_token else 0
        strip = self.patch_size * self.width * self.channels
        return _sum(
            {"call": 1, "row": rows, "block": blocks, "patch": patches},
            {"tile": blocks * len(values)},
            {"cleared": blocks * sum(map(token_block_bytes, values)) / 16},
            self._gathered(rows, columns, sides),
            self._multiplied(blocks, self._pieces(rows, columns), values),
            {_of_stream("slow value", self.bits): patches * self.slow_units},
            _copied("row", row_bytes, rows if in_place else 0),
            _copied("strip", strip, rows if strips else 0),
            {"class token's byte": token_bytes},
        )

    def _grid(self) -> tuple[int, int]:
        return -(-self.height // self.patch_size), -(-self.width // self.patch_size)

    def _token_blocks(self, rows: int, columns: int) -> int:
        # Of four tokens or fewer, in strips of one row.
        if self.mode == "strips":
            return rows * -(-columns // BLOCK_TOKENS)
        return -(-rows * columns // BLOCK_TOKENS)

    def _pieces(self, rows: int, columns: int) -> list[int]:
        # Tokens that are written together: up to four, in place and in strips of one row.
        if self.mode == "whole":
            return _fours(rows * columns)
        if self.mode == "strips":
            return rows * _fours(columns)
        pieces = collections.Counter(
            (patch // BLOCK_TOKENS, patch // columns) for patch in range(rows * columns)
        )
        return list(pieces.values())

    def _multiplied(self, blocks: int, pieces: Sequence[int], values: Sequence[int]) -> Loops:
        # A patch of one tile is a layer whose residual is the position; several are summed up.
        dim = self.embed_dim
        if len(values) == 1 and self.bits == 8:
            tokens = collections.Counter(pieces)
            return _sum(
                {"layer's piece": len(pieces)},
                *(
                    _sum(_product("layer", piece, values[0], dim), times=count)
                    for piece, count in tokens.items()
                ),
            )
        pairs = -(-dim // 2)
        return {
            "tile pair": blocks * pairs * len(values),
            "tile step": blocks * pairs * sum(-(-count // 4) for count in values),
            "piece": len(pieces), "started unit": blocks * dim,
            _of_stream("finished unit", self.bits): len(pieces) * dim,
            _of_stream("token's value", self.bits): sum(pieces) * dim,
        }  # fmt: skip

    def reads(self) -> Reads:
        """Returns how often each byte of constants is read."""
        rows, columns = self._grid()
        if self.tile >= self.patch_size and self.bits == 8:
            pieces = self._pieces(rows, columns)
            reads, called = sum(weight_reads(p, units=self.embed_dim) for p in pieces), len(pieces)
        else:
            # Blocks of fewer tokens go through the inner loop of four as well.
            called = self._token_blocks(rows, columns)
            reads = called * _LOADS[8]
        return {"weights 0": reads, "units": called, "position": 1, "class token": 1}

    def _gathered(self, rows: int, columns: int, sides: Sequence[int]) -> Loops:
        # A row of a tile is widened by words where it lies inside and is whole words.
        before = (columns * self.patch_size - self.width) // 2
        starts = list(itertools.accumulate(sides, initial=0))[:-1]
        words = values = fast = slow = 0
        for column, (start, side) in itertools.product(
            range(columns), zip(starts, sides, strict=True)
        ):
            left, size = column * self.patch_size - before + start, side * self.channels
            if left >= 0 and left + side <= self.width and size % 4 == 0:
                fast, words = fast + 1, words + size // 4
            else:
                slow, values = slow + 1, values + size
        outside = rows * self.patch_size - self.height
        return {
            "widened row": self.height * fast, "widened row's word": self.height * words,
            "gathered row": self.height * slow + outside * (fast + slow),
            "gathered value": self.height * values,
            "gathered value outside": outside * columns * self.patch_size * self.channels,
        }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ConvStemLoops:
    """The convolutional stem.

    Attributes:
        height: Of the image.
        width: Of the image.
        channels: Of the image.
        stages: Channels of each stage.
        embed_dim: Values of a token.
        mode: "whole", "in place" or "strips".
        bits: Of a token's value, 8 or 16.
        class_token: Whether one comes first.
        slow_units: Of the last layer, as in ``FullyConnectedLoops``.
    """

    height: int
    width: int
    channels: int
    stages: tuple[int, ...]
    embed_dim: int
    _: dataclasses.KW_ONLY
    mode: str = "whole"
    bits: int = 8
    class_token: bool = False
    slow_units: float = 0

    kind = "convolutional stem"

    def loops(self) -> Loops:
        """Returns how often each runs."""
        height, width, channels = self.height, self.width, self.channels
        shapes = list(matrix_shapes(channels, self.stages, self.embed_dim))
        strips = -(-height // 2)
        parts: list[Loops] = [
            {"call": 1, "strip": strips},
            _copied("row", width * channels, strips),
            _copied("strip", 2 * width * channels, strips if self.mode == "strips" else 0),
            {"class token's byte": self.embed_dim * self.bits // 8 if self.class_token else 0},
        ]
        for stage, (units, values) in enumerate(shapes[:-1]):
            last = stage + 1 == len(self.stages)
            gathered, blocks, ones = _convolved(height, width, channels)
            parts.append(gathered)
            height, width, channels = -(-height // 2), -(-width // 2), units
            parts.append({"row of a stage": height})
            products = [("last stage" if last else "stage", values, units)]
            if last:
                products.append((_of_stream("token", self.bits), units, shapes[-1][0]))
            for role, multiplied, by in products:
                parts.append(_product(role, BLOCK_TOKENS * blocks, multiplied, by))
                parts.append(_sum(_product(role, 1, multiplied, by), times=ones))
        slow = height * width * self.slow_units
        parts.append({_of_stream("slow value", self.bits): slow})
        return _sum(*parts)

    def reads(self) -> Reads:
        """Returns how often each byte of constants is read."""
        height, width, channels = self.height, self.width, self.channels
        size = total = called = blocks = ones = 0
        read = 0.0
        for stage, (units, values) in enumerate(
            matrix_shapes(channels, self.stages, self.embed_dim)
        ):
            if stage < len(self.stages):  # the projection is of the last stage's pixels
                _, blocks, ones = _convolved(height, width, channels)
                height, width, channels = -(-height // 2), -(-width // 2), units
            matrix = packed_weight_bytes(units, values)
            size, total = size + matrix, total + units
            read += matrix * weight_reads(BLOCK_TOKENS * blocks, units=units) + matrix * ones
            called += units * (blocks + ones)
        return {
            "weights 0": read / size, "units": called / total, "position": 1, "class token": 1,
        }  # fmt: skip


def _convolved(height: int, width: int, channels: int) -> tuple[Loops, int, int]:
    # What is gathered for a stage, its blocks of four pixels, and pixels that are multiplied one by
    # one (GatherPixels).
    rows, columns = -(-height // 2), -(-width // 2)
    size, words = KERNEL_SIZE * channels, -(-KERNEL_SIZE * channels // 4)
    steps = -(-KERNEL_SIZE * size // 4)
    aligned = channels % 4 == 0
    edge_rows = 1 + (height % 2 if rows > 1 else 0)
    inside = edge = edge_pixels = blocks = ones = 0
    for first in range(0, columns, BLOCK_TOKENS):
        # Two or three that are left over have some before them computed once more.
        if columns >= BLOCK_TOKENS and 1 < columns - first < BLOCK_TOKENS:
            first = columns - BLOCK_TOKENS
        end = (2 * first + 2 * BLOCK_TOKENS) * channels + (0 if aligned else 4)
        tokens = 1 if first == columns - 1 else BLOCK_TOKENS
        fast = rows - edge_rows if first > 0 and end <= width * channels else 0
        inside += fast
        edge += rows - fast
        edge_pixels += (rows - fast) * tokens
        multiplied = min(tokens, columns - first)
        blocks += rows * (multiplied == BLOCK_TOKENS)
        ones += rows * multiplied * (multiplied < BLOCK_TOKENS)
    pixel = BLOCK_TOKENS * inside
    found: dict[str, float] = {
        "edge block": edge, "edge pixel": edge_pixels, "edge pixel's step": edge_pixels * steps,
        "edge pixel's byte": edge_pixels * KERNEL_SIZE * size,
    }  # fmt: skip
    if aligned:
        found |= {"inner block": inside, "inner block's word": inside * KERNEL_SIZE * size // 4}
    else:
        found |= {
            "unaligned pixel": pixel, "unaligned pixel's step": pixel * steps,
            f"unaligned pixel of {min(words, 4)} words": pixel,
            "unaligned pixel's word": pixel * KERNEL_SIZE * (words if words > 3 else 0),
        }  # fmt: skip
    return found, blocks, ones


OperatorLoops = (
    InputLoops
    | FullyConnectedLoops
    | MlpLoops
    | AttentionLoops
    | LayerNormLoops
    | PoolLoops
    | ElementLoops
    | PatchEmbedLoops
    | ConvStemLoops
)


def _product(
    role: str,
    tokens: int,
    width: int,
    units: int,
    bits: int = 8,
    block_tokens: int = BLOCK_TOKENS,
) -> Loops:
    # Four tokens by two units at a time; the tokens of a last block one by one. Staged weights of 8
    # bits are widened.
    passes, served = staged_passes(tokens, block_tokens)
    staged, staged_rest = divmod(served, BLOCK_TOKENS)
    whole, rest = divmod(tokens, BLOCK_TOKENS)
    pairs, steps = -(-units // 2), -(-width // _STEP[bits])
    name = role if bits == 8 else f"int4 {role}"
    loops: dict[str, float] = {
        f"{name} pair": whole * pairs, f"{name} unit": whole * units,
        f"{name} rest": rest, f"{name} rest pair": rest * pairs, f"{name} rest unit": rest * units,
        # A last unit without a second is multiplied token by token.
        f"{name} odd unit": whole * (units % 2),
    }  # fmt: skip
    kinds = [(f"int{bits}", whole - staged, rest - staged_rest)]
    if passes:
        kinds.append(("widened" if bits == 8 else "int4", staged, staged_rest))
    for kind, blocks, apart in kinds:
        # The inner loop is the same for all; its first step stands by itself.
        for loop, runs in {
            f"{kind} odd unit's step": blocks * (units % 2) * steps,
            f"{kind} rest step": apart * pairs * steps,
            **_steps(blocks * pairs, steps, kind),
        }.items():
            loops[loop] = loops.get(loop, 0) + runs
    if bits == 4:  # the sum of a token, which corrects that nibbles have no sign
        loops |= {"summed word": tokens * (width // 4), "summed value": tokens * (width % 4)}
    if passes:
        turns = -(-units // (STAGED_UNITS // 2 if bits == 8 else STAGED_UNITS))
        words = packed_weight_bytes(units, width, bits) / 4
        loops |= {
            "staged turn": passes * turns, "staged unit": passes * units,
            f"{kinds[-1][0]} staged word": passes * words,
            "staged block": staged * turns, "staged rest": staged_rest * turns,
        }  # fmt: skip
    return loops


def _steps(pairs: int, steps: int, kind: str) -> Loops:
    if kind != "int4" and steps >= _LONG_STEPS:
        name = "long" if kind == "int8" else f"long {kind}"
        turns = -(-(steps - 2) // _LONG_UNROLLED)
        return {f"{name} pair": pairs, f"{name} step": pairs * steps, f"{name} turn": pairs * turns}
    turns = -(-(steps - 1) // _UNROLLED[kind])
    return {f"{kind} step": pairs * steps, f"{kind} turn": pairs * turns}


def layer_reads(tokens: int, block_tokens: int) -> int:
    """Returns how often the constants of a layer's units are read.

    Args:
        tokens: Tokens.
        block_tokens: Tokens that one pass serves, where there are as many.
    """
    passes, served = staged_passes(tokens, block_tokens)
    whole, rest = divmod(tokens - served, BLOCK_TOKENS)
    return passes + whole + rest


def weight_reads(
    tokens: int, block_tokens: int = BLOCK_TOKENS, *, units: int, bits: int = 8
) -> float:
    """Returns how often each byte of a layer's weights is read, on average.

    The inner loop of four tokens has no registers to keep packed weights in (``steps.h``), and
    loads them once for each of the values in a byte pair; what is staged, and a token alone, loads
    them once. A last unit without another goes token by token.

    Args:
        tokens: Tokens.
        block_tokens: Tokens that one pass serves, where there are as many.
        units: Of the layer.
        bits: Of a weight, 8 or 4.
    """
    if units == 0:  # there is no such layer
        return 0.0
    passes, served = staged_passes(tokens, block_tokens)
    whole, rest = divmod(tokens - served, BLOCK_TOKENS)
    pairs, odd = -(-units // 2), units % 2
    loads = (_LOADS[bits] * (pairs - odd) + BLOCK_TOKENS * odd) / pairs
    return passes + whole * loads + rest


def _weights_read(layers: Sequence[int], bits: int, tokens: int, block_tokens: int) -> Reads:
    # Of each of an operator's layers, told by their units.
    return {
        f"weights {number}": weight_reads(tokens, block_tokens, units=units, bits=bits)
        for number, units in enumerate(layers)
    }


def staged_passes(tokens: int, block_tokens: int) -> tuple[int, int]:
    """Returns how many passes over a layer's weights are made from scratch, and their tokens.

    Args:
        tokens: Tokens.
        block_tokens: Tokens that one pass serves.
    """
    at_once = tokens_at_once(tokens, block_tokens)
    if at_once <= BLOCK_TOKENS:
        return 0, 0
    whole, rest = divmod(tokens, at_once)
    # A single block stages nothing.
    last = rest if rest > BLOCK_TOKENS else 0
    return whole + (last > 0), whole * at_once + last


def _slow(tokens: int, units: float, bits: int) -> Loops:
    return {_of_stream("slow unit", bits): tokens // BLOCK_TOKENS * units}


def _of_stream(name: str, bits: int) -> str:
    # What gives a residual stream of 16 bits has code of its own.
    return f"int16 {name}" if bits == 16 else name


def _fours(tokens: int) -> list[int]:
    whole, rest = divmod(tokens, BLOCK_TOKENS)
    return [BLOCK_TOKENS] * whole + [rest] * (rest > 0)


def _blocks(tokens: int) -> Loops:
    return {"block": tokens // BLOCK_TOKENS, "last block": min(tokens % BLOCK_TOKENS, 1)}


def _widened(tokens: int, width: int, whose: str = "") -> Loops:
    whole, rest = divmod(tokens, BLOCK_TOKENS)
    return {
        f"{whose}widened word": whole * (width // 4),
        f"rest's {whose}widened word": rest * (width // 4),
        f"{whose}widened value": tokens * (width % 4),
    }


def _normalised(tokens: int, width: int, name: str = "normalised") -> Loops:
    return {
        f"{name} token": tokens, f"{name} group": tokens * (width // _UNROLL),
        f"{name} value": tokens * (width % _UNROLL),
    }  # fmt: skip


def _copied(name: str, size: int, times: int = 1) -> Loops:
    turns, rest = divmod(size, _COPIED)
    return {
        f"copied {name}": times, f"copied {name}'s turn": times * turns,
        f"copied {name}'s word": times * (rest // 4), f"copied {name}'s byte": times * (rest % 4),
    }  # fmt: skip


def _sum(*parts: Loops, times: int = 1) -> Loops:
    total: collections.Counter[str] = collections.Counter()
    for part in parts:
        total.update(part)
    return {name: times * count for name, count in total.items() if count}
