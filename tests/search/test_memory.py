import numpy as np
import pytest

from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.search.board import Board, SramRegion, get_board, register_board
from mcuformer_tflm.search.budget import Budget
from mcuformer_tflm.search.memory import eq5_bytes, num_parameters
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE
from mcuformer_tflm.search.summary import summary


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


def test_boards_have_the_data_sheets_sizes():
    assert get_board("STM32F427").sram == 256 * 1024
    assert get_board("stm32f427").arena_budget == 192 * 1024, "its 256 KB are two blocks"
    assert get_board("stm32f746").arena_budget == 320 * 1024
    assert get_board("stm32h743").arena_budget == 512 * 1024


def test_unknown_board_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="Did you mean stm32f746") as error:
        get_board("stm32f764")
    assert "stm32f427" in str(error.value)


def test_users_board_can_be_added():
    board = Board("nucleo-test", "cortex-m4", (SramRegion("sram", 0x20000000, 99),), 1000)
    register_board(board)
    assert get_board("nucleo-test") is board


def test_budget_counts_arena_and_flash():
    network = FASHION_MNIST_SPACE.largest()
    assert Budget(10**6, 10**6, "both").fits(network)
    assert not Budget(1000, 10**6, "arena").fits(network)
    assert not Budget(10**6, 1000, "flash").fits(network)


def test_summary_has_memory_and_flash_of_every_operator():
    table = summary(FASHION_MNIST_SPACE.smallest())
    assert [column.header for column in table.columns] == [
        "operator", "live bytes", "weight bytes (flash)",
    ]  # fmt: skip
    assert table.row_count == 3 * 2 + 4
    assert "Eq. 5" in str(table.caption)
