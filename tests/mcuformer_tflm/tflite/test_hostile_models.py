"""A model's file may be anybody's: what its parts do not agree on is refused where it is read."""

import contextlib
import copy
import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
from flatbuffers import Builder, flexbuffers

from mcuformer_tflm import MicroInterpreter, plan_memory
from mcuformer_tflm.bench.models import one_block_vit, random_model
from mcuformer_tflm.convert.metadata import (
    ARCHITECTURE_NAME,
    find_architecture,
    read_output_labels,
)
from mcuformer_tflm.firmware.source import write_source
from mcuformer_tflm.keras_models.exceptions import DataError, McuformerError, ModelError
from mcuformer_tflm.plan import write_plan
from mcuformer_tflm.plan.cost import estimate_graph_cost
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.runtime.input_source import input_source
from mcuformer_tflm.runtime.micro_interpreter import read_our_graph
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.tflite.file import add_metadata, pack, read_files, unpack
from mcuformer_tflm.tflite.model_graph import read_graph
from mcuformer_tflm.tflite.schema import schema


@pytest.fixture(scope="module")
def models(fashion_mnist):
    # Every operator of a subnet, with every input that is optional.
    full = dataclasses.replace(
        one_block_vit(), image_size=16, channels=1, stem="conv", patch_size=4, num_classes=10,
        pooling="class_token", relative_position=True, rank_ratio=0.5, low_rank_attention=True,
    )  # fmt: skip
    plain = dataclasses.replace(one_block_vit(), image_size=16, channels=1, patch_size=4)
    images = fashion_mnist.train_images[:2]
    return [random_model(architecture, images) for architecture in (full, plain)]


def _edited(model, edit):
    content = unpack(model)
    edit(content)
    return pack(content, read_files(model))


def _of(content, code):
    graph = content.subgraphs[0]
    index = [c.customCode for c in content.operatorCodes].index(code)
    return next(op for op in graph.operators if op.opcodeIndex == index)


def _with_options(operator, change):
    options = flexbuffers.Loads(bytearray(np.asarray(operator.customOptions).tobytes()))
    change(options)
    operator.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(options)), np.uint8)


def _variable(content):
    content.subgraphs[0].tensors[_of(content, b"McuformerMlp").inputs[1]].isVariable = True


def _other_builtin(content):
    code = next(c for c in content.operatorCodes if c.customCode == b"McuformerMlp")
    code.builtinCode = schema.BuiltinOperator.GATHER


def _scale(content):
    tensor = content.subgraphs[0].tensors[_of(content, b"McuformerMlp").outputs[0]]
    tensor.quantization.scale = np.array([np.nan], np.float32)


def _long_name(content):
    content.subgraphs[0].tensors[0].name = b"x" * 2000


def _option(code, name, value):
    def edit(content):
        _with_options(_of(content, code), lambda options: options.update({name: value}))

    return edit


def _without(code, position):
    def edit(content):
        operator = _of(content, code)
        operator.inputs = np.delete(operator.inputs, position)

    return edit


def _architecture(text):
    return lambda content: add_metadata(content, ARCHITECTURE_NAME, text)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (_variable, "is a variable"),
        (_other_builtin, "both McuformerMlp and builtin"),
        (_scale, "has the scale nan"),
        (_long_name, "name has 2000 characters"),
        (_option(b"McuformerAttention", "head_dim", 0), "head_dim=0; allowed are 1 to"),
        (_option(b"McuformerMlp", "block_tokens", 0), "block_tokens=0; allowed are 4 to 4096 in"),
        (_option(b"McuformerFullyConnected", "block_tokens", 6), "block_tokens=6; allowed are 4"),
        (_option(b"McuformerMlp", "weight_bits", 2**31 - 1), r"weight_bits=2147483647; allowed"),
        (_option(b"McuformerAttention", "grid", 0), "grid=0; allowed are 1 to"),
        (_option(b"McuformerConvStem", "patch_size", 5), r"patch_size=5; allowed are \(4, 8"),
        (_option(b"McuformerConvStem", "channels_2", -4), "channels_2=-4"),
        (_option(b"McuformerMlp", "hidden_zero_point", "x"), "no number of 32 bits"),
        (_option(b"McuformerMlp", "hidden_zero_point", 2**40), "no number of 32 bits"),
        (_without(b"McuformerConvStem", 1), r"as its stem weights; it takes int8"),
        (_without(b"McuformerConvStem", 2), r"as its stem constants; it takes int32 of 2 .* of 3"),
        (_architecture(b"{}"), "McuformerArchitecture is damaged"),
        (_architecture(b'{"mlp_ratio": [' + b"9" * 400 + b"]}"), "McuformerArchitecture is damag"),
        (_architecture(b"[" * 100_000), "McuformerArchitecture is damaged"),
    ],
)
def test_what_no_model_of_ours_has_is_refused(models, edit, told):
    with pytest.raises(ModelError, match=told):
        find_architecture(read_our_graph(_edited(models[0], edit)))


def test_an_architecture_must_be_that_of_the_tensors(models):
    fields = json.loads(read_graph(models[1]).metadata[ARCHITECTURE_NAME])
    text = json.dumps(fields | {"image_size": [16, 20]}).encode()
    with pytest.raises(ModelError, match=r"is another model's.*\(16, 20, 1\)"):
        find_architecture(read_graph(_edited(models[1], _architecture(text))))


@pytest.mark.parametrize("which", [0, 1])
def test_an_operator_without_one_of_its_parts_ends_in_an_error_of_ours_or_a_model(models, which):
    content = unpack(models[which])
    refused = tried = 0

    def read():
        nonlocal refused, tried
        tried += 1
        model = pack(content, {})
        try:
            graph = read_our_graph(model)
            write_source(model, graph, read_plan(graph), set())
            estimate_graph_cost(graph, get_board("stm32f746"))
        except McuformerError:
            refused += 1

    for operator in content.subgraphs[0].operators:
        inputs, options = list(operator.inputs), operator.customOptions
        for position in range(len(inputs)):
            operator.inputs = np.array([*inputs[:position], -1, *inputs[position + 1 :]])
            read()
            operator.inputs = np.array(inputs[:position])
            read()
            # Left out, those behind it move up.
            operator.inputs = np.array([*inputs[:position], *inputs[position + 1 :]])
            read()
        operator.inputs = np.array([*inputs, inputs[0]])
        read()
        operator.inputs = np.array(inputs)
        if options is not None:
            for name in flexbuffers.Loads(bytearray(np.asarray(options).tobytes())):
                _with_options(operator, lambda found, name=name: found.pop(name))
                read()
                operator.customOptions = options
    for tensor in content.subgraphs[0].tensors:
        shape = tensor.shape
        tensor.shape = np.array(list(shape)[:-1], np.int32)
        read()
        tensor.shape = shape
    assert tried > 100
    assert refused > 0.5 * tried


def test_files_that_unpack_to_much_more_than_labels_are_refused(models):
    archive = io.BytesIO(models[0])
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as files:
        files.writestr("more.txt", bytes(1 << 25))
    assert len(archive.getvalue()) < len(models[0]) + 100_000
    with pytest.raises(ModelError, match=r"files of 33,554,\d+ bytes"):
        read_output_labels(archive.getvalue())


def _longer(model, blocks):
    """The model with its MLP so many times more, all outputs of one name."""
    content = unpack(model)
    graph, code = content.subgraphs[0], _of(content, b"McuformerMlp")
    place, last = graph.operators.index(code), code.outputs[0]
    more = []
    for _ in range(blocks):
        graph.tensors.append(copy.copy(graph.tensors[last]))
        graph.tensors[-1].name = b"x"
        more.append(copy.copy(code))
        more[-1].inputs = np.array([last, *code.inputs[1:]], np.int32)
        last = len(graph.tensors) - 1
        more[-1].outputs = np.array([last], np.int32)
    for operator in graph.operators[place + 1 :]:
        renamed = [last if index == code.outputs[0] else index for index in operator.inputs]
        operator.inputs = np.array(renamed, np.int32)
    graph.operators[place + 1 : place + 1] = more
    return pack(content, read_files(model))


def test_a_model_of_hundreds_of_operators_opens_though_tflm_spoils_too_small_arenas(
    models,
):
    model = _longer(models[1], 150)
    model = write_plan(model, plan_memory(model))
    interpreter = MicroInterpreter(model)
    assert interpreter.arena_use.smallest_arena > interpreter.arena_use.total
    graph = read_our_graph(model)
    assert write_source(model, graph, read_plan(graph), set()).model.count("run_x_") >= 149


def test_a_model_of_more_operators_than_any_of_ours_is_refused(models):
    with pytest.raises(ModelError, match=r"has 2,\d+ operators; 2,048 are allowed"):
        read_graph(_longer(models[1], 2048))


def test_bytes_that_look_like_the_end_of_an_archive_do_not_lead_astray_what_is_appended(models):
    # Places of an archive's list beyond 32 bits, as fuzzing found them.
    end = b"PK\x05\x06" + b"\0\0\0\0\1\0\1\0" + b"\xff" * 8 + b"\0\0"
    content = unpack(models[1])
    add_metadata(content, "Other", end)
    packed = pack(content, {"labels.txt": b"a\n"})
    assert read_files(packed) == {"labels.txt": b"a\n"}
    assert read_graph(packed).metadata["Other"] == end


def test_no_damage_to_the_archive_of_labels_leads_to_another_error():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr(zipfile.ZipInfo("labels.txt"), b"one\ntwo\n" * 30, zipfile.ZIP_DEFLATED)
    sound = archive.getvalue()
    assert list(read_files(sound)) == ["labels.txt"]
    refused = 0
    for place in range(len(sound)):
        for value in (0, 1, 8, 0x7F, 0xFF):
            damaged = bytearray(sound)
            damaged[place] ^= value
            with contextlib.suppress(ModelError):
                refused += not read_files(bytes(damaged))
    assert refused > 100


def test_a_file_that_names_the_same_bytes_over_and_over_is_refused():
    # One vector, a thousand buffers: such a file no packer of ours writes.
    builder = Builder(1 << 16)
    data = builder.CreateByteVector(bytes(10_000))
    schema.BufferStart(builder)
    schema.BufferAddData(builder, data)
    buffer = schema.BufferEnd(builder)
    schema.ModelStartBuffersVector(builder, 1000)
    for _ in range(1000):
        builder.PrependUOffsetTRelative(buffer)
    buffers = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    with pytest.raises(ModelError, match="over and over"):
        read_graph(bytes(builder.Output()))


@pytest.mark.parametrize("size", [7, 9])
def test_a_source_of_too_few_or_too_many_bytes_is_refused(fashion_mnist, size):
    model = random_model(one_block_vit(), fashion_mnist.train_images[:2], image="strips")
    interpreter = MicroInterpreter(model)._classifier._interpreter
    with (
        pytest.raises(DataError, match=rf"{16 * size} bytes; the model takes"),
        input_source(lambda row, rows: np.zeros((rows, size, 1), np.int8), 96 * 3),
    ):
        interpreter.invoke()
