"""The planner on drawn graphs, and the verifier against plans that are wrong on purpose."""

import dataclasses
import itertools

import numpy as np
import pytest
from drawn_graph import graph_of, graphs, tensor, test_operator_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer_tflm.keras_models.exceptions import BudgetError, ModelError, PlanError
from mcuformer_tflm.plan import liveness, placement, plan_memory, verifier
from mcuformer_tflm.plan.memory_plan import PlannedBuffer, read_places
from mcuformer_tflm.plan.operator_memory import InPlace, OperatorMemory, Walk
from mcuformer_tflm.plan.verifier import verify_plan
from mcuformer_tflm.search.board import Board, SramRegion
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator


@pytest.fixture(autouse=True)
def _drawn_operators(monkeypatch):
    monkeypatch.setattr(liveness, "operator_memory", test_operator_memory)
    monkeypatch.setattr(verifier, "operator_memory", test_operator_memory)


def _bytes_in_use(plan, graph):
    """Runs the graph on byte owners: a third way, beside planner and verifier, to see a clash."""
    owner: dict[tuple[int, int], str] = {}
    by_tensor = {b.tensor: b for b in plan.buffers if b.tensor is not None}
    scratch = [b for b in plan.buffers if b.tensor is None]
    last = {i: -1 for i in graph.inputs}
    for step, operator in enumerate(graph.operators):
        last |= dict.fromkeys((*operator.inputs, *operator.outputs), step)
    last |= dict.fromkeys(graph.outputs, len(graph.operators))

    def cells(buffer):
        return [(buffer.region, byte) for byte in range(buffer.offset, buffer.end, 16)]

    for index in graph.inputs:
        owner |= dict.fromkeys(cells(by_tensor[index]), by_tensor[index].name)
    for step, operator in enumerate(graph.operators):
        for index in operator.inputs:
            place = by_tensor[index]
            assert all(owner[cell] == place.name for cell in cells(place))
        written = [by_tensor[operator.outputs[0]]]
        written += [b for b in scratch if b.first_operator == step]
        allowed = {
            by_tensor[i].name for i in operator.inputs[:1] if operator.options.get("in_place")
        }
        for buffer in written:
            for cell in cells(buffer):
                assert cell not in owner or owner[cell] in allowed
                owner[cell] = buffer.name
        gone = {by_tensor[i].name for i in last if last[i] <= step and i in by_tensor}
        gone |= {b.name for b in scratch}
        owner = {cell: name for cell, name in owner.items() if name not in gone}


@given(graphs())
def test_no_two_live_buffers_share_a_byte_and_the_gap_is_true(graph):
    plan = plan_memory(graph)
    _bytes_in_use(plan, graph)
    assert plan.lower_bound <= plan.head_bytes <= plan.greedy_head_bytes
    assert plan.gap_percent == pytest.approx(100 * (plan.head_bytes / plan.lower_bound - 1))


@given(graphs(max_operators=2))
@settings(max_examples=15)
def test_few_buffers_are_placed_at_the_optimum(graph):
    plan = plan_memory(graph)
    assert plan.head_bytes == _optimum(plan)


def _optimum(plan):
    # First fit in some order is optimal; each buffer at the lowest place that the others allow.
    def meets(one, other):
        return (
            one.first_operator <= other.last_operator and other.first_operator <= one.last_operator
        )

    groups = {}
    root = {}
    for b in sorted(plan.buffers, key=lambda b: b.first_operator):
        key = b.name if b.overwrites is None else root[b.overwrites]
        root[b.tensor] = key
        groups.setdefault(key, []).append(b)
    best = 1 << 60
    for order in itertools.permutations(groups.values()):
        placed: list[tuple[int, object]] = []
        for group in order:
            starts = sorted({0, *(start + b.size for start, b in placed)})
            start = next(
                s
                for s in starts
                if all(
                    not meets(b, other) or s + b.size <= start or start + other.size <= s
                    for b in group
                    for start, other in placed
                )
            )
            placed += [(start, b) for b in group]
        best = min(best, max(start + b.size for start, b in placed))
    return best


@given(graphs(), st.data())
def test_a_mutated_offset_is_refused_or_harmless(graph, data):
    plan = plan_memory(graph)
    index = data.draw(st.integers(0, len(plan.buffers) - 1))
    offset = 16 * data.draw(st.integers(0, plan.head_bytes // 16))
    buffers = list(plan.buffers)
    buffers[index] = dataclasses.replace(buffers[index], offset=offset)
    mutated = dataclasses.replace(plan, buffers=tuple(buffers))
    try:
        verify_plan(mutated, graph)
    except PlanError:
        return
    _bytes_in_use(mutated, graph)


def _growing(options=()):
    return graph_of([16, 32], [([0], 1, {"in_place": 1, **dict(options)})])


def test_growing_rows_overwrite_last_to_first_and_shrinking_ones_first_to_last():
    assert plan_memory(_growing()).buffers[1].walk == "descending"
    shrinking = graph_of([32, 16], [([0], 1, {"in_place": 1})])
    assert plan_memory(shrinking).buffers[1].walk == "ascending"


@pytest.mark.parametrize(("rows", "order"), [((16, 32), "ascending"), ((32, 16), "descending")])
def test_an_operator_that_walks_the_wrong_way_is_refused(rows, order):
    graph = graph_of(list(rows), [([0], 1, {"in_place": 1, "order": order})])
    with pytest.raises(PlanError, match="not read yet"):
        plan_memory(graph)


def test_a_plan_with_the_walking_order_swapped_is_refused():
    graph = _growing()
    plan = plan_memory(graph)
    swapped = dataclasses.replace(plan.buffers[1], walk="ascending")
    with pytest.raises(PlanError, match=r"goes over t0 descending; the plan of t1 says ascending"):
        verify_plan(dataclasses.replace(plan, buffers=(plan.buffers[0], swapped)), graph)


def test_tokens_may_overwrite_a_padded_image_when_a_band_is_read_before_it_is_written(monkeypatch):
    # 5 bands of 30 bytes, of which the first 20 are padding; each becomes 8 or 16 bytes, behind
    # a class token of some.
    def memory(written, last):
        walk = Walk("ascending", 5, 30, written, lead=20, last=last)
        return lambda graph, operator: OperatorMemory((written,), InPlace(0, walk))

    def graph(size):
        tensors = (tensor("image", 130, 1), tensor("tokens", size, 1))
        return ModelGraph(tensors, (Operator("Test", (0,), (1,), {}),), (0,), (1,), {})

    for written, last, fits in ((8, 0, True), (8, 2, True), (8, 3, False), (16, 0, False)):
        for module in (liveness, verifier):
            monkeypatch.setattr(module, "operator_memory", memory(written, last))
        size = last + 5 * written
        if fits:
            plan = plan_memory(graph(size))
            assert plan.buffers[1].offset == plan.buffers[0].offset == 0
            assert plan.head_bytes == 144 + 16
        else:
            with pytest.raises(PlanError, match="in step 0 tokens overwrites"):
                plan_memory(graph(size))


def test_a_foreign_plan_is_refused():
    graph = graph_of([16, 32, 16], [([0], 1, {"scratch_0": 20}), ([1], 2, {})])
    fewer = graph_of([16, 32], [([0], 1, {"scratch_0": 20})])
    with pytest.raises(PlanError, match="model of 2 tensors; this one has 3"):
        verify_plan(plan_memory(fewer), graph)
    other = graph_of([16, 32, 16], [([0], 1, {"scratch_0": 20}), ([1], 2, {"scratch_0": 4})])
    with pytest.raises(PlanError, match="another model"):
        verify_plan(plan_memory(other), graph)
    with pytest.raises(PlanError, match="has no 4 bytes of scratch"):
        verify_plan(plan_memory(graph), other)


def test_a_gap_that_just_fits_is_filled_and_a_chain_is_as_high_as_its_highest():
    lives = ((32, 0, 1), (16, 1, 2), (32, 2, 2))  # the last meets the second alone
    buffers = [PlannedBuffer(f"t{i}", 0, *life, i) for i, life in enumerate(lives)]
    chains = placement.find_chains(buffers)
    above = placement._distances(buffers, chains)
    assert placement._place([0, 1, 2], chains, above, [64]) == [(0, 0), (0, 32), (0, 0)]
    grown = [PlannedBuffer("t0", 0, 16, 0, 1, 0), PlannedBuffer("t1", 0, 48, 1, 2, 1, overwrites=0)]
    assert placement.find_chains(grown) == [placement.Chain((0, 1), 48, 0, 2)]


def test_outputs_and_constants_are_not_overwritten():
    chain = [([0], 1, {}), ([1], 2, {"in_place": 1})]
    assert plan_memory(graph_of([16] * 3, chain)).buffers[2].overwrites == 1
    kept = plan_memory(graph_of([16] * 3, chain, outputs=(1, 2))).buffers[2]
    assert (kept.overwrites, kept.walk) == (None, None)
    graph = graph_of([16] * 3, [([0, 1], 2, {"in_place": 1})], inputs=(1,))
    constant = dataclasses.replace(graph.tensors[0], data=bytes(64))
    graph = dataclasses.replace(graph, tensors=(constant, *graph.tensors[1:]))
    (output,) = (b for b in plan_memory(graph).buffers if b.tensor == 2)
    assert output.overwrites is None


_CHAIN = [([0], 1, {}), ([1], 2, {"in_place": 1}), ([1, 2], 3, {})]
_TWO_SCRATCH = graph_of([16, 16], [([0], 1, {"scratch_0": 32, "scratch_1": 32})])


@pytest.mark.parametrize(
    ("graph", "change", "message"),
    [
        (graph_of([16] * 3, [([0, 1], 2, {})], inputs=(0, 1)), {1: {"offset": 0}, 0: {"offset": 0}},
         "During the model's inputs, t1"),
        (_TWO_SCRATCH, {3: {"offset": 64}, 2: {"offset": 64}}, "t1/scratch_1 .* overlaps"),
        (graph_of([16] * 4, [([0], 1, {}), ([0], 2, {}), ([2], 3, {})], outputs=(1, 3)),
         {3: {"offset": 1 << 10}, 1: {"offset": 1 << 10}}, "t3 .* overlaps t1"),
        (graph_of([16] * 4, _CHAIN), {1: {"offset": 1 << 10},
                                      2: {"offset": 1 << 10, "walk": "ascending"}},
         "t2 overlaps t1, which is read again later"),
        (graph_of([16] * 2, [([0], 1, {})]), {1: {"offset": 1 << 10 | 8}}, "multiples of 16"),
        (graph_of([16] * 3, [([0], 1, {"scratch_0": 8}), ([1], 2, {"scratch_0": 8})]),
         {3: {"first_operator": 1}, 4: {"first_operator": 0}}, "has no 8 bytes of scratch"),
        (graph_of([16] * 2, [([0], 1, {})]), {1: {"size": 48}}, "t1 needs 64 bytes, planned 48"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_plan_with_one_thing_wrong_is_refused_for_it(graph, change, message):
    plan = plan_memory(graph)
    buffers = [dataclasses.replace(b, **change.get(i, {})) for i, b in enumerate(plan.buffers)]
    with pytest.raises(PlanError, match=message):
        verify_plan(dataclasses.replace(plan, buffers=tuple(buffers)), graph)


def test_a_walk_that_leaves_out_the_end_of_its_output_is_refused(monkeypatch):
    walk = Walk("ascending", 3, 16, 16)
    for module in (liveness, verifier):
        monkeypatch.setattr(
            module, "operator_memory", lambda *_: OperatorMemory((), InPlace(0, walk))
        )
    with pytest.raises(PlanError, match="writes less than all of t1"):
        plan_memory(graph_of([16, 16], [([0], 1, {})]))


def test_buffers_outside_their_region_are_refused():
    graph = graph_of([16, 32], [([0], 1, {})])
    plan = plan_memory(graph)
    verify_plan(plan, graph, capacities=[plan.head_bytes])
    with pytest.raises(PlanError, match="region 0 has"):
        verify_plan(plan, graph, capacities=[plan.head_bytes - 16])


_SPLIT = Board(
    "split-test", "cortex-m4", (SramRegion("a", 0x20000000, 192), SramRegion("b", 0, 64)), 1000
)


def test_two_regions_hold_what_one_cannot_and_no_buffer_straddles():
    # 192 + 64 bytes at once: neither region alone.
    graph = graph_of([48, 16], [([0], 1, {})])
    plan = plan_memory(graph, _SPLIT)
    assert plan.num_regions == 2
    assert [plan.region_bytes(region) for region in (0, 1)] == [192, 64]
    verify_plan(plan, graph, capacities=[192, 64])
    assert list(np.frombuffer(plan.to_metadata(), "<i4")[3:]) == [0, -1], "-1: not TFLM's region"


def test_of_equal_plans_in_two_regions_the_one_is_taken_on_which_tflms_planner_needs_least():
    # t0 lies in the second region alone. TFLM's planner has one region, and must put it above t1,
    # its reader's output: at 16 where t1 lies below t2, at 32 where it lies above.
    graph = graph_of([40, 4, 4], [([0], 1, {}), ([1], 2, {})])
    regions = (SramRegion("a", 0x20000000, 112), SramRegion("b", 0x10000000, 176))
    plan = plan_memory(graph, Board("two-regions", "cortex-m4", regions, 1 << 20))
    assert [plan.region_bytes(region) for region in (0, 1)] == [32, 160]
    assert plan.greedy_head_bytes == plan.lower_bound == 160 + 16


def test_a_model_that_fits_one_region_uses_one():
    assert plan_memory(graph_of([16, 16], [([0], 1, {})]), _SPLIT).num_regions == 1


def test_a_budget_below_the_bound_names_the_operators_and_the_smallest_board():
    graph = graph_of([80, 16], [([0], 1, {"scratch_0": 30})])
    with pytest.raises(BudgetError) as error:
        plan_memory(graph, _SPLIT)
    message = str(error.value)
    assert "split-test has 192 + 64 bytes" in message
    assert "Test (t1): 416 = t0 320 + t1 64 + t1/scratch 32" in message
    assert "smallest known board that holds it is stm32f427" in message
    huge = graph_of([10**7, 16], [([0], 1, {})])
    with pytest.raises(BudgetError, match="No known board holds it"):
        plan_memory(huge, _SPLIT)


def test_bytes_are_kept_free_where_asked():
    graph = graph_of([48, 16], [([0], 1, {})])
    with pytest.raises(BudgetError, match=r"176 \+ 64"):
        plan_memory(graph, _SPLIT, reserve=16)


def test_a_graph_with_a_cycle_is_refused():
    graph = graph_of([16, 16, 16], [([0, 2], 1, {}), ([1], 2, {})])
    with pytest.raises(ModelError, match=r"reads t2, which no operator before it writes.*cycle"):
        plan_memory(graph)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (graph_of([16], []), "no operators"),
        (graph_of([16, 16], [([0], 1, {}), ([0], 1, {})]), "has been written before"),
        (graph_of([16, 16], [([0], 0, {})]), "has been written before"),
        (graph_of([16, 16, 16], [([0], 1, {})]), "Nobody writes the model's output, tensor 2"),
        (graph_of([16, 16], [([0], 1, {})], inputs=(7,)), "input, tensor 7"),
    ],
)
def test_malformed_graphs_are_refused(graph, message):
    with pytest.raises(ModelError, match=message):
        plan_memory(graph)


@given(graphs())
def test_the_record_for_the_device_holds_every_place(graph):
    plan = plan_memory(graph)
    assert read_places(plan.to_record()) == [(b.size, b.offset, b.region) for b in plan.buffers]


@given(graphs(), st.data())
def test_a_damaged_record_is_an_error_of_ours(graph, data):
    record = bytearray(plan_memory(graph).to_record())
    position = data.draw(st.integers(0, len(record) - 1))
    record[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ModelError):
        read_places(bytes(record))
