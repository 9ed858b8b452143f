import dataclasses

from mcuformer_tflm.bench.models import paper_architecture
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.task.arena import arena_to_spend

DISCOVERY = Budget.of_board("stm32f746-discovery")


def test_arena_is_spent_where_weights_lie_in_external_flash_and_but_for_the_stack():
    assert arena_to_spend(DISCOVERY, paper_architecture()) == 320 * 1024 - 8192


def test_arena_stays_the_least_where_flash_holds_the_model_or_nothing_is_left(architecture):
    assert arena_to_spend(DISCOVERY, architecture) is None
    assert arena_to_spend(Budget.of_board("stm32f746"), paper_architecture()) is None
    assert arena_to_spend(dataclasses.replace(DISCOVERY, board=None), paper_architecture()) is None
    tight = Budget.of_board("stm32f746-discovery", 190 * 1024)
    assert arena_to_spend(tight, paper_architecture()) is None
