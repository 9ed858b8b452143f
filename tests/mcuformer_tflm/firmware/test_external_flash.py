"""What instructions load from external flash, counted on the emulated core."""

import dataclasses

import pytest
from typer.testing import CliRunner

from mcuformer_tflm import convert
from mcuformer_tflm.cli.application import app
from mcuformer_tflm.data import quantize_images
from mcuformer_tflm.firmware.fit import RAM_RESERVE, place_model
from mcuformer_tflm.firmware.measurement import measure_firmware
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.tflite.model_graph import read_graph

# The program and what is read for every token lie inside, most weights do not.
BOARD = dataclasses.replace(
    get_board("stm32f746-discovery"), name="small-flash", flash=52 << 10, start_up=None
)


@pytest.fixture(scope="module")
def measured(quantized, fashion_mnist):
    """Returns the graph, constants in external flash and figures of both schedules."""
    picture = quantize_images(fashion_mnist.test_images[:1])
    found = {}
    for block_tokens in (4, 64):
        model = convert(quantized, fashion_mnist.labels, block_tokens=block_tokens)
        graph = read_graph(model)
        placement = place_model(graph, BOARD)
        found[block_tokens] = graph, placement, measure_firmware(model, BOARD, picture)
    return found


def layers_outside(graph, placement, operator):
    """Returns the bytes of an operator's weights and of its units' constants that lie outside."""
    outside = [i for i in operator.inputs if i in placement.external]
    dtypes = {graph.tensors[i].dtype for i in outside}
    assert dtypes <= {"int8", "int32"}
    return tuple(
        sum(graph.tensors[i].size for i in outside if graph.tensors[i].dtype == dtype)
        for dtype in ("int8", "int32")
    )


def test_a_pass_that_serves_all_tokens_loads_every_byte_outside_once(measured):
    graph, placement, figures = measured[64]
    read = list(figures.external_by_operator.values())
    assert placement.external, "the flash is too small for all"
    for operator, loaded in list(zip(graph.operators, read, strict=True))[1:7]:
        assert loaded == sum(layers_outside(graph, placement, operator))
    assert sum(read) == figures.external_bytes_read


def test_passes_of_four_tokens_load_weights_for_each_four(measured):
    graph, placement, figures = measured[4]
    read = list(figures.external_by_operator.values())
    blocks = 4  # of 16 tokens
    found = 0
    for operator, loaded in list(zip(graph.operators, read, strict=True))[1:7]:
        weights, constants = layers_outside(graph, placement, operator)
        found += weights
        # The inner loop loads weights twice at the most, and one step ahead.
        assert blocks * weights <= loaded <= blocks * (2.25 * weights + 3 * constants)
    assert found > 0
    assert figures.external_bytes_read > 3 * measured[64][2].external_bytes_read


def test_time_of_external_flash_is_that_of_the_bytes_counted(measured):
    for _, placement, figures in measured.values():
        seconds = figures.external_bytes_read / BOARD.external_bytes_per_second
        assert figures.milliseconds_external_flash_estimated == round(1000 * seconds, 1)
        assert placement.external_bytes <= placement.external_bytes_read


def test_what_is_read_most_often_lies_in_the_microcontrollers_own_flash(measured):
    graph, placement, _ = measured[64]
    stem = graph.operators[0]
    assert not placement.external & set(stem.inputs)
    _, four, _ = measured[4]
    assert four.external_bytes_read > placement.external_bytes_read


def test_command_says_what_reading_costs_and_how_it_would_cost_less(
    quantized, fashion_mnist, tmp_path
):
    board = tmp_path / "small.toml"
    board.write_text(
        'name = "small"\ncore = "cortex-m7"\n'
        "flash = { address = 0x08000000, kib = 52 }\n"
        "external_flash = { address = 0x90000000, kib = 64, bytes_per_second = 1_000_000 }\n"
        '[[sram]]\nname = "sram"\naddress = 0x20000000\nkib = 64\n'
    )
    told = {}
    for block_tokens in (4, 64):
        model = tmp_path / "model.tflite"
        model.write_bytes(convert(quantized, fashion_mnist.labels, block_tokens=block_tokens))
        result = CliRunner().invoke(
            app, ["firmware", str(model), "--board", str(board), "--out", str(tmp_path / "out")]
        )
        assert result.exit_code == 0, result.output
        told[block_tokens] = " ".join(result.output.split())
    advice = f"convert(..., arena_budget={64 * 1024 - RAM_RESERVE})"
    assert advice in told[4]
    assert advice not in told[64]
    assert "reads about 0.2 MB of external flash, an estimate: " in told[4]
