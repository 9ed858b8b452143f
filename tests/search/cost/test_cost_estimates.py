import dataclasses
import time

import numpy as np
import pytest

from mcuformer_tflm.bench.models import paper_architecture
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.keras_models.quantization.config import INT8, QuantizationConfig
from mcuformer_tflm.search.board import Board, SramRegion, get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.flash_reads import (
    StoredConstant,
    block_stored,
    code_reserve,
    external_flash_reads,
    external_indices,
    outer_stored,
)
from mcuformer_tflm.search.cost.instructions import num_instructions
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.cost.operator_loops import (
    AttentionLoops,
    FullyConnectedLoops,
    layer_reads,
    weight_reads,
)
from mcuformer_tflm.search.cost.subnet_cost import SubnetCost
from mcuformer_tflm.search.cost.subnet_memory import EncodedSubnets
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace

OPTIONS = dataclasses.replace(
    FASHION_MNIST_SPACE, image_size=(28, 21), low_rank_attention=True, relative_position=True,
    pooling="class_token", patch_size=(4, 8), stem=("patch", "conv"), embed_dim=(33, 50),
    depth=(1, 5),
)  # fmt: skip
DISCOVERY = get_board("stm32f746-discovery")
# Flash in which some of the constants of small networks have room.
SMALL_FLASH = dataclasses.replace(DISCOVERY, name="small", flash=80 << 10)


@pytest.mark.parametrize(
    ("space", "board", "quantization"),
    [
        (SearchSpace(), DISCOVERY, INT8),
        (FASHION_MNIST_SPACE, SMALL_FLASH, INT8),
        (OPTIONS, SMALL_FLASH, QuantizationConfig(4, 16)),
    ],
    ids=["paper", "demo", "all options"],
)
def test_tables_equal_the_estimate_of_one_subnet(space, board, quantization):
    subnets = EncodedSubnets.sample(space, 60, np.random.default_rng(1))
    found = SubnetCost(space, board, quantization=quantization).evaluate(subnets)
    outside = set()
    for index in range(len(subnets)):
        network = subnets.decode(space, index)
        alone = estimate_cost(network, board, quantization=quantization)
        assert abs(found.instructions[index] - alone.instructions) <= 1
        assert found.external_bytes[index] == pytest.approx(alone.external_bytes, abs=1)
        assert found.milliseconds[index] == pytest.approx(alone.milliseconds)
        outside.add(alone.external_bytes > 0)
    assert True in outside


def test_a_million_subnets_take_about_a_second():
    space = SearchSpace()
    tables = SubnetCost(space, "stm32f746-discovery")
    subnets = EncodedSubnets.sample(space, 100_000, np.random.default_rng(0))
    start = time.process_time()
    tables.evaluate(subnets)
    # `mcuformer bench cost` tells the rate; here half of it, for a machine with other work.
    assert time.process_time() - start < 0.2


def test_time_is_instructions_and_bytes_at_the_boards_clock_and_flash():
    network = paper_architecture()
    found = estimate_cost(network, DISCOVERY)
    cycles = found.instructions * found.cycles_per_instruction
    waits = found.external_bytes / DISCOVERY.external_bytes_per_second
    assert found.milliseconds == pytest.approx(cycles / 216e3 + waits * 1e3)
    calibrated = dataclasses.replace(DISCOVERY, cycles_per_instruction=2.0)
    slower = estimate_cost(network, calibrated)
    assert slower.milliseconds == pytest.approx(2 * found.instructions / 216e3 + waits * 1e3)
    assert "estimates" in found.text
    unknown = dataclasses.replace(DISCOVERY, external_bytes_per_second=0)
    assert estimate_cost(network, unknown).milliseconds is None


def test_internal_flash_takes_what_is_read_most_often_then_the_smallest():
    constants = [
        StoredConstant(size, times, size * times)
        for size, times in ((400, 9), (100, 9), (300, 9), (100, 1), (200, 20))
    ]
    assert external_indices(constants, 1100) == []
    assert external_indices(constants, 1099) == [3]
    # What has no room leaves its place to others.
    assert external_indices(constants, 400) == [2, 0]
    assert external_indices(constants, 0) == [4, 1, 2, 0, 3]


@pytest.mark.parametrize("low_rank", [False, True])
def test_each_operator_of_kept_tokens_has_room_in_internal_flash(low_rank):
    network = dataclasses.replace(OPTIONS.smallest(), num_heads=(1, 2), mlp_ratio=(2.0, 3.0),
                                  low_rank_attention=low_rank)  # fmt: skip
    constants, last = outer_stored(network)
    for block, kept in enumerate((False, True)):
        constants += block_stored(network, block, kept=kept)
    constants = sorted([*constants, *last], key=lambda one: (-one.times, one.size, -one.read))
    # Stem, three a block, normalisation of the class token, head; those of the second block.
    operators = 1 + 3 * 2 + 2 + (2 if low_rank else 1)
    for count in (1, 5, len(constants) // 2):
        room = sum(constant.size for constant in constants[:count])
        for flash, inside in ((room, count), (room - 1, count - 1)):
            board = dataclasses.replace(DISCOVERY, flash=code_reserve(operators) + flash)
            outside = external_indices(constants, flash)
            assert outside[0] == inside
            wanted = sum(constants[index].read for index in outside)
            assert external_flash_reads(network, board, kept=(1,)) == wanted


def test_the_calls_of_each_operator_take_room_beside_the_program():
    none, one, ten = map(code_reserve, (0, 1, 10))
    assert ten - none == 10 * (one - none) > 0


def test_a_pass_over_weights_serves_four_tokens_or_a_block_of_them():
    assert layer_reads(16, 4) == 4
    assert layer_reads(17, 4) == 4 + 1
    assert layer_reads(19, 4) == 4 + 3, "tokens of a last block read by themselves"
    assert layer_reads(225, 64) == 3 + 1
    assert layer_reads(225, 1024) == 1
    assert layer_reads(66, 64) == 1 + 2
    network = paper_architecture()
    read = [
        external_flash_reads(network, DISCOVERY, block_tokens=tokens) for tokens in (4, 64, 1024)
    ]
    assert read[0] > 10 * read[1] > 30 * read[2] / 4
    assert external_flash_reads(network, get_board("stm32h743")) == 0, "it has no such flash"


def test_weights_are_loaded_as_often_as_the_inner_loop_needs_them_without_registers_for_them():
    assert weight_reads(16, 4, units=8) == 4 * 2
    assert weight_reads(16, 4, units=8, bits=4) == 4 * 4
    assert weight_reads(17, 4, units=8) == 4 * 2 + 1, "a token alone loads them once"
    # Of seven units, the last pair goes token by token.
    assert weight_reads(16, 4, units=7) == pytest.approx(4 * (3 * 2 + 4) / 4)
    assert weight_reads(16, 4, units=7, bits=4) == 4 * 4
    assert weight_reads(225, 64, units=7) == 3 + 1, "what is staged is loaded once"
    assert weight_reads(66, 64, units=8) == 1 + 2


def test_blocks_that_hold_all_tokens_are_loaded_once():
    few, all_of_them = (AttentionLoops(25, 32, 3, 16, block_tokens=n) for n in (4, 28))
    assert (few.loads, all_of_them.loads) == (3, 1)
    pair = FullyConnectedLoops(8, 20, 6, rank=4)
    assert pair.loops()["rank unit"] == 2 * 4
    assert pair.loops()["output unit"] == 2 * 6


def test_more_of_anything_takes_more_instructions():
    smallest, largest = FASHION_MNIST_SPACE.smallest(), FASHION_MNIST_SPACE.largest()
    for core in ("cortex-m4", "cortex-m7", "cortex-m33"):
        assert 0 < num_instructions(smallest, core) < num_instructions(largest, core)
    for smaller in FASHION_MNIST_SPACE.smaller(largest):
        assert num_instructions(smaller, "cortex-m7") < num_instructions(largest, "cortex-m7")
    kept = num_instructions(largest, "cortex-m7", kept=range(largest.depth))
    assert kept < num_instructions(largest, "cortex-m7")


def test_other_cores_are_refused_by_name():
    board = Board("tiny", "cortex-m0plus", (SramRegion("sram", 0x20000000, 1 << 17),), 1 << 20)
    with pytest.raises(ConfigError, match=r"cortex-m0plus.*no instructions.*cortex-m4"):
        estimate_cost(FASHION_MNIST_SPACE.smallest(), board)


def _time(network):
    return estimate_cost(network, "stm32f746").milliseconds


def test_a_budget_of_time_refuses_what_takes_longer():
    smallest, largest = FASHION_MNIST_SPACE.smallest(), FASHION_MNIST_SPACE.largest()
    limit = (_time(smallest) + _time(largest)) / 2
    budget = Budget.of_board("stm32f746", milliseconds=limit)
    assert budget.fits(smallest)
    assert not budget.fits(largest)
    assert Budget.of_board("stm32f746").fits(largest)
    assert Budget.of_board("stm32f746", milliseconds=_time(largest)).fits(largest)
    fit = Fit(budget)
    assert fit.margin(largest) == pytest.approx(1 - _time(largest) / limit)
    assert "time by" in fit.miss(largest)
    assert "ms an inference" in str(budget)
    fast = fit.smallest_board(largest)
    assert fast is None or fast.name == "stm32h743"


def test_a_space_without_a_subnet_in_time_is_refused_with_the_nearest():
    budget = Budget.of_board("stm32f427", milliseconds=0.01)
    with pytest.raises(BudgetError, match=r"0\.01 ms an inference\)\. The nearest \(patch_size 7"):
        RandomSubnets(FASHION_MNIST_SPACE, budget, subnets=2)


def test_a_search_proposes_what_is_in_time_alone():
    space = FASHION_MNIST_SPACE.at(7, 0.7)
    limit = (_time(space.smallest()) + _time(space.largest())) / 2
    oracle = RandomSubnets(space, Budget.of_board("stm32f746", milliseconds=limit), subnets=8)
    drawn = oracle.draw_random(8)
    assert len(drawn) == 8
    assert all(_time(Architecture.from_json(text)) <= limit for text in drawn)
    state = oracle.configuration()
    assert state["milliseconds"] == limit
    free = RandomSubnets(space, Budget.of_board("stm32f746"), subnets=8).configuration()
    assert "milliseconds" not in free, "what was kept before there was such a limit stays the same"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"milliseconds": 0}, "milliseconds is 0"),
        ({"milliseconds": 5.0}, "there is no board"),
        (
            {"milliseconds": 5.0, "board": dataclasses.replace(DISCOVERY, megahertz=None)},
            "megahertz of board stm32f746-discovery",
        ),
        (
            {"milliseconds": 5.0, "board": dataclasses.replace(DISCOVERY, core="cortex-m55")},
            "no instructions",
        ),
        ({"board": "stm32f746"}, "board is 'stm32f746'"),
    ],
)
def test_a_limit_that_cannot_be_told_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Budget(2**20, 2**20, "mine", **options)


def test_sram_flash_and_time_limit_together_and_the_error_tells_by_how_much_each_is_missed():
    budget = Budget.of_board("stm32f427", 3000, flash=20_000, milliseconds=2.0)
    assert (budget.sram, budget.flash, budget.milliseconds) == (3000, 20_000, 2.0)
    roomy = Budget.of_board("stm32f427")
    assert Budget.of_board("stm32f427", flash=10**9).flash == roomy.flash, "no more than there is"
    space, fit = FASHION_MNIST_SPACE.at(7, 0.5), Fit(budget)
    network = space.smallest()
    with pytest.raises(BudgetError) as caught:
        RandomSubnets(space, budget)
    told = str(caught.value)
    arena, flash = fit.memory_bytes(network), fit.flash_bytes(network)
    assert f"exceeds arena by {arena - 3000:,} bytes" in told
    assert f"flash by {flash - 20_000:,} bytes ({flash:,} of 20,000)" in told
    assert "time by" in told
    assert fit.milliseconds(network) == budget.time(network) > 2.0
    assert Fit(roomy).milliseconds(network) == budget.time(network), "told where it is not limited"
    with pytest.raises(ConfigError, match="flash is -1"):
        Budget.of_board("stm32f427", flash=-1)
