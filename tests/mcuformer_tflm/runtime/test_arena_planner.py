"""The C++ arena planner inside TFLM: it follows good plans and refuses all others."""

import ctypes
import dataclasses
import mmap
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer_tflm import MicroInterpreter, convert, plan_memory, quantize_images
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ConfigError, ModelError
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.plan import write_plan
from mcuformer_tflm.plan.cortex_m import arena_content
from mcuformer_tflm.plan.memory_plan import METADATA_NAME, RECORD_NAME
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.runtime import library
from mcuformer_tflm.runtime.arena_interpreter import ArenaInterpreter, allocate
from mcuformer_tflm.runtime.tflm import open_interpreter
from mcuformer_tflm.search.board import Board, SramRegion
from mcuformer_tflm.tflite.file import add_metadata, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import read_graph

_ARENA = 1 << 16
_GUARD = 64
_HEADER = 16


@pytest.fixture(scope="module")
def image(fashion_mnist):
    return quantize_images(fashion_mnist.test_images[:1])


@pytest.fixture(scope="module")
def wanted(model, image):
    stock = open_interpreter(model, _ARENA)
    stock.set_input(image, 0)
    stock.invoke()
    return stock.get_output(0)


def _answer(interpreter, image):
    interpreter.set_input(image, 0)
    interpreter.invoke()
    return interpreter.get_output(0)


def _open(model, size=_ARENA):
    (arena,) = allocate(size)
    return ArenaInterpreter(model, arena)


def _with_record(model, record, name=RECORD_NAME):
    edited = unpack(model)
    add_metadata(edited, name, record)
    return pack(edited, read_files(model))


def _sealed(header, body):
    """Returns a record whose checksum is right, whatever it says."""
    return header + struct.pack("<I", zlib.crc32(header + body)) + body


def test_both_planners_give_the_same_bytes(model, fashion_mnist):
    images = quantize_images(fashion_mnist.test_images[:8])
    answers = [MicroInterpreter(model, planner=name).run(images) for name in ("mcuformer", "tflm")]
    np.testing.assert_array_equal(*answers)


def test_an_unknown_planner_is_refused_with_the_known_ones(model):
    with pytest.raises(ConfigError, match="'mcuformer' and 'tflm'"):
        MicroInterpreter(model, planner="linear")


def test_tflm_takes_the_head_that_the_plan_says(model):
    assert _open(model).head == plan_memory(model).head_bytes


@pytest.mark.parametrize("part", ["header", "body", "checksum"])
def test_a_corrupted_plan_is_refused_before_the_first_invoke(model, part):
    record = bytearray(plan_memory(model).to_record())
    positions = {"header": range(12), "checksum": range(12, 16), "body": range(16, len(record), 7)}
    for position in positions[part]:
        damaged = bytearray(record)
        damaged[position] ^= 0x10
        with pytest.raises(
            ModelError, match=r"The memory plan .*(damaged|version|cut short|region)"
        ):
            _open(_with_record(model, bytes(damaged)))


def test_no_byte_is_written_outside_the_arena_by_a_refused_plan(model):
    record = plan_memory(model).to_record()
    (block,) = allocate(_ARENA + 2 * _GUARD)
    block[:] = 0x5A
    with pytest.raises(ModelError):
        ArenaInterpreter(_with_record(model, record[:-1]), block[_GUARD:-_GUARD])
    assert (block[:_GUARD] == 0x5A).all()
    assert (block[-_GUARD:] == 0x5A).all()


def test_an_absent_plan_is_refused(model):
    edited = unpack(model)
    edited.metadata = [m for m in edited.metadata if m.name.decode() != RECORD_NAME]
    with pytest.raises(ModelError, match="The memory plan is absent"):
        _open(pack(edited, read_files(model)))


@pytest.fixture(scope="module")
def foreign(fashion_mnist):
    other = Architecture(28, 1, 10, 7, 0.8, 16, 48, (2, 3), (2.0, 3.0))
    network = build_subnet(other).quantized_copy([np.zeros((1, 28, 28, 1), np.float32)])
    return convert(network, fashion_mnist.labels)


def test_the_plan_of_another_model_is_refused(model, foreign):
    for target, source in ((model, foreign), (foreign, model)):
        edited = unpack(target)
        edited.metadata = [m for m in edited.metadata if m.name.decode() != METADATA_NAME]
        bare = pack(edited, read_files(target))
        with pytest.raises(ModelError, match=r"is for (another|a) model|differs from TFLM"):
            _open(_with_record(bare, plan_memory(source).to_record()))


def test_plans_of_tflm_and_ours_that_differ_are_refused(model):
    plan = plan_memory(model)
    moved = dataclasses.replace(
        plan, buffers=tuple(dataclasses.replace(b, offset=b.offset + 16) for b in plan.buffers)
    )
    with pytest.raises(ModelError, match=f"differs from TFLM's .*{METADATA_NAME}"):
        _open(_with_record(model, moved.to_record()))


@settings(max_examples=40)
@given(st.data())
def test_a_sealed_plan_with_a_mutated_field_is_refused_or_gives_the_same_answer(
    model, image, wanted, data
):
    plan = plan_memory(model)
    record = plan.to_record()
    body = bytearray(record[_HEADER:])
    entry = 16 * data.draw(st.integers(0, len(plan.buffers) - 1))
    field, value = data.draw(
        st.one_of(
            st.tuples(st.just(("<i", 0)), st.integers(-16, 5000)),
            st.tuples(st.just(("<i", 4)), st.integers(-1, 300).map(lambda n: 16 * n)),
            st.tuples(st.just(("<H", 8)), st.integers(0, 30)),
            st.tuples(st.just(("<H", 10)), st.integers(0, 30)),
            st.tuples(st.just(("<H", 12)), st.integers(0, 65535)),
            st.tuples(st.just(("<B", 14)), st.integers(0, 255)),
            st.tuples(st.just(("<B", 15)), st.integers(0, 255)),
        )
    )
    struct.pack_into(field[0], body, entry + field[1], value)
    edited = _with_record(model, _sealed(record[:12], bytes(body)))
    # TFLM's own plan follows, as one who forges both would see to it.
    offsets = np.frombuffer(plan.to_metadata(), "<i4").copy()
    tensors = [b.tensor for b in plan.buffers if b.tensor is not None]
    if field[1] == 4 and entry // 16 < len(tensors):
        offsets[3 + tensors[entry // 16]] = value
    edited = _with_record(edited, offsets.tobytes(), METADATA_NAME)
    (block,) = allocate(_ARENA + 2 * _GUARD)
    block[:] = 0x5A
    try:
        found = _answer(ArenaInterpreter(edited, block[_GUARD:-_GUARD]), image)
    except ModelError:
        pass
    else:
        np.testing.assert_array_equal(found, wanted)
    assert (block[:_GUARD] == 0x5A).all()
    assert (block[-_GUARD:] == 0x5A).all()


def test_scratch_that_a_sealed_plan_lays_over_a_tensor_is_refused(model):
    plan = plan_memory(model)
    record = plan.to_record()
    tensors = [b for b in plan.buffers if b.tensor is not None]
    tried = 0
    for number, buffer in enumerate(plan.buffers[len(tensors) :], len(tensors)):
        for other, tensor in enumerate(tensors):
            if tensor.last_operator != buffer.first_operator:
                continue
            body = bytearray(record[_HEADER:])
            # Permitted as an output's is: from the same start, what is read last there, in a walk.
            struct.pack_into("<i", body, 16 * number + 4, tensor.offset)
            struct.pack_into("<HBB", body, 16 * number + 12, other, 0, 1)
            with pytest.raises(ModelError, match="lets scratch take the place of a tensor"):
                _open(_with_record(model, _sealed(record[:12], bytes(body))))
            tried += 1
    assert tried > 4


_FREE = 1 << 14  # where nothing of the model lies


def _changed(plan, **changes):
    """Returns a plan with other fields of some buffers, by their names."""
    assert changes.keys() <= {b.name for b in plan.buffers}
    buffers = (dataclasses.replace(b, **changes.get(b.name, {})) for b in plan.buffers)
    return dataclasses.replace(plan, buffers=tuple(buffers))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # A context that overwrites the stream, which is read again, and whose sum lies elsewhere.
        (lambda at: {"block_0_attention": {
            "offset": at["patch_embed"].offset, "overwrites": at["patch_embed"].tensor,
            "walk": "ascending"},
            "block_0_projection": {"offset": _FREE, "overwrites": None, "walk": None},
            "block_0_fc2_v": {"overwrites": None, "walk": None}},
         "lets two live buffers share bytes"),
        (lambda at: {"block_0_projection": {"walk": None}}, "lets two live buffers share bytes"),
        (lambda at: {"patch_embed": {"offset": _FREE, "overwrites": None, "walk": None},
                     "block_0_projection": {"offset": _FREE + 16}},
         "lets two live buffers share bytes"),
        # One that meets its reader at a single operator.
        (lambda at: {"block_0_projection": {"offset": at["block_0_attention"].offset,
                                            "overwrites": None, "walk": None}},
         "lets two live buffers share bytes"),
        (lambda at: {"block_0_attention/scratch": {"offset": _FREE + 8}},
         "holds a buffer that cannot be"),
        (lambda at: {"block_0_attention": {
            "offset": _FREE, "last_operator": at["block_0_attention"].last_operator + 1}},
         "is for another model"),
    ],
    ids=["read again", "not walked", "another start", "at once", "alignment", "lifetime"],
)  # fmt: skip
def test_a_sealed_plan_with_one_thing_wrong_is_refused_for_it(model, change, reason):
    plan = plan_memory(model)
    forged = _changed(plan, **change({b.name: b for b in plan.buffers}))
    edited = _with_record(model, forged.to_record())
    with pytest.raises(ModelError, match=f"The memory plan {reason}"):
        _open(_with_record(edited, forged.to_metadata(), METADATA_NAME))


def test_a_sealed_plan_of_more_or_fewer_tensors_is_refused(model):
    plan = plan_memory(model)
    tensors = [b for b in plan.buffers if b.tensor is not None]
    scratch = plan.buffers[len(tensors) :]
    ghost = dataclasses.replace(tensors[-1], tensor=plan.num_tensors, offset=_FREE, overwrites=None)
    for buffers, reason in (
        ([*tensors[:-1], *scratch], "is for a model of fewer tensors"),
        ([*tensors, ghost, *scratch], "is for another model: a tensor's size"),
    ):
        forged = dataclasses.replace(plan, buffers=tuple(buffers))
        with pytest.raises(ModelError, match=reason):
            _open(_with_record(model, forged.to_record()))
    record = plan.to_record()
    header = bytearray(record[:12])
    struct.pack_into("<H", header, 8, len(plan.buffers) + 1)
    with pytest.raises(ModelError, match="is cut short"):
        _open(_with_record(model, _sealed(bytes(header), record[_HEADER:])))


def test_scratch_that_the_plan_does_not_know_is_fitted_around_it(model, image, wanted):
    plan = plan_memory(model)
    tensors = tuple(b for b in plan.buffers if b.tensor is not None)
    bare = dataclasses.replace(plan, buffers=tensors)
    interpreter = _open(_with_record(model, bare.to_record()))
    assert plan.head_bytes <= interpreter.head <= 1.2 * plan.head_bytes
    np.testing.assert_array_equal(_answer(interpreter, image), wanted)


def test_the_plan_that_needs_more_than_the_arena_is_refused(model):
    plan = plan_memory(model)
    with pytest.raises(ModelError, match=r"does not fit the memory|arena of"):
        _open(model, plan.head_bytes // 16 * 16 + 1600)


@pytest.fixture(scope="module")
def split(model):
    """The model under a plan that needs two regions."""
    plan = plan_memory(model)
    first = plan.head_bytes // 2 // 16 * 16
    regions = (SramRegion("sram", 0x20000000, first), SramRegion("ccm", 0x10000000, first + 512))
    split_plan = plan_memory(model, Board("split", "cortex-m4", regions, 1 << 20))
    assert split_plan.num_regions == 2
    return write_plan(model, split_plan)


def test_two_regions_give_the_same_answer_and_write_nothing_beside_them(split, image, wanted):
    plan = read_plan(read_graph(split))
    blocks = allocate(_ARENA + 2 * _GUARD, plan.region_bytes(1) + 2 * _GUARD)
    for block in blocks:
        block[:] = 0x5A
    interpreter = ArenaInterpreter(split, *(block[_GUARD:-_GUARD] for block in blocks))
    np.testing.assert_array_equal(_answer(interpreter, image), wanted)
    assert interpreter.head == plan.region_bytes(0)
    assert interpreter.second_region == plan.region_bytes(1) > 0
    assert (blocks[1][_GUARD:-_GUARD] != 0x5A).any()
    for block in blocks:
        assert (block[:_GUARD] == 0x5A).all()
        assert (block[-_GUARD:] == 0x5A).all()


def test_regions_that_start_anywhere_are_used_from_their_first_multiple_of_16_on(
    split, image, wanted
):
    needed = read_plan(read_graph(split)).region_bytes(1)
    arena, block = allocate(_ARENA + 16, needed + 64)
    lost = 11
    second = block[16 - lost : 16 + needed]
    interpreter = ArenaInterpreter(split, arena[16 - lost :], second)
    np.testing.assert_array_equal(_answer(interpreter, image), wanted)
    address = library.load().McuformerTensorAddress
    places = [address(interpreter._handle, index) for index in range(100)]
    assert all(place % 16 == 0 for place in places if place is not None)
    starts = arena.ctypes.data + 16, block.ctypes.data + 16
    assert min(place for place in places if place is not None) in starts
    with pytest.raises(ModelError, match="does not fit the memory"):
        ArenaInterpreter(split, arena, second[:-1])


def _head_with_scratch_fitted(tensors, scratch):
    """Returns the head where each scratch lies as low as its operator's tensors let it."""
    head = max((b.end for b in tensors if b.region == 0), default=0)
    for one in scratch:
        beside = [b for b in tensors if b.region == 0
                  and b.first_operator <= one.first_operator <= b.last_operator]  # fmt: skip
        ends = sorted({0, *(b.end for b in beside)})
        start = next(
            end for end in ends
            if all(b.end <= end or end + one.size <= b.offset for b in beside)
        )  # fmt: skip
        head = max(head, start + one.size)
    return head


def test_scratch_is_fitted_around_what_lies_in_its_own_region(split, image, wanted):
    plan = read_plan(read_graph(split))
    tensors = tuple(b for b in plan.buffers if b.tensor is not None)
    bare = _with_record(split, dataclasses.replace(plan, buffers=tensors).to_record())
    arena, second = allocate(_ARENA, plan.region_bytes(1))
    interpreter = ArenaInterpreter(bare, arena, second)
    assert interpreter.head == _head_with_scratch_fitted(tensors, plan.buffers[len(tensors) :])
    np.testing.assert_array_equal(_answer(interpreter, image), wanted)


def test_scratch_is_not_fitted_into_a_gap_that_is_too_small(model, image, wanted):
    plan = plan_memory(model)
    # All tensors lie lower, so that the gap below them is too small for the largest scratch.
    tensors = tuple(
        dataclasses.replace(b, offset=b.offset - 16) for b in plan.buffers if b.tensor is not None
    )
    scratch = plan.buffers[len(tensors) :]
    assert 0 < min(b.offset for b in tensors) < max(b.size for b in scratch)
    bare = dataclasses.replace(plan, buffers=tensors)
    edited = _with_record(model, bare.to_record())
    interpreter = _open(_with_record(edited, bare.to_metadata(), METADATA_NAME))
    assert interpreter.head == _head_with_scratch_fitted(tensors, scratch)
    np.testing.assert_array_equal(_answer(interpreter, image), wanted)


def test_the_second_region_may_lie_below_the_first_as_far_as_on_the_f427(split, image, wanted):
    apart = 0x20000000 - 0x10000000
    space = np.frombuffer(mmap.mmap(-1, apart + _ARENA + mmap.PAGESIZE), np.uint8)
    second, arena = space[:_ARENA], space[apart : apart + _ARENA]
    np.testing.assert_array_equal(_answer(ArenaInterpreter(split, arena, second), image), wanted)


def test_a_plan_of_two_regions_is_refused_where_there_is_one_or_too_little(split):
    with pytest.raises(ModelError, match="needs more regions of memory than given"):
        _open(split)
    arena, second = allocate(_ARENA, read_plan(read_graph(split)).region_bytes(1) - 16)
    with pytest.raises(ModelError, match="does not fit the memory"):
        ArenaInterpreter(split, arena, second)


def test_tflms_own_planner_runs_a_plan_of_two_regions_in_one(split, image, wanted):
    stock = open_interpreter(split, _ARENA)
    np.testing.assert_array_equal(_answer(stock, image), wanted)


@pytest.mark.parametrize("planner", ["mcuformer", "tflm"])
def test_the_head_of_a_plan_of_two_regions_is_known_for_either_planner(split, planner):
    graph = read_graph(split)
    plan = read_plan(graph)
    assert plan.head_bytes < plan.greedy_head_bytes
    content = arena_content(graph, plan, planner=planner)
    assert MicroInterpreter(split, planner=planner).arena_use.head == content.head


def test_micro_interpreter_opens_a_plan_of_two_regions(split, image, wanted):
    np.testing.assert_array_equal(MicroInterpreter(split).run(image), wanted)


@pytest.mark.parametrize(("moved", "refused"), [(3, False), (4, True), (255, True)])
def test_micro_interpreter_opens_a_plan_of_as_many_regions_as_the_planner_has(
    model, image, wanted, moved, refused
):
    plan = plan_memory(model)
    first, *rest = plan.buffers
    plan = dataclasses.replace(plan, buffers=(dataclasses.replace(first, region=moved), *rest))
    model = write_plan(model, plan)
    if refused:
        with pytest.raises(ModelError, match="needs more regions of memory than given"):
            MicroInterpreter(model)
    else:
        np.testing.assert_array_equal(MicroInterpreter(model).run(image), wanted)


def test_the_map_is_printed_buffer_by_buffer_and_operator_by_operator(model, capfd):
    _open(model).print_memory_plan()
    printed = capfd.readouterr().err
    plan, graph = plan_memory(model), read_graph(model)
    assert printed.count("bytes [") == len(plan.buffers)
    assert f"region 0, {plan.head_bytes} bytes" in printed
    rows = [line for line in printed.splitlines() if set(line[5:]) <= set("#=+.") and line[5:]]
    assert len(rows) == len(graph.operators) + 1
    assert sum("=" in row for row in rows) == len(
        {b.first_operator for b in plan.buffers if b.overwrites is not None}
    )


def _find_metadata():
    find = library.load().McuformerFindMetadata
    find.restype, find.argtypes = (
        ctypes.c_int64,
        [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p],
    )
    return find


def test_metadata_is_found_by_its_whole_name(model):
    find, size = _find_metadata(), len(plan_memory(model).to_record())
    assert find(model, len(model), RECORD_NAME.encode()) == size
    for name in (b"Absent", RECORD_NAME[:-1].encode(), f"{RECORD_NAME}s".encode()):
        assert find(model, len(model), name) == -1


def test_a_field_that_a_table_is_too_short_for_is_absent(model):
    # Metadata are the model's field 6, at 4 + 2 * 6 of the table of its fields.
    (root,) = struct.unpack_from("<I", model)
    fields = root - struct.unpack_from("<i", model, root)[0]
    for size, found in ((18, True), (17, False), (16, False)):
        shorter = bytearray(model)
        struct.pack_into("<H", shorter, fields, size)
        length = _find_metadata()(bytes(shorter), len(model), RECORD_NAME.encode())
        assert (length >= 0) == found


@settings(max_examples=60)
@given(st.data())
def test_metadata_of_a_damaged_model_is_found_or_not_without_a_stray_read(model, data):
    find = _find_metadata()
    damaged = bytearray(model)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.sampled_from([*range(64), *range(len(model) - 6000, len(model))]))
        damaged[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(model)))
    assert find(bytes(damaged), len(damaged), RECORD_NAME.encode()) <= len(model)
    assert find(bytes(damaged[:cut]), cut, RECORD_NAME.encode()) <= cut
