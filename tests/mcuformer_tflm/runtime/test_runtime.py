import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from flatbuffers import flexbuffers

from mcuformer_tflm import MicroInterpreter, convert, normalise, quantize_images
from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.keras_models.exceptions import (
    ConfigError,
    DataError,
    ModelError,
    PlanError,
    RuntimeVersionError,
)
from mcuformer_tflm.keras_models.subnet import build_subnet
from mcuformer_tflm.plan import plan_memory, write_plan
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.memory_plan import METADATA_NAME, RECORD_NAME
from mcuformer_tflm.plan.skeleton import skeleton_graph
from mcuformer_tflm.runtime import library, micro_interpreter
from mcuformer_tflm.runtime.model_twin import run_twin
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.schedule import choose_kept, kept_arena_bytes
from mcuformer_tflm.tflite.file import add_metadata, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import read_graph


@pytest.fixture(scope="module")
def images(fashion_mnist):
    return fashion_mnist.test_images[:32]


def test_whole_model_in_tflm_equals_the_twins_on_real_images(interpreter, images):
    found = interpreter.run(quantize_images(images))
    wanted = [run_twin(interpreter.graph, image[None])[0] for image in quantize_images(images)]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("schedule", ["kept", "paper"])
def test_every_schedule_gives_the_same_bytes(
    schedule, interpreter, quantized, images, fashion_mnist
):
    model = convert(quantized, fashion_mnist.labels, schedule=schedule)
    other = MicroInterpreter(model)
    source = quantize_images(images)
    found = other.run(source)
    np.testing.assert_array_equal(found, interpreter.run(source))
    np.testing.assert_array_equal(found[0], run_twin(other.graph, source[:1])[0])
    assert other.plan.head_bytes > interpreter.plan.head_bytes


def test_automatic_schedule_keeps_as_much_as_the_budget_has_room_for(
    quantized, architecture, fashion_mnist
):
    for kept in ((), (0,), (0, 1)):
        budget = kept_arena_bytes(architecture, kept)
        model = convert(quantized, fashion_mnist.labels, arena_budget=budget)
        graph = read_graph(model)
        norms = [op for op in graph.operators if op.code == "McuformerLayerNorm"]
        assert len(norms) == 1 + len(kept)
        assert cortex_m_arena_bytes(graph, plan_memory(graph)) == budget
    assert choose_kept(architecture, budget) == (0, 1)
    assert choose_kept(architecture, budget - 1) == (0,)


def test_model_of_whole_matrices_equals_the_twins_and_its_predicted_arena(
    architecture, images, fashion_mnist
):
    whole = dataclasses.replace(architecture, rank_ratio=None)
    network = build_subnet(whole)
    rng = np.random.default_rng(0)
    for weight in network.trainable_weights:
        weight.assign_add(0.02 * rng.standard_normal(weight.shape))
    quantized = network.quantized_copy([normalise(images)])
    interpreter = MicroInterpreter(convert(quantized, fashion_mnist.labels))
    source = quantize_images(images[:4])
    wanted = [run_twin(interpreter.graph, image[None])[0] for image in source]
    np.testing.assert_array_equal(interpreter.run(source), wanted)
    assert cortex_m_arena_bytes(interpreter.graph, interpreter.plan) == arena_bytes(whole)
    planned = plan_memory(skeleton_graph(whole))
    assert planned.head_bytes == interpreter.plan.head_bytes


def test_quantized_network_gives_the_logits_of_the_int8_run(interpreter, quantized, images):
    output = interpreter.graph.tensors[interpreter.graph.outputs[0]]
    logits = quantized(normalise(images)).numpy() / output.scale + output.zero_point
    np.testing.assert_array_equal(interpreter.run(quantize_images(images)), np.rint(logits))


def test_epsilon_is_counted_in_the_units_of_what_is_normalised(interpreter):
    graph = interpreter.graph
    normalising = [operator for operator in graph.operators if "epsilon" in operator.options]
    assert len(normalising) == 5  # attention and MLP of two blocks, and the last normalisation
    for operator in normalising:
        tokens = graph.tensors[operator.inputs[0]]
        # The operator adds it to the variance of width times the integers.
        real = 1e-6 * (tokens.shape[-1] / tokens.scale) ** 2
        assert operator.options["epsilon"] == pytest.approx(real, abs=0.51)


def test_progress_is_told_after_each_image(interpreter, images):
    seen = []
    interpreter.run(quantize_images(images[:3]), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_labels_and_architecture_come_from_the_file(interpreter, architecture, fashion_mnist):
    assert interpreter.labels == fashion_mnist.labels
    assert interpreter.architecture == architecture


def test_tflite_support_reads_its_metadata_back(model):
    from tensorflow_lite_support.metadata.python import metadata

    displayer = metadata.MetadataDisplayer.with_model_buffer(bytearray(model))
    assert displayer.get_packed_associated_file_list() == ["labels.txt"]
    assert '"mean"' in displayer.get_metadata_json()
    assert "128.0" in displayer.get_metadata_json()


def test_arena_as_small_as_told_is_enough_and_sixteen_less_is_not(model, interpreter):
    smallest = interpreter.arena_use.smallest_arena
    MicroInterpreter(model, arena_size=smallest)
    with pytest.raises(ModelError, match=f"arena of {smallest - 16:,} bytes"):
        MicroInterpreter(model, arena_size=smallest - 16)


@pytest.mark.parametrize("planner", ["mcuformer", "tflm"])
def test_too_small_an_arena_is_refused_with_tflms_reason_and_the_bytes_that_do(model, planner):
    takes = MicroInterpreter(model, planner=planner).arena_use.smallest_arena
    for size in (16, 1000, takes // 2, takes - 1):
        with pytest.raises(ModelError) as told:
            MicroInterpreter(model, arena_size=size, planner=planner)
        reason = r"(Failed to \w+ .*Requested: \d+, available \d+|Too many buffers|does not fit)"
        found = re.fullmatch(
            rf"TFLM refused the model with an arena of {size:,} bytes: .*{reason}.*\. "
            r"Give arena_size at least ([\d,]+): .*\.",
            str(told.value),
        )
        assert found, str(told.value)
    enough = int(found[2].replace(",", ""))
    MicroInterpreter(model, arena_size=enough, planner=planner)
    with pytest.raises(ModelError, match=found[2]):
        MicroInterpreter(model, arena_size=enough - 1, planner=planner)


@pytest.mark.parametrize("size", [0, -5, 1 << 40, 10.5, "many"])
def test_arena_size_that_is_no_number_of_bytes_is_refused_by_its_name(model, size):
    with pytest.raises(ConfigError, match="arena_size is"):
        MicroInterpreter(model, arena_size=size)


def test_model_of_a_larger_arena_than_usual_opens_without_being_told(model, monkeypatch):
    monkeypatch.setattr(micro_interpreter, "_AMPLE_ARENA", 4096)
    assert MicroInterpreter(model).arena_use.total > 4096


def test_operator_that_refuses_its_tensors_is_told_in_its_own_words(model):
    edited = unpack(model)
    mlp = next(
        op for op in edited.subgraphs[0].operators
        if edited.operatorCodes[op.opcodeIndex].customCode == b"McuformerMlp"
    )  # fmt: skip
    options = flexbuffers.Loads(bytearray(mlp.customOptions)) | {"output_zero_point": 999}
    mlp.customOptions = np.frombuffer(flexbuffers.Dumps(options), np.uint8)
    with pytest.raises(ModelError, match=r"bytes: McuformerMlp: [^/\n]*\.$"):
        MicroInterpreter(pack(edited, read_files(model)))


def test_wrong_dtype_and_shape_are_refused_with_what_is_wanted(interpreter, images):
    with pytest.raises(DataError, match=r"uint8.*int8.*quantize_images"):
        interpreter.run(images)
    with pytest.raises(DataError, match=r"float32.*int8.*quantize_images"):
        interpreter.run(normalise(images))
    for run in (lambda x: run_twin(interpreter.graph, x), lambda x: run_firmware(
        Path("any.elf"), "cortex-m4", x, 10
    )):  # fmt: skip
        for given in (images[:1], np.int32(images[:1])):
            with pytest.raises(DataError, match=f"images are {given.dtype}; the model takes int8"):
                run(given)
    with pytest.raises(DataError, match=r"\(n, 28, 28, 1\)"):
        interpreter.run(np.zeros((2, 28, 28), np.int8))


def _without(model, name):
    edited = unpack(model)
    edited.metadata = [m for m in edited.metadata if m.name.decode() != name]
    return pack(edited, read_files(model))


@pytest.mark.parametrize("name", [METADATA_NAME, RECORD_NAME])
def test_model_without_our_metadata_is_refused_by_its_name(model, name):
    with pytest.raises(ModelError, match=name):
        MicroInterpreter(_without(model, name))


def test_plan_that_overlaps_is_refused_before_it_runs(model, interpreter):
    edited = unpack(model)
    offsets = np.zeros(len(interpreter.graph.tensors), "<i4")
    plan = np.concatenate([[1, 0, len(offsets)], offsets]).astype("<i4").tobytes()
    add_metadata(edited, METADATA_NAME, plan)
    with pytest.raises((PlanError, ModelError)):
        MicroInterpreter(pack(edited, read_files(model)))


def test_writing_a_plan_keeps_labels_and_answers(model, interpreter, images):
    again = MicroInterpreter(write_plan(model, plan_memory(model)))
    assert again.labels == interpreter.labels
    source = quantize_images(images[:2])
    np.testing.assert_array_equal(again.run(source), interpreter.run(source))


def test_model_without_labels_is_refused(model):
    with pytest.raises(ModelError, match="no labels"):
        MicroInterpreter(pack(unpack(model)))


def test_missing_file_is_refused_by_its_path(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.tflite"):
        MicroInterpreter(tmp_path / "nowhere.tflite")


def test_model_that_tflm_refuses_does_not_end_this_process(model):
    edited = unpack(model)
    # An option that the adapter's Prepare rejects.
    operator = edited.subgraphs[0].operators[0]
    operator.customOptions = np.zeros_like(operator.customOptions)
    with pytest.raises(ModelError):
        MicroInterpreter(pack(edited, read_files(model)))


def test_other_version_of_tflm_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(library.importlib.metadata, "version", lambda name: "0.dev1")
    with pytest.raises(RuntimeVersionError, match=r"0\.dev1.*pip install tflite-micro=="):
        library._load.__wrapped__()


def test_library_that_does_not_load_is_blamed_itself_and_no_model(monkeypatch, tmp_path):
    path = tmp_path / "broken.so"
    path.write_bytes(b"no library")
    monkeypatch.setenv("MCUFORMER_LIBRARY", str(path))
    with pytest.raises(RuntimeVersionError, match=r"broken\.so does not load .*make setup"):
        library._load.__wrapped__()


def test_unbuilt_library_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(library, "_FILE", "absent.so")
    with pytest.raises(RuntimeVersionError, match="make setup"):
        library.find_library()
