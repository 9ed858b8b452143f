"""Memory of very many subnets at once, as arrays."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.architecture import Architecture, Stem
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.cost.activation_memory import (
    Image,
    LiveBuffers,
    arena_content,
    block_live_buffers,
    outer_live_buffers,
)
from mcuformer_tflm.search.cost.memory import eq5_bytes
from mcuformer_tflm.search.cost.model_file import (
    archive_bytes,
    block_bytes,
    buffer_bytes,
    outer_bytes,
)
from mcuformer_tflm.search.cost.tflm_arena import tflm_arena
from mcuformer_tflm.search.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class EncodedSubnets:
    """Subnets of one space, each factor as an index into the space's values.

    Attributes:
        patch_size: uint8[n].
        rank_ratio: uint8[n].
        embed_dim: uint8[n].
        depth: uint8[n].
        num_heads: uint8[largest depth, n]; what lies beyond a subnet's depth is ignored.
        mlp_ratio: uint8[largest depth, n]; likewise.
        stem: uint8[n].
        head_dim: uint8[n].
    """

    patch_size: np.ndarray
    rank_ratio: np.ndarray
    embed_dim: np.ndarray
    depth: np.ndarray
    num_heads: np.ndarray
    mlp_ratio: np.ndarray
    stem: np.ndarray
    head_dim: np.ndarray

    def __len__(self) -> int:
        return len(self.depth)

    @classmethod
    def sample(cls, space: SearchSpace, count: int, rng: np.random.Generator) -> EncodedSubnets:
        """Draws every factor of ``count`` subnets uniformly."""

        def draw(values: Sequence[Any], *shape: int) -> np.ndarray:
            return rng.integers(0, len(values), (*shape, count), dtype=np.uint8)

        drawn = cls(
            draw(space.patch_size), draw(space.rank_ratio), draw(space.embed_dim),
            draw(space.depth), draw(space.num_heads, space.depth[-1]),
            draw(space.mlp_ratio, space.depth[-1]),
            # Where there is no choice the generator is left as it is.
            *(
                draw(values) if len(values) > 1 else np.zeros(count, np.uint8)
                for values in (space.stem, space.head_dim)
            ),
        )  # fmt: skip
        # Patches that the drawn stem does not take have the first one.
        taken = np.array([[stem in space.stems_of(patch) for stem in space.stem]
                          for patch in space.patch_size])  # fmt: skip
        drawn.stem[~taken[drawn.patch_size, drawn.stem]] = 0
        return drawn

    @classmethod
    def encode(cls, space: SearchSpace, networks: Sequence[Architecture]) -> EncodedSubnets:
        """Returns networks of a space as arrays, what lies beyond a subnet's depth as zeros."""

        def factor(field: str) -> np.ndarray:
            values = getattr(space, field)
            return np.array([values.index(getattr(one, field)) for one in networks], np.uint8)

        def blocks(field: str) -> np.ndarray:
            values, most = getattr(space, field), space.depth[-1]
            rows = np.zeros((len(networks), most), np.uint8)
            for row, network in zip(rows, networks, strict=True):
                row[: network.depth] = [values.index(value) for value in getattr(network, field)]
            return np.ascontiguousarray(rows.T)

        return cls(
            factor("patch_size"), factor("rank_ratio"), factor("embed_dim"), factor("depth"),
            blocks("num_heads"), blocks("mlp_ratio"), factor("stem"), factor("head_dim"),
        )  # fmt: skip

    def decode(self, space: SearchSpace, index: int) -> Architecture:
        """Returns one of the subnets as an architecture."""
        depth = space.depth[self.depth[index]]
        return space.build(
            space.patch_size[self.patch_size[index]],
            space.rank_ratio[self.rank_ratio[index]],
            space.embed_dim[self.embed_dim[index]],
            tuple(space.num_heads[i] for i in self.num_heads[:depth, index]),
            tuple(space.mlp_ratio[i] for i in self.mlp_ratio[:depth, index]),
            stem=space.stem[self.stem[index]],
            head_dim=space.head_dim[self.head_dim[index]],
        )


class SubnetTables:
    """Rows and columns of the tables that hold what few networks cost for all subnets of a space.

    A row stands for what is the same in all blocks, a column for a kind of block; the last column,
    one more than there are kinds, for a block that is not there.

    Args:
        space: The subnets' space.

    Attributes:
        rows: Patch size, rank ratio, ``embed_dim``, ``head_dim`` and stem of each row.
        kinds: Heads and ``mlp_ratio`` of each column.
    """

    rows: list[tuple[int, float, int, int, Stem]]
    kinds: list[tuple[int, float]]

    def __init__(self, space: SearchSpace) -> None:
        """Numbers rows and columns."""
        self._space = space
        self.rows = list(
            itertools.product(
                space.patch_size, space.rank_ratio, space.embed_dim, space.head_dim, space.stem
            )
        )
        self.kinds = list(itertools.product(space.num_heads, space.mlp_ratio))

    def network(
        self,
        row: tuple[int, float, int, int, Stem],
        kind: tuple[int, float],
        *,
        depth: int = 1,
    ) -> Architecture:
        """Returns a network of so many blocks of one kind."""
        patch_size, rank_ratio, embed_dim, head_dim, stem = row
        stems = self._space.stems_of(patch_size)
        # What a table holds of a stem that does not take such patches is never looked up.
        stem = stem if stem in stems else stems[0]
        heads, ratio = kind
        return self._space.build(
            patch_size, rank_ratio, embed_dim, (heads,) * depth, (ratio,) * depth, stem=stem,
            head_dim=head_dim,
        )  # fmt: skip

    def row_of(self, subnets: EncodedSubnets) -> np.ndarray:
        """Returns the row of each subnet, int32[n]."""
        space = self._space
        row = subnets.patch_size.astype(np.int32)
        row = row * len(space.rank_ratio) + subnets.rank_ratio
        row = row * len(space.embed_dim) + subnets.embed_dim
        row = row * len(space.head_dim) + subnets.head_dim
        return row * len(space.stem) + subnets.stem

    def column_of(self, subnets: EncodedSubnets, block: int, depth: np.ndarray) -> np.ndarray:
        """Returns the column of each subnet's block, uint8[n].

        Args:
            subnets: The subnets.
            block: Which block.
            depth: Blocks of each subnet.
        """
        kind = subnets.num_heads[block] * np.uint8(len(self._space.mlp_ratio))
        kind += subnets.mlp_ratio[block]
        kind[depth <= block] = len(self.kinds)
        return kind


@dataclasses.dataclass(frozen=True)
class SubnetBytes:
    """Figures of many subnets, int32[n] bytes each.

    Attributes:
        eq5: The paper's memory (Eq. 5), ``eq5_bytes``.
        arena: Tensor arena on a Cortex-M, ``arena_bytes``.
        flash: Size of the model file, ``model_bytes``.
    """

    eq5: np.ndarray
    arena: np.ndarray
    flash: np.ndarray


class SubnetMemory:
    """The memory model of one space, tabulated.

    A figure of a subnet is the maximum (or sum) of what lies outside its blocks and of its
    blocks, and few different blocks exist. So the scalar functions (``eq5_bytes``,
    ``arena_bytes``, ``model_bytes``) are evaluated once for each, and a subnet takes look-ups
    only. The results equal those functions' exactly.

    Args:
        space: The subnets' space.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the networks.
    """

    def __init__(
        self,
        space: SearchSpace,
        image: Image = "whole",
        *,
        quantization: QuantizationConfig = INT8,
    ) -> None:
        """Evaluates every combination of factors once."""
        self._space, self._tables = space, SubnetTables(space)
        outer = self._tables.rows
        anyone = [self._tables.network(row, self._tables.kinds[0]) for row in outer]
        self._eq5 = self._table(outer, eq5_bytes)
        self._head = self._table(
            outer, lambda arch: _largest(block_live_buffers(arch, 0, quantization=quantization))
        )
        self._outer_head = np.array(
            [
                _largest(outer_live_buffers(network, image, quantization=quantization))
                for network in anyone
            ], np.int32
        )  # fmt: skip
        self._flash = self._table(
            outer, lambda arch: block_bytes(arch, 0, quantization=quantization)
        )
        self._outer_flash = np.array(
            [
                [
                    outer_bytes(a, depth, quantization=quantization) + archive_bytes(a)
                    for depth in space.depth
                ]
                for a in anyone
            ],
            np.int32,
        )
        # Characters of the architecture's JSON: one block's are what a second one adds.
        one = self._table(outer, lambda arch: len(arch.to_json()))
        two = self._table(outer[:1], lambda arch: len(_doubled(arch).to_json()))
        self._text = (two - one[:1])[0]
        self._outer_text = one[:, 0] - self._text[0]
        by_stem = {network.stem: network for network in anyone}
        arenas = [
            [tflm_arena(arena_content(by_stem[stem], 0, depth=depth)) for depth in space.depth]
            for stem in space.stem
        ]
        self._tail = np.array([[arena.tail for arena in row] for row in arenas], np.int32)
        self._planning = np.array([[arena.total for arena in row] for row in arenas], np.int32)

    def evaluate(self, subnets: EncodedSubnets) -> SubnetBytes:
        """Returns the figures of all subnets; at least a million a second on one core."""
        space, columns = self._space, len(self._tables.kinds) + 1
        outer = self._tables.row_of(subnets)
        depth = np.array(space.depth, np.uint8)[subnets.depth]
        eq5 = np.zeros(len(subnets), np.int32)
        head = self._outer_head[outer]
        flash = self._outer_flash[outer, subnets.depth]
        text = self._outer_text[outer]
        # The last column stands for a block that is not there: no bytes.
        eq5_of, head_of, flash_of = (
            np.pad(table, ((0, 0), (0, 1))).ravel()
            for table in (self._eq5, self._head, self._flash)
        )
        text_of = np.append(self._text, 0)
        row = outer * columns
        for block in range(space.depth[-1]):
            kind = self._tables.column_of(subnets, block, depth)
            index = row + kind
            np.maximum(eq5, eq5_of[index], out=eq5)
            np.maximum(head, head_of[index], out=head)
            flash += flash_of[index]
            text += text_of[kind]
        flash += buffer_bytes(text)
        kind_of_tail = subnets.stem, subnets.depth
        arena = np.maximum(head + self._tail[kind_of_tail], self._planning[kind_of_tail])
        return SubnetBytes(eq5, -(-arena // 16) * 16, flash)

    def _table(
        self,
        outer: Sequence[tuple[int, float, int, int, Stem]],
        figure: Callable[[Architecture], int],
    ) -> np.ndarray:
        return np.array(
            [[figure(self._tables.network(o, kind)) for kind in self._tables.kinds] for o in outer],
            np.int32,
        )


def _largest(operators: Iterable[LiveBuffers]) -> int:
    return max(operator.total for operator in operators)


def _doubled(architecture: Architecture) -> Architecture:
    return dataclasses.replace(
        architecture, num_heads=architecture.num_heads * 2, mlp_ratio=architecture.mlp_ratio * 2
    )
