"""A board's cycles, operator by operator: read around each, written, told beside estimates.

No board is at hand. QEMU's counter, by which every instruction takes 1.6, and one of our own stand
in for the core's, whose registers are modelled.
"""

import dataclasses
import itertools
import json
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mcuformer_tflm import MicroInterpreter, convert
from mcuformer_tflm import data as datasets
from mcuformer_tflm.cli import app
from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.emulator.toolchain import COMPILER, core_flags, find_tool
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.emulation import emulate_firmware
from mcuformer_tflm.firmware.measurement import measure_firmware
from mcuformer_tflm.firmware.profile.calibration import check_calibration, write_calibration
from mcuformer_tflm.firmware.profile.comparison import OperatorProfile, Profile, compare
from mcuformer_tflm.firmware.profile.log import read_profile_log
from mcuformer_tflm.firmware.project import SUPPORT_FOLDER, export_firmware
from mcuformer_tflm.firmware.source import operator_functions
from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.search.board import Board, SramRegion, get_board
from mcuformer_tflm.search.board_file import BOARD_FOLDER
from mcuformer_tflm.tflite.model_graph import read_graph

BOARD = "stm32f746"
# 64 ns an instruction (`-icount shift=6`) at the 25 MHz of QEMU's board.
CYCLES_PER_INSTRUCTION = 1.6


@pytest.fixture(scope="module")
def pictures(fashion_mnist):
    return datasets.quantize_images(fashion_mnist.test_images[:3])


@pytest.fixture(scope="module")
def folder(model, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    (folder / "model.tflite").write_bytes(model)
    (folder / "input.bin").write_bytes(pictures.tobytes())
    return folder


@pytest.fixture(scope="module")
def emulated(folder):
    """What `mcuformer emulate` prints, and the log that it writes."""
    log = folder / "emulated.log"
    arguments = ["emulate", folder / "model.tflite", "--board", BOARD, "--limit", 3]
    result = CliRunner().invoke(app, list(map(str, [*arguments, "--profile", log])))
    assert result.exit_code == 0, result.output
    return result.output, log.read_text()


@pytest.fixture(scope="module")
def log_text(emulated):
    return emulated[1]


@pytest.fixture(scope="module")
def files(folder, log_text):
    """The log, as a terminal program keeps it; the model; the pictures."""
    lines = [f"[12:00:{i:02}.000] {line}\r\n" for i, line in enumerate(log_text.splitlines())]
    (folder / "uart.log").write_bytes("".join(lines).encode())
    return folder


@pytest.fixture(scope="module")
def command(files):
    """What `mcuformer profile` prints and writes, every option given."""
    out = files / "out"
    arguments = ["profile", "uart.log", "--model", "model.tflite", "--input", "input.bin"]
    arguments = [str(files / word) if "." in word else word for word in arguments]
    for option, name in (("json", "p.json"), ("picture", "p.svg"), ("calibrate", "mine.toml")):
        arguments += [f"--{option}", str(out / name)]
    return CliRunner().invoke(app, [*arguments, "--board", BOARD]), out


def test_profiled_firmware_still_gives_the_interpreters_bytes(emulated):
    assert "3 of 3 images give TFLM's bytes" in emulated[0]
    assert "counted by QEMU, written to" in emulated[0]


def test_every_operators_cycles_are_those_of_its_instructions(command, model):
    result, out = command
    assert result.exit_code == 0, result.output
    told = json.loads((out / "p.json").read_text())
    assert len(told["totals"]) == 3
    functions = [f"run_{row['name']}" for row in told["operators"]]
    assert functions == operator_functions(read_graph(model))
    for row in told["operators"]:
        # Reading the counter takes some instructions, and it ticks every 40 ns.
        wanted = CYCLES_PER_INSTRUCTION * row["instructions"]
        assert abs(row["cycles"] - wanted) < 30 + 0.002 * wanted, row
        assert f"{row['name']} " in result.output
    cycles = [row["cycles"] for row in told["operators"]]
    assert told["total"]["cycles"] == pytest.approx(sum(cycles)) == np.mean(told["totals"])
    assert told["milliseconds"] == pytest.approx(sum(cycles) / 216_000)
    # Each operator's code is estimated by itself: a normalisation divides, a product does not.
    each = {row["name"]: row["cycles_estimated"] / row["instructions"] for row in told["operators"]}
    assert len({round(value, 4) for value in each.values()}) > 5, each


def test_a_cortex_m33_is_profiled_too(model, pictures, log_text, read):
    sram = (SramRegion("sram", 0x20000000, 512 * 1024),)
    board = Board("mine", "cortex-m33", sram, 2048 * 1024, flash_address=0x10000000)
    log = read(emulate_firmware(model, board, pictures[:1], profile=True).run.log)
    assert (log.program.core, log.program.megahertz) == ("cortex-m33", 0)
    # QEMU's board has another clock. The kernels are the M4's, in other registers here and there.
    instructions = log.cycles[0] / (20 * 0.064)
    of_m7 = read(log_text).cycles[0] / CYCLES_PER_INSTRUCTION
    np.testing.assert_allclose(instructions, of_m7, rtol=0.15)


def test_a_cortex_m55_is_profiled_too(model, pictures, read):
    emulation = emulate_firmware(model, "stm32n657", pictures[:1], profile=True)
    log = read(emulation.run.log)
    assert (log.program.core, log.program.megahertz) == ("cortex-m55", 800)
    figures = measure_firmware(model, "stm32n657", pictures[:1])
    counted = np.array(list(figures.by_operator.values()))
    np.testing.assert_allclose(log.cycles[0] / (20 * 0.064), counted, rtol=0.15)
    # No model of its pipelines, and so no milliseconds.
    assert (figures.milliseconds_estimated, figures.cycles_by_operator) == (None, {})


def test_the_command_says_that_no_core_has_counted(command):
    result, out = command
    assert "QEMU is not a core's own counter: these are no cycles of a chip" in result.output
    assert "counted by QEMU" in (out / "mine.toml").read_text()
    assert "counted by QEMU" in (out / "p.svg").read_text()


def test_estimates_by_the_calibrated_file_are_the_logs_cycles(command, files, pictures, model):
    _, out = command
    log = read_profile_log(files / "uart.log")
    assert get_board(out / "mine.toml").cycles_per_instruction == pytest.approx(1.6, rel=0.01)
    calibrated = compare(log, model, out / "mine.toml", pictures[:1])
    assert calibrated.total.ratio == pytest.approx(1, rel=1e-5)


def test_a_log_of_another_model_or_board_is_refused(files, model, quantized, fashion_mnist):
    log = read_profile_log(files / "uart.log")
    other = convert(quantized, fashion_mnist.labels, image="strips")
    with pytest.raises(ConfigError, match=r"another model \(checksum 0x[0-9a-f]{8}; this one's"):
        compare(log, other, BOARD)
    with pytest.raises(ConfigError, match=r"log is of stm32f746 \(cortex-m7, 216 MHz\); the board"):
        compare(log, model, "stm32h743")
    # A linker script of the one, flashed on the other.
    strange = dataclasses.replace(log, program=dataclasses.replace(log.program, core="cortex-m4"))
    with pytest.raises(ConfigError, match=r"log is of stm32f746 \(cortex-m4, "):
        compare(strange, model, BOARD)


def test_operators_that_read_external_flash_are_told_and_not_calibrated_by(files, model):
    # A chip whose flash holds but the smallest constants beside the program.
    board = dataclasses.replace(
        get_board("stm32f746-discovery"), flash=44 * 1024, cycles_per_instruction=1.25
    )
    log = read_profile_log(files / "uart.log")
    log = dataclasses.replace(log, program=dataclasses.replace(log.program, board=board.name))
    profile = compare(log, model, board)
    export_firmware(model, board, files / "external")
    placed, _, external = (files / "external/constants.S").read_text().partition(".external")
    assert ".constants" in placed
    symbols = re.findall(r"\.global (\w+)", external)
    source = (files / "external/model.cc").read_text()
    bodies = dict(re.findall(r"(?:void|bool) run_(\w+)\(\) \{\n(.*?)\n\}", source, re.DOTALL))
    wanted = {
        name: any(re.search(rf"\b{symbol}\b", body) for symbol in symbols)
        for name, body in bodies.items()
    }
    assert {row.name: row.external_bytes > 0 for row in profile.operators} == wanted
    assert 0 < sum(wanted.values()) < len(wanted)
    internal = [row for row in profile.operators if not row.external_bytes]
    cycles = sum(row.cycles for row in internal) / sum(row.instructions for row in internal)
    assert profile.internal.cycles_per_instruction == pytest.approx(cycles)
    # At 216 MHz and 54 MB a second a byte takes four cycles.
    for row in profile.operators:
        wanted = row.instructions * 1.25 + row.external_bytes * 4
        assert row.cycles_estimated == pytest.approx(wanted), row


def test_nothing_is_calibrated_where_every_operator_waits_for_external_flash():
    row = OperatorProfile("head", "McuformerFullyConnected", 100, 50, 300.0, 900.0)
    profile = Profile("b", "cortex-m7", 216, "DWT", (900,), 0.0, (row,))
    assert profile.internal is None
    assert profile.figures()["cycles_per_instruction"] is None
    assert profile.figures()["external_bytes_per_second"] is None


def test_the_speed_of_external_flash_is_what_cycles_beyond_the_instructions_leave():
    rows = (
        OperatorProfile("norm", "McuformerLayerNorm", 1000, 0, 1000.0, 1500.0),
        OperatorProfile("head", "McuformerFullyConnected", 100, 50, 300.0, 150.0 + 200),
    )
    profile = Profile("b", "cortex-m7", 216, "DWT", (1850,), 0.0, rows)
    assert profile.external_bytes_per_second == pytest.approx(216e6 / 4)
    fast = dataclasses.replace(rows[1], cycles=150.0)
    assert dataclasses.replace(profile, operators=(rows[0], fast)).external_bytes_per_second is None


# A counter of one's own.


@pytest.fixture(scope="module")
def own_counter(quantized, fashion_mnist, pictures, tmp_path_factory):
    """Runs a model that takes its picture in strips, with the counter of own_counter_io.cc."""
    model = convert(quantized, fashion_mnist.labels, image="strips")
    project = tmp_path_factory.mktemp("own_counter") / "project"
    export_firmware(model, "stm32f427", project)
    expected = MicroInterpreter(model).run(pictures[:2])
    helper = Path(__file__).parents[2] / "helpers/own_counter_io.cc"
    image = build_project(
        project, project / "build", MCUFORMER_EMULATED=True, MCUFORMER_PROFILE=True,
        MCUFORMER_IO=helper,
    )  # fmt: skip

    def run(argument=""):
        done = run_firmware(image.elf, "cortex-m4", pictures[:2], 10, arguments=argument)
        np.testing.assert_array_equal(done.outputs, expected)
        (project / "log").write_text(done.log)
        return project / "log"

    return run


def test_a_counter_of_ones_own_is_read_around_each_operator_and_around_the_camera(own_counter):
    log = read_profile_log(own_counter())
    steps = itertools.count(1)
    num_strips, num_operators = 28 // 7, len(log.operators)
    for cycles, camera in zip(log.cycles, log.camera_cycles, strict=True):
        next(steps)  # before the first operator
        wanted_camera = wanted_first = 0
        for _ in range(num_strips):
            wanted_first += 1000 * next(steps)
            wanted_camera += 1000 * next(steps)
        wanted_first += 1000 * next(steps)
        others = [1000 * next(steps) for _ in range(num_operators - 1)]
        assert (camera, *cycles) == (wanted_camera, wanted_first, *others)
    assert (log.program.counter, log.program.core) == ("readings", "cortex-m4")


def test_a_core_without_a_counter_is_told_and_refused(own_counter):
    with pytest.raises(DataError, match="line 1: the program counted no cycles: it is not here"):
        read_profile_log(own_counter("none"))


def test_a_counter_that_stands_still_is_refused(own_counter):
    with pytest.raises(DataError, match="line 3: patch_embed took no cycle"):
        read_profile_log(own_counter("still"))


# The core's own.


class _Core:
    """DEMCR and DWT as the ARMv7-M Architecture Reference Manual has them (C1.6.5, C1.8).

    Without TRCENA writes to DWT are ignored. Where there is a lock, they are until it is opened;
    where there is none, its registers are reserved.
    """

    def __init__(self, *, locked=False, has_counter=True, gated=False):
        self.locked, self.has_lock, self.has_counter, self.gated = (
            locked,
            locked,
            has_counter,
            gated,
        )
        self.demcr = self.control = self.cycles = self.readings = 0

    def read(self, address):
        if address == 0xE000EDFC:
            return self.demcr
        if address == 0xE0001FB4:
            return self.has_lock | self.locked << 1
        if address == 0xE0001000:
            return self.control | (not self.has_counter) << 25
        assert address == 0xE0001004, hex(address)
        self.readings += 1
        if self.control & 1 and not self.gated:
            self.cycles += 7
        return self.cycles

    def write(self, address, value):
        if address == 0xE000EDFC:
            self.demcr = value
            return
        assert self.demcr & 1 << 24, "DWT is off"
        if address == 0xE0001FB0:
            assert self.has_lock, "the register is reserved"
            assert value == 0xC5ACCE55
            self.locked = False
        elif not self.locked:
            if address == 0xE0001000:
                assert value & ~1 == 0, "other bits are left as they were"
                self.control = value & 1
            else:
                assert (address, value) == (0xE0001004, 0)
                self.cycles = 0


@pytest.fixture(scope="module")
def cycles_elf(tmp_path_factory):
    elf = tmp_path_factory.mktemp("cycles") / "cycles.elf"
    (elf.parent / "board_shape.h").touch()  # that of a real board has nothing to say of it
    subprocess.run(
        [find_tool(COMPILER), *core_flags("cortex-m7"), "-mthumb", "-std=c++20", "-Os", "-nostdlib",
         "-I", SUPPORT_FOLDER, "-I", elf.parent, SUPPORT_FOLDER / "board/cycles.cc",
         "-Wl,-Ttext=0x8000000",
         "-Wl,-e,mcuformer_cycles_begin", "-o", elf],
        check=True,
    )  # fmt: skip
    return elf


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ({"locked": True}, "DWT"),  # Cortex-M7
        ({}, "DWT"),  # Cortex-M4
        ({"has_counter": False}, "the core has no cycle counter (DWT_CTRL.NOCYCCNT is 1)"),
        ({"gated": True}, "the cycle counter stands still (DWT_CYCCNT)"),
    ],
)
def test_the_cores_own_counter_is_switched_on_by_the_manuals_rules(cycles_elf, kind, told):
    import unicorn
    from unicorn import arm_const as registers

    core = _Core(**kind)
    machine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
    machine.ctl_set_cpu_model(registers.UC_CPU_ARM_CORTEX_M7)
    machine.mem_map(0x08000000, 0x10000)
    machine.mem_map(0x20000000, 0x1000)
    for page in (0xE0001000, 0xE000E000):
        machine.mmio_map(
            page, 0x1000,
            lambda _, offset, size, page: core.read(page + offset), page,
            lambda _, offset, size, value, page: core.write(page + offset, value), page,
        )  # fmt: skip
    with cycles_elf.open("rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            machine.mem_write(segment["p_vaddr"], segment.data())
        symbols = {s.name: s["st_value"] for s in elf.get_section_by_name(".symtab").iter_symbols()}

    def call(name, argument=0):
        machine.reg_write(registers.UC_ARM_REG_R0, argument)
        machine.reg_write(registers.UC_ARM_REG_SP, 0x20001000)
        machine.reg_write(registers.UC_ARM_REG_LR, 0x0800F001)
        machine.emu_start(symbols[name] | 1, 0x0800F000)
        return machine.reg_read(registers.UC_ARM_REG_R0)

    counts = call("mcuformer_cycles_begin", 0x20000000) & 0xFF
    text = int.from_bytes(machine.mem_read(0x20000000, 4), "little")
    assert bytes(machine.mem_read(text, 80)).split(b"\0")[0].decode() == told
    assert counts == (told == "DWT")
    if counts:
        assert call("mcuformer_cycles") == core.cycles > 0


@pytest.mark.parametrize("source", ["model.cc", "app/main.cc"])
def test_without_the_option_the_compiler_sees_no_trace_of_it(model, source, tmp_path):
    export_firmware(model, BOARD, tmp_path / "project")
    text = (tmp_path / "project" / source).read_text()
    without = re.sub(r"#ifdef MCUFORMER_PROFILE\n.*?#endif\n", "", text, flags=re.DOTALL)
    without = re.sub(r"  MCUFORMER_READ_COUNTER\(\d+\);\n", "", without)
    without = re.sub(
        r'#include "app/profile.h"\n|  mcuformer::(Begin|Write)Profile.*\n', "", without
    )
    without = without.replace("ReadRowsProfiled", "IoReadRows")
    assert without != text
    assert "rofile" not in without

    def compiled(content):
        subprocess.run(
            [find_tool(COMPILER), *core_flags("cortex-m7"), "-mthumb", "-std=c++20", "-Os", "-I.",
             "-x", "c++", "-", "-c", "-o", "compiled.o"],
            input=content, cwd=tmp_path / "project", text=True, check=True,
        )  # fmt: skip
        return subprocess.check_output(
            [find_tool("arm-none-eabi-objdump"), "-s", "-r", "compiled.o"], cwd=tmp_path / "project"
        )

    assert compiled(text) == compiled(without)


# The log.


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("logs") / "log"

    def read_text(text):
        path.write_bytes(text.encode())
        return read_profile_log(path)

    return read_text


# A log has a header, a line for the camera, ten operators and a total.
_LINES = 13


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda lines: lines, [0, 1, 2]),
        (lambda lines: [line for one in lines for line in (one, "tick", "")], [0, 1, 2]),
        (lambda lines: ["\0\ufffd boot", lines[3][30:], *lines[4:]], [1, 2]),
        (lambda lines: lines[: 3 * _LINES - 1], [0, 1]),
        (lambda lines: [*lines[: 3 * _LINES - 2], lines[3 * _LINES - 2][:-1]], [0, 1]),
        (lambda lines: [*lines[: 2 * _LINES + 4], lines[2 * _LINES + 4][:25]], [0, 1]),
    ],
    ids=["", "other lines", "begun late", "no last line", "last check cut", "last line cut"],
)
def test_what_a_capture_has_beside_whole_inferences_is_passed_over(log_text, read, change, kept):
    whole = read(log_text)
    part = read("\n".join(change(log_text.splitlines())))
    assert dataclasses.replace(part, cycles=0, camera_cycles=0) == dataclasses.replace(
        whole, cycles=0, camera_cycles=0
    )
    np.testing.assert_array_equal(part.cycles, whole.cycles[kept])
    np.testing.assert_array_equal(part.camera_cycles, whole.camera_cycles[kept])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines[1:_LINES], "holds no whole inference: no line begins one"),
        (lambda lines: lines[: _LINES - 1], "the total is missing, of the inference that begins"),
        (lambda lines: lines[:6], "operator 4 is missing, of the inference that begins in line 1"),
        (lambda lines: [*lines[:5], *lines[6:]], "line 6: operator 3 is missing before 'operator"),
        (lambda lines: [lines[0], *lines[2:]], "line 2: the line of the camera is missing before"),
        (lambda lines: [*lines[:4], lines[3], *lines[4:]], "operator 2 is missing before 'operat"),
        (lambda lines: [*lines[:3], *lines[_LINES:]], "operator 1 is missing, of the inference"),
        (lambda lines: [*lines, lines[0].replace(" cortex-m7", " cortex-m")], "line 41 is damaged"),
        (lambda lines: [lines[0], _checked(lines[0], "m7", "m4"), *lines[1:]], "the line of the"),
        (lambda lines: [*lines[:-1], _checked(lines[0], "m7", "m4"), ""], "another program than"),
        (lambda lines: [*lines[:2], _checked(lines[2], r" \d+ c", " 0 c"), *lines[3:]], "no cycle"),
        (lambda lines: [*lines[:2], _checked(lines[2], r" \d+ c", " 9 c"), *lines[3:]], "the sum"),
        (lambda lines: [lines[0], _checked(lines[1], r"\d+", "9" * 5000)], "the camera is missing"),
    ],
)
def test_a_log_that_is_not_whole_is_refused_with_what_is_missing(log_text, read, change, told):
    with pytest.raises(DataError, match=told):
        read("\n".join([*change(log_text.splitlines()), ""]))


def _checked(line, pattern, replacement):
    """A line that is another, and knows it."""
    body = re.sub(pattern, replacement, line.rpartition(" *")[0], count=1)
    assert body != line.rpartition(" *")[0]
    return f"{body} *{np.bitwise_xor.reduce(list(body.encode()))}"


@given(at=st.floats(0, 1, exclude_max=True), letter=st.sampled_from("0123456789 *,x\n"))
def test_no_damaged_letter_becomes_another_figure(log_text, read, at, letter):
    whole = read(log_text)
    # The program's last line is not of the profile.
    place = int(at * log_text.rindex("\n", 0, -1))
    try:
        damaged = read(log_text[:place] + letter + log_text[place + 1 :])
    except DataError as error:
        assert re.search(r"line \d+", str(error))  # noqa: PT017
        return
    assert damaged.program == whole.program
    figures = {tuple(row) for row in whole.cycles.tolist()}
    assert {tuple(row) for row in damaged.cycles.tolist()} <= figures


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.log cannot be read \(No such file"):
        read_profile_log(tmp_path / "none.log")


# A board's file.

_OWN = """\
# My board.
name = "mine"
core = "cortex-m4"  # with DSP
start_up = "clocks.cc"
flash = {{ address = 0x08000000, kib = 512 }}
{calibration}
[[sram]]
name = "sram"
address = 0x20000000
kib = 128
"""


def test_a_calibrated_file_is_the_boards_own_but_for_one_figure(tmp_path):
    path = tmp_path / "mine.toml"
    board = write_calibration(path, "STM32F746", 1.23456789, "uart.log of\nmodel")
    assert board == get_board(path)
    assert board == dataclasses.replace(get_board(BOARD), cycles_per_instruction=1.23457)
    own = (BOARD_FOLDER / f"{BOARD}.toml").read_text()
    assert path.read_text().startswith(own)
    assert path.read_text()[len(own) :].split() == (
        ["[calibration]", "cycles_per_instruction", "=", "1.23457", "#", "uart.log", "of_model"]
    )
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    "calibration",
    [
        "",
        "calibration = { cycles_per_instruction = 1.5 }\n",
        "calibration.cycles_per_instruction = 1.5  # of old\n",
        "[calibration]\ncycles_per_instruction = 1.5  # of old\n",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_calibrating_again_replaces_the_figure_and_keeps_the_rest(tmp_path, calibration, end):
    path = tmp_path / "mine.toml"
    (tmp_path / "clocks.cc").touch()
    text = _OWN.format(calibration=calibration)
    path.write_text(text, newline=end)
    before = tomllib.loads(text)
    write_calibration(path, path, 2.0, "new")
    content = path.read_bytes().decode()
    after = tomllib.loads(content)
    assert after.pop("calibration") == {"cycles_per_instruction": 2.0}
    before.pop("calibration", None)
    assert after == before
    assert content.startswith(f"# My board.{end}")
    assert "# with DSP" in content
    assert "of old" not in content
    assert content.count("\n") == content.count(end)


def test_a_copy_elsewhere_still_finds_its_start_up(tmp_path):
    (tmp_path / "mine.toml").write_text(_OWN.format(calibration=""))
    (tmp_path / "clocks.cc").touch()
    (tmp_path / "calibrated").mkdir()
    board = write_calibration(tmp_path / "calibrated/mine.toml", tmp_path / "mine.toml", 2.0, "")
    assert board.start_up == get_board(tmp_path / "mine.toml").start_up


def test_what_cannot_be_calibrated_is_refused_before_anything_is_measured(files, tmp_path):
    write_calibration(tmp_path / "mine.toml", BOARD, 1.0, "")
    with pytest.raises(ConfigError, match=r"mine.toml describes another board than stm32h743"):
        check_calibration(tmp_path / "mine.toml", "stm32h743")
    with pytest.raises(ConfigError, match=r"the name of a board's file ends in .toml"):
        check_calibration(tmp_path / "mine.txt", BOARD)
    options = ["--model", "none.tflite", "--calibrate", str(tmp_path / "mine.txt")]
    result = CliRunner().invoke(app, ["profile", str(files / "uart.log"), *options])
    assert result.exit_code == 1
    assert "ends in .toml" in " ".join(result.output.split())
