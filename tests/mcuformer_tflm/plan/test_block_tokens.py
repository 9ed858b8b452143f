import dataclasses
import itertools

import numpy as np
import pytest

from mcuformer_tflm import MicroInterpreter, convert, plan_memory
from mcuformer_tflm.bench.models import paper_architecture
from mcuformer_tflm.data import quantize_images
from mcuformer_tflm.firmware.fit import RAM_RESERVE, estimated_bytes_read, spread_constants
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.plan.block_tokens import (
    choose_block_tokens,
    num_tokens,
    reads_weights,
    same_block_tokens,
    tokens_of_pass,
    with_block_tokens,
)
from mcuformer_tflm.plan.constant_reads import times_read
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.operator_memory import operator_memory
from mcuformer_tflm.plan.schedule import describe_schedule
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.tflite.model_graph import read_graph


@pytest.fixture(scope="module")
def graph():
    return skeleton_graph(paper_architecture(depth=1))


def arena(graph):
    return cortex_m_arena_bytes(graph, plan_memory(graph))


def passes(graph):
    """Returns how often each operator that has the option reads its weights."""
    return [
        -(-num_tokens(graph, operator) // tokens_of_pass(graph, operator))
        for operator in graph.operators
        if reads_weights(operator)
    ]


@pytest.mark.parametrize("block_tokens", [8, 64])
def test_network_gives_the_same_bytes_whatever_a_pass_serves(
    block_tokens, interpreter, quantized, fashion_mnist
):
    model = convert(quantized, fashion_mnist.labels, block_tokens=block_tokens)
    source = quantize_images(fashion_mnist.test_images[:2])
    np.testing.assert_array_equal(MicroInterpreter(model).run(source), interpreter.run(source))
    graph = read_graph(model)
    assert {op.options.get("block_tokens", 4) for op in graph.operators[1:4]} == {
        min(block_tokens, 16)
    }
    assert "block_tokens" not in graph.operators[-1].options, "one token is one block"


def test_without_a_budget_nothing_is_chosen_and_with_one_the_model_says_what(
    model, quantized, fashion_mnist
):
    assert "serves 4 tokens" in describe_schedule(read_graph(model))
    blocked = convert(quantized, fashion_mnist.labels, arena_budget=1 << 20)
    assert "serves 16 tokens" in describe_schedule(read_graph(blocked))
    streamed = convert(quantized, fashion_mnist.labels, block_tokens=64)
    assert "tokens normalised once in 2 of 2" in describe_schedule(read_graph(streamed))
    assert convert(quantized, fashion_mnist.labels, block_tokens=4) == model


@pytest.mark.parametrize("block_tokens", [6, 2, 0, -4, 4100, 8.5, "8"])
def test_block_tokens_that_are_no_blocks_are_refused_by_name(
    block_tokens, quantized, fashion_mnist
):
    with pytest.raises(ConfigError, match=f"^block_tokens is '?{block_tokens}'?"):
        convert(quantized, fashion_mnist.labels, block_tokens=block_tokens)


def test_more_room_never_means_more_passes_and_no_budget_is_exceeded(graph):
    least = arena(graph)
    found = []
    for budget in (least, *range(200_000, 700_000, 50_000)):
        blocked = with_block_tokens(graph, choose_block_tokens(graph, budget))
        assert arena(blocked) <= budget
        found.append(passes(blocked))
    assert all(
        before >= after
        for earlier, later in itertools.pairwise(found)
        for before, after in zip(earlier, later, strict=True)
    )
    assert max(found[0]) < max(passes(graph)), "the stem leaves others room in any case"
    assert set(found[-1]) == {1}


def test_a_byte_less_than_a_pass_needs_means_one_more(graph):
    mlp = graph.operators[3]
    name = graph.tensors[mlp.outputs[0]].name
    blocked = with_block_tokens(graph, {name: 116})
    budget = arena(blocked)
    assert choose_block_tokens(graph, budget)[name] == 116
    assert choose_block_tokens(graph, budget - 1)[name] == 76


def test_a_budget_that_is_exceeded_anyway_chooses_nothing(graph):
    assert choose_block_tokens(graph, arena(graph) - 1) == {}
    assert choose_block_tokens(graph, 0) == {}


def test_what_is_overwritten_is_walked_in_steps_of_as_many_tokens(graph):
    blocked = with_block_tokens(graph, same_block_tokens(graph, 100))
    for operator in blocked.operators[2:4]:  # the projection its residual, the Mlp its input
        walk = operator_memory(blocked, operator).in_place.walk
        assert (walk.steps, walk.read, walk.written) == (3, 100 * 192, 100 * 192)
    plan = plan_memory(blocked)  # verified step by step
    assert len({b.offset for b in plan.buffers if b.walk is not None}) == 1


def test_constants_that_are_read_most_often_are_those_of_the_stem_and_of_tables(graph):
    blocked = with_block_tokens(graph, same_block_tokens(graph, 116))
    before, after = times_read(graph), times_read(blocked)
    weights = [op.inputs[4] for op in (graph.operators[1], graph.operators[3])]
    assert [before[i] for i in weights] == [57, 57]
    assert [after[i] for i in weights] == [2, 2]
    assert after[graph.operators[0].inputs[1]] == 57
    gamma = graph.operators[1].inputs[2]
    assert after[gamma] == before[gamma] == 225


def test_papers_network_reads_its_constants_rarely_within_its_board():
    board = get_board("stm32f746-discovery")
    graph = skeleton_graph(paper_architecture())
    read = {}
    for budget in (None, arena(graph), board.arena_budget - RAM_RESERVE):
        chosen = {} if budget is None else choose_block_tokens(graph, budget)
        blocked = with_block_tokens(graph, chosen)
        external, over = spread_constants(blocked, board)
        assert not over
        read[budget] = estimated_bytes_read(blocked, external) / 1e6
    without, least, most = read.values()
    assert without > 350
    assert most < least < 64


def test_low_rank_attention_is_given_blocks_within_its_budget_too():
    arch = dataclasses.replace(paper_architecture(depth=1), low_rank_attention=True)
    graph = skeleton_graph(arch)
    chosen = choose_block_tokens(graph, 320 * 1024)
    blocked = with_block_tokens(graph, chosen)
    assert arena(blocked) <= 320 * 1024
    assert max(passes(blocked)) <= 2
