"""Instructions, bytes from external flash and milliseconds of very many subnets at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.search.cost.activation_memory import Image
from mcuformer_tflm.search.cost.flash_reads import (
    StoredConstant,
    block_stored,
    code_reserve,
    num_operators,
    order,
    outer_stored,
)
from mcuformer_tflm.search.cost.instructions import (
    block_loops,
    outer_loops,
    total_cycles,
    total_instructions,
)
from mcuformer_tflm.search.cost.milliseconds import board_cycles, milliseconds
from mcuformer_tflm.search.cost.operator_loops import OperatorLoops
from mcuformer_tflm.search.cost.subnet_memory import EncodedSubnets, SubnetTables
from mcuformer_tflm.search.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class SubnetCosts:
    """Estimates of many subnets.

    Attributes:
        instructions: int64[n], ``num_instructions``.
        external_bytes: int64[n], ``external_flash_reads``.
        milliseconds: float64[n]; None where the board's clock is not known.
    """

    instructions: np.ndarray
    external_bytes: np.ndarray
    milliseconds: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class _Sizes:
    # Of the constants of one supernet's networks, by how often they are read, then by size, as
    # internal flash takes them: how many there are outside the blocks and in a block of each kind,
    # and how many bytes of them are read.
    size: np.ndarray  # [sizes]
    outer_count: np.ndarray  # [sizes]
    outer_read: np.ndarray
    block_count: np.ndarray  # [kinds, sizes]
    block_read: np.ndarray


class SubnetCost:
    """The cost model of one space on one board, tabulated as ``SubnetMemory`` is.

    Results equal those of ``num_instructions`` and ``external_flash_reads``, but for rounding.

    Args:
        space: The subnets' space.
        board: The board, its name, or the path of its file.
        image: Whether the arena holds the image or a strip of it.
        quantization: Of the networks.

    Raises:
        ConfigError: If instructions were counted on no core like the board's.
    """

    def __init__(
        self,
        space: SearchSpace,
        board: Board | str,
        *,
        image: Image = "whole",
        quantization: QuantizationConfig = INT8,
    ) -> None:
        """Evaluates every combination of factors once."""
        self._space, self._board, self._tables = space, get_board(board), SubnetTables(space)
        networks = [
            [self._tables.network(row, kind, depth=2) for kind in self._tables.kinds]
            for row in self._tables.rows
        ]
        core = self._board.core

        def figures(loops: Iterable[OperatorLoops]) -> tuple[float, float]:
            found = list(loops)
            return total_instructions(found, core), total_cycles(found, core)

        def blocks(block: int) -> np.ndarray:
            return np.array([
                [figures(block_loops(network, block, quantization=quantization))
                 for network in row]
                for row in networks
            ])  # fmt: skip

        # Instructions and cycles, last; constants of the first block are not like those of others.
        self._outer = np.array([
            figures(outer_loops(row[0], image=image, quantization=quantization))
            for row in networks
        ])  # fmt: skip
        self._first, self._others = blocks(0), blocks(1)
        self._num_operators = [
            num_operators(networks[0][0], depth) for depth in range(space.depth[-1] + 1)
        ]
        self._sizes: list[_Sizes] = []
        if self._board.external_flash:
            self._sizes = [self._sizes_of(row, image, quantization) for row in networks]

    def evaluate(self, subnets: EncodedSubnets) -> SubnetCosts:
        """Returns the estimates of all subnets; at least a million a second on one core."""
        space, kinds = self._space, len(self._tables.kinds)
        outer = self._tables.row_of(subnets)
        depth = np.array(space.depth, np.uint8)[subnets.depth]
        # The last column stands for a block that is not there.
        others = np.pad(self._others, ((0, 0), (0, 1), (0, 0))).reshape(-1, 2)
        row = outer * (kinds + 1)
        total = self._outer[outer]
        blocks = []
        for block in range(space.depth[-1]):
            kind = self._tables.column_of(subnets, block, depth)
            total += self._first[outer, kind] if block == 0 else others[row + kind]
            blocks.append(kind)
        counted = np.rint(total[:, 0]).astype(np.int64)
        read = self._external_bytes(outer, depth, blocks)
        time = None
        if self._board.megahertz is not None:
            time = milliseconds(self._board, board_cycles(self._board, counted, total[:, 1]), read)
        return SubnetCosts(counted, read, time)

    def _external_bytes(
        self, outer: np.ndarray, depth: np.ndarray, blocks: Sequence[np.ndarray]
    ) -> np.ndarray:
        read = np.zeros(len(outer), np.int64)
        if not self._sizes:
            return read
        kinds = len(self._tables.kinds)
        reserve = np.array([code_reserve(operators) for operators in self._num_operators])
        room = (self._board.flash - reserve)[depth].astype(np.float64)
        there = np.zeros((kinds + 1, len(outer)))
        subnet = np.arange(len(outer))
        for kind in blocks:
            there[kind, subnet] += 1
        order = np.argsort(outer, kind="stable")
        bounds = np.searchsorted(outer[order], np.arange(len(self._sizes) + 1))
        for sizes, start, end in zip(self._sizes, bounds, bounds[1:], strict=False):
            chosen = order[start:end]
            numbers = there[:kinds, chosen]
            # Not @: BLAS would have threads wait for such small products.
            count = np.einsum("ks,kn->sn", sizes.block_count, numbers) + sizes.outer_count[:, None]
            bytes_read = np.einsum("ks,kn->sn", sizes.block_read, numbers)
            bytes_read += sizes.outer_read[:, None]
            left, found = room[chosen], np.zeros(len(chosen))
            for size, here, of_them in zip(sizes.size, count, bytes_read, strict=True):
                inside = np.minimum(here, np.floor(left / size))
                left -= inside * size
                found += of_them - of_them * inside / np.maximum(here, 1)
            read[chosen] = np.rint(found)
        return read

    def _sizes_of(
        self, networks: Sequence[Architecture], image: Image, quantization: QuantizationConfig
    ) -> _Sizes:
        before, after = outer_stored(networks[0], image=image, quantization=quantization)
        kinds = [list(block_stored(network, 0, quantization=quantization)) for network in networks]
        # Of equal ones the first in use comes first.
        outer = [(*order(one), 0) for one in before] + [(*order(one), 2) for one in after]
        ranked = [[(*order(one), 1) for one in constants] for constants in kinds]
        ranks = sorted({rank for group in (outer, *ranked) for rank in group})
        place = {rank: index for index, rank in enumerate(ranks)}

        def spread(
            constants: Sequence[StoredConstant], own: Sequence[tuple[int, int, int, int]]
        ) -> tuple[np.ndarray, np.ndarray]:
            count, read = np.zeros(len(ranks)), np.zeros(len(ranks))
            for constant, rank in zip(constants, own, strict=True):
                count[place[rank]] += 1
                read[place[rank]] += constant.read
            return count, read

        of_blocks = [spread(*pair) for pair in zip(kinds, ranked, strict=True)]
        return _Sizes(
            np.array([size for _, size, *_ in ranks], np.float64), *spread(before + after, outer),
            np.array([count for count, _ in of_blocks]), np.array([read for _, read in of_blocks]),
        )  # fmt: skip
