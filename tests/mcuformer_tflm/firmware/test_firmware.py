"""The same image runs here that runs on a board, but for the addresses: under QEMU, with the
board's lengths of RAM and flash and with its guards."""

import dataclasses
import re
import subprocess
from pathlib import Path

import documented
import numpy as np
import pytest
from conv_stem_case import ConvStemCase
from elftools.elf.elffile import ELFFile
from stm32_registers import boards, simulation
from typer.testing import CliRunner

from mcuformer_tflm import MicroInterpreter, convert
from mcuformer_tflm import data as datasets
from mcuformer_tflm.bench.firmware import Case, measure
from mcuformer_tflm.bench.models import (
    enlarge,
    one_block_vit,
    paper_architecture,
    random_model,
)
from mcuformer_tflm.cli import app
from mcuformer_tflm.convert.graph import Graph
from mcuformer_tflm.convert.quantization import Quantization
from mcuformer_tflm.custom_ops.reference.softmax import softmax_table
from mcuformer_tflm.emulator.firmware_counter import count_inference
from mcuformer_tflm.emulator.machine import count_instructions
from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.emulator.toolchain import COMPILER, core_flags, find_tool
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.fit import RAM_RESERVE, STACK_BYTES, place_model
from mcuformer_tflm.firmware.measurement import measure_firmware
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.firmware.source import operator_functions
from mcuformer_tflm.keras_models.exceptions import BudgetError, ConfigError, ToolchainError
from mcuformer_tflm.plan.planner import plan_memory, write_plan
from mcuformer_tflm.runtime.tflm import open_interpreter
from mcuformer_tflm.search.board import Board, SramRegion, get_board
from mcuformer_tflm.search.cost.flash_reads import code_reserve
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.tflite.file import pack, unpack
from mcuformer_tflm.tflite.model_graph import read_graph

BOARDS = ("stm32f427", "stm32f746", "stm32h743", "stm32n657", "corstone-300")
DISCOVERY = "stm32f746-discovery"
HELPERS = Path(__file__).parents[2] / "helpers"
# As many memories as an ARMv7-M can protect; ARMv8-M, whose stack lies below the arena.
FIVE_MEMORIES = Board(
    "five-memories", "cortex-m4",
    (SramRegion("sram3", 0x20040000, 384 << 10), SramRegion("sram1", 0x20000000, 192 << 10)),
    2 << 20, external_flash=8 << 20,
)  # fmt: skip
ARMV8M = Board(
    "armv8m", "cortex-m33", (SramRegion("sram", 0x20000000, 520 << 10),), 1 << 20,
    flash_address=0x10000000, external_flash=1 << 20, external_flash_address=0x10100000,
)  # fmt: skip


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Builds the emulated image of a model for a board, once."""
    built = {}

    def build_once(model, board, **options):
        key = (hash(model), board, *options.items())
        if key not in built:
            project = tmp_path_factory.mktemp(get_board(board).name) / "project"
            export_firmware(model, board, project)
            built[key] = build_project(
                project, project / "build", MCUFORMER_EMULATED=True, **options
            )
        return built[key]

    return build_once


@pytest.fixture(scope="module")
def paper_model(fashion_mnist):
    # Calibrated as the benchmark's, whose figures the documents tell.
    return random_model(paper_architecture(), fashion_mnist.train_images[:4])


@pytest.mark.parametrize("board", BOARDS)
def test_firmware_gives_the_interpreters_bytes_on_50_real_images(
    model, interpreter, build, fashion_mnist, board
):
    pictures = datasets.quantize_images(fashion_mnist.test_images[:50])
    image = build(model, board)
    run = run_firmware(image.elf, get_board(board).core, pictures, 10)
    assert run.status == 0, run.log
    np.testing.assert_array_equal(run.outputs, interpreter.run(pictures))
    assert 0 < run.stack_bytes < STACK_BYTES - 1024, "a kilobyte of stack is never touched"
    assert image.code_bytes < code_reserve(len(read_graph(model).operators))
    assert image.variable_bytes + STACK_BYTES + 3 * 256 < RAM_RESERVE
    placement = place_model(read_graph(model), get_board(board))
    assert image.arena_bytes == placement.arena_bytes, "the planned arena, no more"


@pytest.mark.slow
def test_firmware_of_the_papers_network_gives_the_interpreters_bytes_on_f746(
    paper_model, build, fashion_mnist
):
    # One image: QEMU takes seconds for it, of two thousand million instructions.
    architecture = paper_architecture()
    pictures = datasets.quantize_images(enlarge(fashion_mnist.test_images[:1], architecture))
    image = build(paper_model, DISCOVERY)
    run = run_firmware(image.elf, "cortex-m7", pictures, architecture.num_classes)
    assert run.status == 0, run.log
    # Its instructions take a minute to count: `mcuformer bench firmware`.
    told = documented.table("docs/firmware.md", "instructions", "a MAC", "stack")
    [row] = [row for name, row in told.items() if name.startswith("the paper's for F746")]
    assert (row["code"], row["constants"], row["arena"]) == (
        f"{image.code_bytes:,}", f"{image.constant_bytes:,}", f"{image.arena_bytes:,}",
    )  # fmt: skip
    np.testing.assert_array_equal(run.outputs, MicroInterpreter(paper_model).run(pictures))


@pytest.mark.slow
def test_firmware_of_the_papers_width_gives_the_interpreters_bytes_on_f427(build, fashion_mnist):
    # All 14 blocks need external flash, which the F427 lacks; three fill its 2 MB.
    architecture = paper_architecture(depth=3)
    images = fashion_mnist.train_images[:2]
    model, whole = (random_model(architecture, images, image=mode) for mode in ("strips", "whole"))
    pictures = datasets.quantize_images(enlarge(fashion_mnist.test_images[:2], architecture))
    image = build(model, "stm32f427")
    run = run_firmware(image.elf, "cortex-m4", pictures, architecture.num_classes)
    assert run.status == 0, run.log
    assert len(run.outputs) == 2
    np.testing.assert_array_equal(run.outputs, MicroInterpreter(whole).run(pictures))


@pytest.mark.parametrize("board", ["stm32f427", DISCOVERY, FIVE_MEMORIES, ARMV8M])
@pytest.mark.parametrize(
    ("access", "told"),
    [
        ("nothing", None),
        ("first_byte_of_arena", None),
        ("last_byte_of_arena", None),
        ("byte_before_arena", "in the guard before the arena"),
        ("byte_after_arena", "in the guard after the arena"),
        ("flash", "access to 0x[01]0000400 in flash"),
        ("external_flash", "in (external )?flash"),
        ("byte_after_flash", "in no memory of the program"),
        ("read_after_ram", "in no memory of the program"),
        ("code_in_ram", "memory management, at pc 0x[23]"),
        ("byte_below_stack", "in the guard below the stack"),
        ("deep_recursion", "the stack overflowed into the guard below it"),
    ],
)
def test_guards_trap_every_stray_access(model, build, board, access, told):
    image = build(model, board, MCUFORMER_IO=HELPERS / "stray_access_io.cc")
    core = get_board(board).core
    run = run_firmware(image.elf, core, np.zeros(0, np.int8), 10, arguments=access, timeout=60)
    if told is None:
        assert (run.status, run.log.split("\n")[0]) == (0, "went on")
    else:
        assert run.status == 2, run.log
        assert re.search(told, run.log)
        assert "went on" not in run.log


@pytest.mark.parametrize(
    ("board", "access", "told"),
    [
        (DISCOVERY, "code_in_external_flash", "memory management"),
        (ARMV8M, "code_in_external_flash", "memory management"),
        (ARMV8M, "pended_security_fault", "security"),
    ],
)
def test_each_kind_of_fault_is_told_by_its_name(model, build, board, access, told):
    image = build(model, board, MCUFORMER_IO=HELPERS / "stray_access_io.cc")
    core = get_board(board).core
    run = run_firmware(image.elf, core, np.zeros(0, np.int8), 10, arguments=access, timeout=60)
    assert (run.status, f"fault: {told}, at pc" in run.log) == (2, True), run.log


def test_guard_begins_where_an_arena_of_odd_size_ends(build, fashion_mnist):
    # A region of memory protection begins at a multiple of its size only.
    network = dataclasses.replace(
        one_block_vit(), image_size=28, channels=1, patch_size=7, embed_dim=60
    )
    model = random_model(network, fashion_mnist.train_images[:2])
    assert 32 <= place_model(read_graph(model), get_board("stm32f427")).arena_bytes % 256 <= 192
    image = build(model, "stm32f427", MCUFORMER_IO=HELPERS / "stray_access_io.cc")
    for access, told in (
        ("last_byte_of_arena", "went on"),
        ("byte_after_arena", "in the guard after the arena"),
        ("last_byte_of_guard", "in the guard after the arena"),
        ("byte_after_guard", "went on"),
    ):
        run = run_firmware(image.elf, "cortex-m4", np.zeros(0, np.int8), 10, arguments=access)
        assert told in run.log, access


@pytest.mark.slow
def test_firmware_refuses_to_run_on_an_empty_external_flash(paper_model, build, tmp_path):
    from elftools.elf.elffile import ELFFile

    image = build(paper_model, DISCOVERY)
    erased = tmp_path / "erased.elf"
    content = bytearray(image.elf.read_bytes())
    with image.elf.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".external")
        start, size = section["sh_offset"], section["sh_size"]
    content[start : start + size] = b"\xff" * size
    erased.write_bytes(content)
    run = run_firmware(erased, "cortex-m7", np.zeros(172800, np.int8), 1000)
    assert run.status == 1
    told = "mcuformer_init failed: the model's constants are not as they were linked"
    assert told in run.log


@pytest.mark.parametrize(
    ("board", "core"),
    [
        ("stm32f427", "cortex-m4"),
        ("stm32f746", "cortex-m7"),
        (ARMV8M, "cortex-m33"),
        ("stm32n657", "cortex-m55"),
    ],
)
def test_counted_inference_repeats_and_sums_over_operators(
    model, interpreter, build, fashion_mnist, board, core
):
    picture = datasets.quantize_images(fashion_mnist.test_images[:1])
    functions = operator_functions(interpreter.graph)
    image = build(model, board)
    counts = [count_inference(image.elf, core, picture, 10, functions) for _ in range(2)]
    np.testing.assert_array_equal(counts[0].output, interpreter.run(picture)[0])
    assert counts[0].instructions == counts[1].instructions
    assert list(counts[0].by_operator) == functions
    assert 0.95 < sum(counts[0].by_operator.values()) / counts[0].instructions <= 1
    for function, blocks in counts[0].executed_by_operator.items():
        again = sum(count_instructions(block) * times for block, times in blocks.items())
        assert again == counts[0].by_operator[function]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "stack"),
    [("stm32f427", 0x10), ("stm32f746", 0x20), (DISCOVERY, 0x20), ("stm32h743", 0x20)],
)
def test_image_links_for_the_real_board_and_is_written_for_st_flash(model, board, stack, tmp_path):
    export_firmware(model, board, tmp_path / "project")
    image = build_project(tmp_path / "project", tmp_path / "build")
    flat = (tmp_path / "build" / "firmware.bin").read_bytes()
    assert int.from_bytes(flat[:4], "little") >> 24 == stack, "F427: CCM; the others: DTCM"
    assert int.from_bytes(flat[4:8], "little") >> 20 == 0x080, "reset lies in flash"
    assert len(flat) >= image.code_bytes + image.constant_bytes - 64
    chip = getattr(boards, board.replace("-", "_"))()
    run = simulation.Run(simulation.load(image.elf, get_board(board)), chip)
    assert (run.fault, run.stack_only) == (None, True), "it wakes the board up, and reaches main"
    assert boards.outcome(chip).clocks["SYSCLK"] == get_board(board).megahertz * 1e6


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS[:3])  # the others have external flash
def test_a_model_that_is_too_large_is_refused_before_anything_is_written(
    paper_model, tmp_path, board
):
    with pytest.raises(BudgetError) as error:
        export_firmware(paper_model, board, tmp_path / "out")
    assert re.search(r"Flash: [\d,]+ bytes .*: [\d,]+ bytes over", str(error.value))
    assert "It fits corstone-300 and stm32f746-discovery and stm32n657." in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_arena_that_is_too_large_is_refused_with_the_bytes_it_is_over(paper_model):
    small = dataclasses.replace(
        get_board("stm32f746"), sram_regions=(SramRegion("sram", 0x20000000, 64 * 1024),)
    )
    with pytest.raises(BudgetError, match=r"SRAM: .* at least [\d,]+ bytes over"):
        place_model(read_graph(paper_model), small)


def test_foreign_operators_are_named(model, tmp_path):
    content = unpack(model)
    content.operatorCodes[0].customCode = b"TheirOperator"
    (tmp_path / "foreign.tflite").write_bytes(pack(content))
    status, err = _run_command(tmp_path / "foreign.tflite", "stm32f746", tmp_path / "out")
    assert status == 1
    assert "operators that the firmware lacks: TheirOperator" in err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_left_alone(model, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        export_firmware(model, "stm32f746", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_second_export_replaces_the_first_and_keeps_the_users_files(model, tmp_path):
    out = tmp_path / "project"
    export_firmware(model, "stm32f746", out)
    (out / "my_io.cc").write_text("// mine")
    (out / "model.cc").write_text("broken")
    export_firmware(model, "stm32f746", out)
    assert (out / "my_io.cc").read_text() == "// mine"
    assert "mcuformer_run_rows" in (out / "model.cc").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_no_assembly_of_a_program_asks_for_an_executable_stack(model, tmp_path):
    export_firmware(model, "stm32f746", tmp_path / "project")
    (tmp_path / "model.tflite").write_bytes(model)
    application = Path(__file__).parents[3] / "examples/stm32_tflm/model_data.S"
    sources = [*(tmp_path / "project").rglob("*.S"), application]
    assert {source.name for source in sources} == {
        "constants.S",
        "dot.S",
        "helium.S",
        "layer_norm.S",
        "model_data.S",
        "multiply.S",
        "rows.S",
    }
    for source in sources:
        subprocess.run(
            [find_tool(COMPILER), *core_flags("cortex-m7"), "-mthumb", "-I.", "-c", source,
             f'-DMCUFORMER_MODEL="{tmp_path / "model.tflite"}"', "-o", "assembled.o"],
            cwd=tmp_path / "project", check=True,
        )  # fmt: skip
        with (tmp_path / "project/assembled.o").open("rb") as file:
            note = ELFFile(file).get_section_by_name(".note.GNU-stack")
            assert note is not None, source
            assert note["sh_flags"] == 0, source


def test_a_missing_compiler_names_the_debian_packages(model, tmp_path, monkeypatch):
    export_firmware(model, "stm32f746", tmp_path / "project")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolchainError, match=r"apt.* install gcc-arm-none-eabi"):
        build_project(tmp_path / "project", tmp_path / "build")


def test_the_command_prints_how_to_build_and_flash(model, tmp_path):
    (tmp_path / "model.tflite").write_bytes(model)
    status, out = _run_command(tmp_path / "model.tflite", "stm32f427", tmp_path / "project")
    assert status == 0, out
    assert "st-flash write" in out
    assert (tmp_path / "project" / "CMakeLists.txt").exists()


def _run_command(model, board, out):
    arguments = ["firmware", str(model), "--board", board, "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize("board", ["stm32f746", ARMV8M])
def test_every_operator_of_the_papers_schedule_gives_the_interpreters_bytes(
    quantized, build, fashion_mnist, board
):
    model = convert(quantized, fashion_mnist.labels, schedule="paper")
    pictures = datasets.quantize_images(fashion_mnist.test_images[:5])
    run = run_firmware(build(model, board).elf, get_board(board).core, pictures, 10)
    np.testing.assert_array_equal(run.outputs, MicroInterpreter(model).run(pictures))


@pytest.mark.parametrize("board", ["stm32f746", ARMV8M])
def test_add_softmax_and_argmax_give_the_interpreters_bytes(build, board):
    rng = np.random.default_rng(0)
    picture = rng.integers(-128, 128, (1, 6, 5, 40), dtype=np.int8)
    unit = Quantization(1 / 16)
    graph = Graph()
    source = graph.add_activation("image", picture.shape, unit)
    total = graph.add_activation("total", picture.shape, unit)
    half = {"multiplier": 1 << 30, "shift": 0}
    scales = {"first": half, "second": half, "output": {"multiplier": 1 << 30, "shift": -18}}
    options = {f"{n}_{k}": v for n, scale in scales.items() for k, v in scale.items()}
    zero_points = {f"{name}_zero_point": 3 for name in scales}
    graph.add_operator("McuformerAdd", [source.index, source.index], total, options | zero_points)
    shares = graph.add_activation("shares", picture.shape, Quantization(1 / 256, -128))
    table = softmax_table(1 / 16)
    constant = graph.add_constant("table", table)
    graph.add_operator("McuformerSoftmax", [total.index, constant], shares, {})
    best = graph.add_activation("best", picture.shape[:3], Quantization(1.0), dtype="int32")
    graph.add_operator("McuformerArgmax", [shares.index], best, {})
    content = graph.finish([source], [best], "test")
    model = write_plan(content, plan_memory(content))
    run = run_firmware(build(model, board).elf, get_board(board).core, picture, 120)
    interpreter = open_interpreter(model, 1 << 20)
    interpreter.set_input(picture, 0)
    interpreter.invoke()
    np.testing.assert_array_equal(run.outputs[0].view(np.int32), interpreter.get_output(0).ravel())
    assert len(set(run.outputs[0].view(np.int32))) > 5


@pytest.mark.parametrize(
    ("board", "core", "mode"),
    [("stm32f427", "cortex-m4", "strips"), ("stm32f746", "cortex-m7", "in place")],
)
def test_convolutional_stem_gives_the_twins_bytes(build, board, core, mode):
    case = ConvStemCase(np.random.default_rng(0), 21, 18, 3, (4, 8, 8), 12, class_token=True)
    content = case.model(mode)
    image = build(write_plan(content, plan_memory(content)), board)
    run = run_firmware(image.elf, core, case.image, case.wanted.size)
    np.testing.assert_array_equal(run.outputs[0].reshape(case.wanted.shape), case.wanted)


@pytest.mark.slow
@pytest.mark.parametrize("board", ["stm32f427", "stm32f746"])
def test_the_one_block_vit_takes_the_instructions_and_code_that_are_promised(fashion_mnist, board):
    assert 3_100_000 < num_macs(one_block_vit()) < 3_200_000
    images = fashion_mnist.train_images[:4]
    case = Case("one_block_vit", random_model(one_block_vit(), images), (board,), "random weights")
    rows = {row.metric: row.value for row in measure(case, board, images) if row.case == case.name}
    assert rows["instructions"] <= 3_500_000
    assert rows["code_bytes"] <= (29 if board == "stm32f427" else 32) * 1024
    assert {"constant_bytes", "arena_bytes", "stack_bytes", "milliseconds_estimated"} <= set(rows)
    told = documented.table("docs/firmware.md", "instructions", "a MAC", "stack")
    by_core = {row["core"]: row for name, row in told.items() if "the paper" not in name}
    assert by_core["M4" if board == "stm32f427" else "M7"] == {
        **by_core["M4" if board == "stm32f427" else "M7"],
        "instructions": f"{rows['instructions']:,}",
        "a MAC": f"{rows['instructions_per_mac']:.3f}",
        "code": f"{rows['code_bytes']:,}",
        "constants": f"{rows['constant_bytes']:,}",
        "arena": f"{rows['arena_bytes']:,}",
        "stack": f"{rows['stack_bytes']:,}",
    }


def test_measuring_on_a_board_of_unknown_clock_is_refused_before_anything_is_built():
    board = dataclasses.replace(get_board("stm32f746"), name="mine", megahertz=None)
    with pytest.raises(ConfigError, match=r"board is 'mine', whose clock is not known"):
        measure_firmware(b"", board, np.zeros((1, 28, 28, 1), np.int8))
