import dataclasses

import numpy as np
import pytest

from mcuformer_tflm.custom_ops.reference import fully_connected
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.search.board import Board, SramRegion, get_board, register_board
from mcuformer_tflm.search.cost.activation_memory import (
    arena_bytes,
    arena_content,
    head_bytes,
    kept_attention_bytes,
)
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.memory import (
    code_bytes,
    eq5_bytes,
    flash_bytes,
    num_macs,
    num_parameters,
)
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.cost.summary import summary
from mcuformer_tflm.search.cost.tflm_arena import ArenaContent, tflm_arena
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace


@pytest.mark.parametrize(("patch_size", "wanted"), [(24, 217_344), (16, 313_344)])
def test_eq5_gives_the_papers_figures(patch_size, wanted):
    paper = Architecture(
        240, 3, 1000, patch_size, 0.95, 64, 192, num_heads=(3,) * 12, mlp_ratio=(4.0,) * 12
    )
    assert eq5_bytes(paper, class_token=True) == wanted


@pytest.mark.parametrize("seed", range(4))
def test_parameters_equal_those_of_the_built_network(seed):
    architecture = FASHION_MNIST_SPACE.sample(np.random.default_rng(seed))
    assert num_parameters(architecture) == build_subnet(architecture).count_params()


def test_macs_are_those_of_each_product_counted_by_hand():
    # Four patches of 16 pixels; two heads of three values.
    network = Architecture(8, 1, 3, 4, None, 3, 6, (2,), (2.0,))
    patches, attention, mlp = 4 * 16 * 6, 4 * (6 * 18 + 2 * 4 * 6 + 6 * 6), 4 * 2 * 6 * 12
    assert num_macs(network) == patches + attention + mlp + 6 * 3


def test_boards_have_the_data_sheets_sizes():
    assert get_board("STM32F427").sram == 256 * 1024
    assert get_board("stm32f427").arena_budget == 192 * 1024, "its 256 KB are two blocks"
    assert get_board("stm32f746").arena_budget == 320 * 1024
    assert get_board("stm32h743").arena_budget == 512 * 1024


def test_external_flash_is_the_boards_that_has_it_and_not_the_microcontrollers():
    chip, discovery = get_board("stm32f746"), get_board("stm32f746-discovery")
    assert chip.flash_budget == chip.flash == 1024 * 1024
    assert discovery.flash_budget == chip.flash + 16 * 1024 * 1024
    assert (discovery.core, discovery.sram_regions) == (chip.core, chip.sram_regions)
    room = Budget.of_board(discovery).flash - Budget.of_board(chip).flash
    assert room == 16 * 1024 * 1024


def test_unknown_board_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="Did you mean stm32f746") as error:
        get_board("stm32f764")
    assert "stm32f427" in str(error.value)


def test_users_board_can_be_added(monkeypatch):
    monkeypatch.setattr("mcuformer_tflm.search.board._BOARDS", {})
    board = Board("nucleo-test", "cortex-m4", (SramRegion("sram", 0x20000000, 99),), 1000)
    register_board(board)
    assert get_board("nucleo-test") is board


def test_budget_counts_arena_and_flash():
    network = FASHION_MNIST_SPACE.largest()
    assert Budget(10**6, 10**6, "both").fits(network)
    assert not Budget(1000, 10**6, "arena").fits(network)
    assert not Budget(10**6, 1000, "flash").fits(network)


def test_budget_counts_the_bytes_of_the_chosen_widths():
    network = FASHION_MNIST_SPACE.largest()
    exact = Fit(Budget(arena_bytes(network), flash_bytes(network), "exact"))
    assert exact(network)
    narrow, wide = (
        Fit(dataclasses.replace(exact.budget, quantization=config))
        for config in (QuantizationConfig(weight_bits=4), QuantizationConfig(residual_bits=16))
    )
    assert narrow(network)
    assert narrow.flash_bytes(network) < 0.7 * exact.flash_bytes(network)
    assert narrow.memory_bytes(network) == exact.memory_bytes(network)
    assert not wide(network)
    assert wide.memory_bytes(network) > exact.memory_bytes(network)
    assert "arena by" in wide.miss(network)


def test_summary_has_memory_and_flash_of_every_operator():
    table = summary(FASHION_MNIST_SPACE.smallest())
    assert [column.header for column in table.columns] == [
        "operator", "live bytes", "weight bytes (flash)", "instructions (estimate)",
    ]  # fmt: skip
    assert table.row_count == 3 * 2 + 4
    assert "Eq. 5" in str(table.caption)


def test_summary_estimates_instructions_and_time_on_a_board():
    network = FASHION_MNIST_SPACE.smallest()
    table = summary(network, board="stm32h743")
    told = [int(str(cell).replace(",", "")) for cell in table.columns[-1].cells]
    assert min(told) > 0
    estimate = estimate_cost(network, "stm32h743")
    assert sum(told) == pytest.approx(estimate.instructions, rel=0.01), "but for copying the image"
    assert f"on stm32h743 {estimate.instructions:,} instructions" in str(table.caption)
    assert f"{estimate.milliseconds:,.1f} ms (estimates)" in str(table.caption)


def test_an_empty_models_arena_on_32_bits_is_the_sum_of_tflms_structures():
    tail = 36 + 36 + 8 + 8  # allocators, and the list of the subgraph's allocations
    for _ in ("input", "output"):
        # A pointer that ends at a multiple of 16; behind it tensor, quantization and zero points.
        tail = -(-(tail + 4) // 16) * 16 + 40 + 12 + 8
    assert tflm_arena(ArenaContent(0, 0, (), 0, 0)).tail == tail == 220


def test_a_kept_pairs_first_products_lie_beside_stream_and_normalised_tokens():
    # Four tokens of 64 values, of which U makes one; so little is alive later that U decides.
    network = Architecture(
        8, 1, 3, 4, 0.02, 1, 64, (1,), (1.0,), low_rank_attention=True, pooling="mean"
    )
    tokens, scratch = 4 * 64, fully_connected.scratch_bytes(64)
    assert scratch % 16 == 0
    assert kept_attention_bytes(network, 0) == tokens + tokens + scratch


def test_summary_counts_both_factors_of_low_rank_attention():
    network = Architecture(12, 1, 3, 4, 0.5, 6, 10, (2,), (2.0,), low_rank_attention=True)
    names, _, weights, _ = (list(column.cells) for column in summary(network).columns)
    told = dict(zip(names, weights, strict=True))
    assert told["block_0_attention"] == str(5 * 10 + 3 * 12 * 5)
    assert told["block_0_projection"] == str(5 * 12 + 10 * 5)


def _ample_flash(board, **limits):
    return dataclasses.replace(Budget.of_board(get_board(board), **limits), flash=10**8)


def test_boards_budget_is_all_its_banks_and_its_flash_less_the_code():
    budget = Budget.of_board(get_board("stm32f427"))
    assert (budget.arena, budget.banks) == (192 * 1024, (64 * 1024,))
    assert budget.flash == 2048 * 1024 - code_bytes("cortex-m4")
    assert flash_bytes(FASHION_MNIST_SPACE.largest(), "cortex-m4") - code_bytes(
        "cortex-m4"
    ) == flash_bytes(FASHION_MNIST_SPACE.largest())


@pytest.mark.parametrize(
    ("limit", "arena", "banks"),
    [(100, 100, ()), (192, 192, ()), (224, 192, (32,)), (999, 192, (64,))],
)
def test_limit_counts_over_the_banks_in_order(limit, arena, banks):
    budget = Budget.of_board(get_board("stm32f427"), arena=limit * 1024)
    assert budget.arena == arena * 1024
    assert budget.banks == tuple(bank * 1024 for bank in banks)


def _largest(image_size):
    return dataclasses.replace(SearchSpace(), image_size=image_size, patch_size=(16,)).largest()


@pytest.mark.parametrize(("image_size", "image"), [(248, "whole"), (280, "strips")])
def test_network_that_needs_both_banks_fits_them_but_not_one(image_size, image):
    network, budget = _largest(image_size), _ample_flash("stm32f427")
    assert arena_bytes(network, image) > budget.arena
    assert budget.fits(network, image)
    assert not dataclasses.replace(budget, banks=()).fits(network, image)
    assert not _ample_flash("stm32f427", arena=192 * 1024).fits(network, image)


def test_tflms_own_data_must_fit_the_first_bank():
    network = FASHION_MNIST_SPACE.smallest()
    own = tflm_arena(arena_content(network, 0))
    banks = (arena_bytes(network),)
    assert Budget(own.total, 10**7, "just", banks=banks).holds(network)
    assert not Budget(own.total - 1, 10**7, "short", banks=banks).holds(network)
    # What they take is not there for the plan.
    beside = head_bytes(network) - (own.total - own.tail) // 16 * 16 - 16
    assert not Budget(own.total, 10**7, "short", banks=(beside,)).holds(network)


def test_margin_says_whether_the_banks_hold_a_network():
    network, budget = _largest(248), _ample_flash("stm32f427")
    assert Fit(budget).margin(network) > 0
    assert Fit(dataclasses.replace(budget, banks=())).margin(network) < 0
    assert Fit(budget).margin(_largest(320)) < 0


def test_network_too_large_for_both_banks_is_refused_with_a_board_that_holds_it():
    # A picture of 320 pixels: 307,200 bytes in one piece.
    space = dataclasses.replace(
        SearchSpace(),
        image_size=320,
        patch_size=(16,),
        embed_dim=(168,),
        depth=(12,),
        num_classes=10,
    )
    board = Board(
        "two-banks-test", "cortex-m4",
        (SramRegion("sram", 0x20000000, 192 * 1024), SramRegion("ccm", 0x10000000, 64 * 1024)),
        flash=16 << 20,
    )  # fmt: skip
    with pytest.raises(BudgetError, match=r"by [\d,]+ even with 65,536 in other banks") as error:
        Fit(Budget.of_board(board)).require(space)
    assert "smallest known board that holds it is stm32f746" in str(error.value)


def test_banks_that_no_division_fills_are_told_apart():
    # The picture alone has the 196,608 bytes of the larger bank.
    network, budget = _largest(256), _ample_flash("stm32f427")
    assert arena_bytes(network) < budget.sram
    assert not budget.fits(network)
    assert "which no division over 65,536 more" in Fit(budget).miss(network)
