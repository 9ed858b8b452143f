import contextlib
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer_tflm import MicroInterpreter, convert, plan_memory
from mcuformer_tflm.bench.models import paper_architecture
from mcuformer_tflm.custom_ops.reference.conv_stem import STRIP_ROWS
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError, ModelError, PlanError
from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.plan.cortex_m import arena_content, cortex_m_arena_bytes
from mcuformer_tflm.plan.greedy import greedy_offsets
from mcuformer_tflm.plan.liveness import find_buffers, operator_needs
from mcuformer_tflm.plan.memory_plan import RECORD_NAME
from mcuformer_tflm.plan.operator_memory import operator_memory
from mcuformer_tflm.plan.picture import draw_plan
from mcuformer_tflm.plan.planner import read_plan, write_plan
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.plan.verifier import verify_plan
from mcuformer_tflm.search.board import Board, SramRegion
from mcuformer_tflm.search.cost.activation_memory import (
    arena_bytes,
    fits_regions,
    head_bytes,
    live_bytes,
)
from mcuformer_tflm.search.cost.tflm_arena import tflm_arena
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE, SearchSpace
from mcuformer_tflm.tflite.file import add_metadata, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import ModelGraph, Operator, Tensor, read_graph

BOTH_STEMS = dataclasses.replace(FASHION_MNIST_SPACE, patch_size=(4, 8), stem=("patch", "conv"))


@pytest.mark.parametrize("seed", range(4))
def test_arena_is_known_from_the_architecture_alone(seed, fashion_mnist):
    # Both stems, in turn, with all else drawn.
    space = dataclasses.replace(BOTH_STEMS, stem=BOTH_STEMS.stem[seed % 2])
    architecture = space.sample(np.random.default_rng(seed))
    images = np.zeros((2, 28, 28, 1), np.float32)
    network = build_subnet(architecture)
    rng = np.random.default_rng(seed)
    for weight in network.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    quantized = network.quantized_copy([images])
    for image in ("whole", "strips"):
        model = convert(quantized, fashion_mnist.labels, image=image)
        graph, plan = read_graph(model), plan_memory(model)
        assert plan.head_bytes == plan.lower_bound == head_bytes(architecture, image)
        assert cortex_m_arena_bytes(graph, plan) == arena_bytes(architecture, image)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["whole", "strips"]))
@settings(max_examples=60)
def test_arena_of_any_options_is_that_of_the_graph_that_will_be_written(seed, image):
    rng = np.random.default_rng(seed)
    patch = int(rng.choice([4, 8, 16, 32]))
    rank_ratio = [None, 0.5][rng.integers(2)]
    architecture = Architecture(
        image_size=tuple(int(size) for size in rng.integers(patch, 4 * patch, 2)),
        channels=int(rng.integers(1, 5)), num_classes=int(rng.choice([3, 99])), patch_size=patch,
        rank_ratio=rank_ratio, low_rank_attention=rank_ratio is not None and bool(rng.integers(2)),
        head_dim=int(rng.integers(1, 9)),
        embed_dim=int(rng.integers(1, 70)), num_heads=(1, 2), mlp_ratio=(2.0, 3.0),
        relative_position=bool(rng.integers(2)), stem=str(rng.choice(["patch", "conv"])),
        pooling=str(rng.choice(["mean", "class_token"])),
    )  # fmt: skip
    config = QuantizationConfig(residual_bits=int(rng.choice([8, 16])))
    graph = skeleton_graph(architecture, image, quantization=config)
    plan = plan_memory(graph)
    assert plan.head_bytes == head_bytes(architecture, image, quantization=config)
    wanted = arena_bytes(architecture, image, quantization=config)
    assert cortex_m_arena_bytes(graph, plan) == wanted
    needs = [need.total for need in operator_needs(graph, find_buffers(graph))]
    assert needs == [total for _, total in live_bytes(architecture, image, quantization=config)]


def test_papers_network_with_a_convolutional_stem_stays_within_its_board():
    network = dataclasses.replace(paper_architecture(), stem="conv")
    graph = skeleton_graph(network, "strips")
    scratch = operator_memory(graph, graph.operators[0]).scratch
    assert sum(scratch) <= 40 * 1024
    arena = cortex_m_arena_bytes(graph, plan_memory(graph))
    assert arena == arena_bytes(network, "strips") <= 128 * 1024


def test_tflm_takes_the_head_that_the_plan_says(interpreter):
    assert interpreter.arena_use.head == interpreter.plan.head_bytes


@pytest.mark.parametrize("planner", ["mcuformer", "tflm"])
def test_computed_arena_with_wide_pointers_is_what_tflm_takes_here(model, planner):
    opened = MicroInterpreter(model, planner=planner)
    content = arena_content(opened.graph, opened.plan, planner=planner)
    computed = tflm_arena(content, pointer_bytes=8, planner=planner, wheel=True)
    use = opened.arena_use
    assert (use.head, use.tail) == (computed.head, computed.tail)
    assert use.smallest_arena == computed.total


def test_plan_in_the_file_is_the_one_that_was_made(model):
    graph = read_graph(model)
    assert read_plan(graph) == plan_memory(graph)


def test_planning_twice_gives_the_same_plan(model):
    assert plan_memory(model) == plan_memory(model)


def test_a_plan_is_written_into_intact_models_only(model):
    with pytest.raises(ConfigError, match="plan is None"):
        write_plan(model, None)
    for damaged in (b"no model", model[: len(model) // 2]):
        with pytest.raises(ModelError):
            write_plan(damaged, plan_memory(model))


def _moved(plan, name, offset):
    buffers = [dataclasses.replace(b, offset=offset) if b.name == name else b for b in plan.buffers]
    return dataclasses.replace(plan, buffers=tuple(buffers))


def test_a_plan_whose_buffers_would_overlap_is_not_read_from_a_model(model):
    plan = plan_memory(model)
    stream = next(b for b in plan.buffers if b.name == "patch_embed")
    damaged = write_plan(model, _moved(plan, "block_0_attention", stream.offset))
    with pytest.raises(PlanError, match="overlaps patch_embed"):
        read_plan(read_graph(damaged))


def _with_other_record(model, **changes):
    # TFLM's form stays as it is; that of our planner has its first buffer changed.
    first, *others = plan_memory(model).buffers
    buffers = (dataclasses.replace(first, **changes), *others)
    edited = unpack(model)
    record = dataclasses.replace(plan_memory(model), buffers=buffers).to_record()
    add_metadata(edited, RECORD_NAME, record)
    return read_graph(pack(edited, read_files(model)))


def test_plans_for_tflms_planner_and_ours_that_differ_are_not_read_from_a_model(model):
    free = plan_memory(model).head_bytes
    with pytest.raises(ModelError, match=r"two memory plans .* differ"):
        read_plan(_with_other_record(model, offset=free))


def test_the_plan_of_a_model_of_as_many_buffers_of_other_sizes_is_not_read(model):
    size = plan_memory(model).buffers[0].size
    with pytest.raises(ModelError, match="is for another model"):
        read_plan(_with_other_record(model, size=size - 16))


def _layers(code, *operators, tensors=4):
    """Returns a graph of operators of our own code: (inputs, output) of tensors of one shape."""
    shape = (1, 4, 8)
    made = tuple(Tensor(f"t{i}", shape, 32, "int8", b"", 1.0, 0) for i in range(tensors))
    found = tuple(Operator(code, inputs, (output,), {}) for inputs, output in operators)
    return ModelGraph(made, found, (0, 1), (tensors - 1,), {})


@pytest.mark.parametrize(("inputs", "overwritten"), [((0, 1), 1), ((0, 0), None)])
def test_a_layer_overwrites_its_residual_unless_that_is_what_it_multiplies(inputs, overwritten):
    graph = _layers("McuformerFullyConnected", (inputs, 2), tensors=3)
    in_place = operator_memory(graph, graph.operators[0]).in_place
    assert (None if in_place is None else in_place.tensor) == overwritten


@pytest.mark.parametrize(("later", "overwritten"), [(0, 1), (1, 0)])
def test_of_two_summands_the_one_that_nobody_reads_later_is_overwritten(later, overwritten):
    graph = _layers("McuformerAdd", ((0, 1), 2), ((2, later), 3))
    assert operator_memory(graph, graph.operators[0]).in_place.tensor == overwritten


@pytest.mark.parametrize("delta", [16, -16, 1])
def test_every_shift_of_a_buffer_into_a_live_one_is_refused(model, delta):
    graph, plan = read_graph(model), plan_memory(model)
    stream = next(b for b in plan.buffers if b.name == "patch_embed")
    reader = next(b for b in plan.buffers if b.name == "block_0_attention")
    with pytest.raises(PlanError):
        verify_plan(_moved(plan, reader.name, stream.offset + delta), graph)


def test_overwriting_a_value_that_is_read_again_is_refused(model):
    graph, plan = read_graph(model), plan_memory(model)
    stream = next(b for b in plan.buffers if b.name == "patch_embed")
    # The context on the residual stream, which the projection still reads.
    with pytest.raises(PlanError, match="overlaps patch_embed"):
        verify_plan(_moved(plan, "block_0_attention", stream.offset), graph)


def test_scratch_on_a_live_tensor_is_refused(model):
    graph, plan = read_graph(model), plan_memory(model)
    stream = next(b for b in plan.buffers if b.name == "patch_embed")
    with pytest.raises(PlanError, match="scratch"):
        verify_plan(_moved(plan, "block_0_attention/scratch", stream.offset), graph)


def test_missing_place_is_refused(model):
    graph, plan = read_graph(model), plan_memory(model)
    fewer = dataclasses.replace(plan, buffers=plan.buffers[1:])
    with pytest.raises(PlanError, match="no place"):
        verify_plan(fewer, graph)


def test_greedy_fills_gaps_and_keeps_planned_offsets():
    # Planned: [0, 32) and [64, 96), alive together; online: 16 and 48 bytes.
    found = greedy_offsets(
        [(32, 0, 2), (32, 1, 1), (16, 1, 1), (48, 1, 1), (48, 5, 5)], [0, 64, None, None, None]
    )
    assert found == [0, 64, 32, 96, 0]
    # Of equals the later one first; those that meet at one operator lie apart.
    assert greedy_offsets([(16, 0, 1), (16, 1, 2), (16, 2, 3)], [None] * 3) == [0, 16, 0]
    assert greedy_offsets([(16, 0, 0), (16, 0, 0)], [None, None]) == [16, 0]


@pytest.mark.parametrize("cut", [0, 3, 8, 40, 1000, 0.3, 0.7, 0.95])
def test_model_cut_short_is_an_error_of_ours(model, cut):
    with pytest.raises(ModelError):
        read_graph(model[: cut if isinstance(cut, int) else int(cut * len(model))])


def test_damaged_models_raise_errors_of_ours_or_are_read(model):
    rng = np.random.default_rng(0)
    structure = len(model) - 8000  # what follows the weights: tensors, operators, metadata
    for _ in range(150):
        damaged = bytearray(model)
        for position in rng.integers(structure, len(model), 4):
            damaged[position] = rng.integers(256)
        with contextlib.suppress(ModelError, PlanError):
            read_plan(read_graph(bytes(damaged)))


def test_picture_is_drawn(model, tmp_path):
    for name in ("map.png", "map.svg"):
        draw_plan(plan_memory(model), tmp_path / name, budget=6000)
        assert (tmp_path / name).stat().st_size > 5000


def test_picture_says_that_it_shows_the_head_and_not_the_whole_arena(model, tmp_path):
    plan = plan_memory(model)
    draw_plan(plan, tmp_path / "map.svg")
    draw_plan(plan, tmp_path / "titled.svg", title="model.tflite")
    # Beside each text's outlines SVG has the text as a comment.
    told = f"head of the arena, {plan.head_bytes:,} bytes"
    assert f"<!-- {told} -->" in (tmp_path / "map.svg").read_text()
    assert f"<!-- model.tflite: {told} -->" in (tmp_path / "titled.svg").read_text()


@pytest.mark.parametrize("image", ["whole", "strips"])
def test_skeleton_has_the_buffers_of_the_converted_model(
    quantized, architecture, fashion_mnist, image
):
    converted = read_graph(convert(quantized, fashion_mnist.labels, image=image))
    skeleton = skeleton_graph(architecture, image)
    wanted, found = ([_without_index(b) for b in find_buffers(g)] for g in (converted, skeleton))
    assert found == wanted
    assert plan_memory(skeleton).head_bytes == plan_memory(converted).head_bytes


def _without_index(buffer):
    return (
        buffer.name, buffer.size, buffer.first_operator, buffer.last_operator, buffer.walk,
        buffer.tensor is None, buffer.overwrites is None,
    )  # fmt: skip


@pytest.mark.parametrize("pooling", ["mean", "class_token"])
def test_the_papers_network_with_a_convolutional_stem_takes_at_most_128_kib_in_strips(pooling):
    architecture = dataclasses.replace(paper_architecture(), stem="conv", pooling=pooling)
    graph = skeleton_graph(architecture, "strips")
    stem, buffers = operator_memory(graph, graph.operators[0]), find_buffers(graph)
    assert sum(stem.scratch) <= 40 * 1024
    assert buffers[0].size == STRIP_ROWS * 240 * 3
    assert plan_memory(graph).head_bytes == head_bytes(architecture, "strips")
    assert arena_bytes(architecture, "strips") <= 128 * 1024


def test_budget_of_two_regions_is_what_the_planner_can_fill():
    rng, found = np.random.default_rng(5), {True: 0, False: 0}
    while min(found.values()) < 8:
        network = (SearchSpace(), FASHION_MNIST_SPACE)[rng.integers(2)].sample(rng)
        total, share = head_bytes(network) * rng.uniform(1, 1.2), rng.uniform(0.5, 0.8)
        sizes = [int(total * part) // 16 * 16 for part in (share, 1 - share)]
        regions = tuple(SramRegion(f"ram{i}", i << 28, size) for i, size in enumerate(sizes))
        fits = fits_regions(network, sizes)
        if found[fits] == 8:
            continue
        found[fits] += 1
        board = Board("two-regions", "cortex-m4", regions, 10**7)
        outcome = contextlib.nullcontext() if fits else pytest.raises(BudgetError)
        with outcome:
            plan_memory(skeleton_graph(network), board)
