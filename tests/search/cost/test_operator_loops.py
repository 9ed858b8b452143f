"""How often an operator's loops run, against walks over its tokens, units and rows."""

import itertools

import pytest

from mcuformer_tflm.search.cost import instructions
from mcuformer_tflm.search.cost.operator_loops import (
    AttentionLoops,
    ConvStemLoops,
    FullyConnectedLoops,
    PatchEmbedLoops,
    staged_passes,
)


@pytest.mark.parametrize(("tokens", "units"), itertools.product(range(3, 9), (4, 5)))
def test_a_layer_goes_by_four_tokens_and_pairs_of_units_and_a_last_block_token_by_token(
    tokens, units
):
    walked = dict.fromkeys(("pair", "unit", "odd unit", "rest", "rest pair", "rest unit"), 0)
    for first in range(0, tokens, 4):
        block = range(first, min(first + 4, tokens))
        for token in block if len(block) < 4 else block[:1]:
            rest = "rest " if len(block) < 4 else ""
            walked["rest"] += len(block) < 4
            for unit in range(0, units, 2):
                pair = range(unit, min(unit + 2, units))
                walked[f"{rest}pair"] += 1
                walked[f"{rest}unit"] += len(pair)
                walked["odd unit"] += not rest and len(pair) == 1
            assert token in block
    loops = FullyConnectedLoops(tokens, 10, units, slow_units=2).loops()
    assert {name: loops.get(f"output {name}", 0) for name in walked} == walked
    assert loops.get("slow unit", 0) == 2 * (tokens // 4), "once a block of four"


def test_cycles_are_those_of_each_instruction_and_what_passes_of_loops_take_beside(monkeypatch):
    layer, known = FullyConnectedLoops(4, 16, 6), instructions.core_costs("cortex-m7")
    cycles = {"instruction": 2.0, "loops": {"output pair": -3.0}}
    monkeypatch.setattr(instructions, "core_costs", lambda core: known | {"cycles": cycles})
    count = instructions.total_instructions([layer], "cortex-m7")
    assert instructions.total_cycles([layer], "cortex-m7") == 2 * count - 3 * (6 // 2)


@pytest.mark.parametrize(("bits", "at_once"), [(8, 8), (4, 16)])
def test_weights_are_staged_some_units_at_a_time_for_more_than_a_block(bits, at_once):
    assert staged_passes(20, 16) == (1, 16), "a block alone stages nothing"
    assert staged_passes(21, 16) == (2, 21)
    layer = FullyConnectedLoops(21, 16, 20, weight_bits=bits, block_tokens=16).loops()
    assert layer["staged turn"] == 2 * len(range(0, 20, at_once))
    assert layer["staged unit"] == 2 * 20


@pytest.mark.parametrize("tokens", range(5, 13))
def test_logits_with_a_class_token_go_apart_in_its_block_of_queries_and_its_pair_of_keys(tokens):
    blocks, pairs = range(0, tokens, 4), range(0, tokens, 2)
    apart = [query == 0 or key == 0 for query, key in itertools.product(blocks, pairs)]
    loops = AttentionLoops(tokens, 8, 1, 4, position_bias=True, class_tokens=1).loops()
    assert loops["biased logits pair"] == apart.count(False)
    assert loops["biased logits apart"] == 4 * apart.count(True)
    # Softmax takes two rows at a time, of a last block too.
    halves = sum(len(range(first, min(first + 4, tokens), 2)) for first in blocks)
    assert loops["softmax half"] == halves


def test_a_heads_tokens_are_loaded_for_each_head_and_its_biases_are_two_bytes_a_logit():
    single = AttentionLoops(4, 32, 3, 16, position_bias=True)
    assert single.loads == 3, "a single block serves one head"
    assert single.reads()["bias"] == 2 * 3 * 4 * 4


@pytest.mark.parametrize("height", [8, 9, 11])
def test_a_patch_embedding_goes_tile_by_tile_and_fills_rows_of_padding(height):
    loops = PatchEmbedLoops(height, 16, 3, 8, 6).loops()
    rows = len(range(0, height, 8))
    assert loops["tile"] == -(-rows * 2 // 4) * 4, "four tiles of 4 x 4 a block of patches"
    assert loops.get("gathered value outside", 0) == (8 * rows - height) * 16 * 3


@pytest.mark.parametrize("height", range(3, 10))
def test_a_convolutions_rows_whose_windows_leave_the_image_are_edges(height):
    rows = -(-height // 2)
    tops = [2 * row - 1 for row in range(rows)]  # of windows of three rows
    inside = [top >= 0 and top + 3 <= height for top in tops]
    loops = ConvStemLoops(height, 40, 4, (4,), 4).loops()
    blocks = len(range(0, 20, 4)) - 1  # the first of a row is an edge
    assert loops.get("inner block", 0) == sum(inside) * blocks
    assert loops["edge block"] == rows * (blocks + 1) - sum(inside) * blocks
