"""The application of examples/stm32_tflm, compiled without TFLM's sources: for a core against
declarations, and for this machine against a stand-in that fails where a test says so."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mcuformer_tflm import convert
from mcuformer_tflm.emulator.toolchain import (
    COMPILE_FLAGS,
    COMPILER,
    core_flags,
    kernel_folder,
)
from mcuformer_tflm.emulator.tools import find_tool
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.project import SUPPORT_FOLDER, export_firmware
from mcuformer_tflm.firmware.source import checksum
from mcuformer_tflm.keras_models.exceptions import ToolchainError
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.plan.memory_plan import RECORD_NAME
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.tflite.model_graph import read_graph
from mcuformer_tflm.zoo.catalogue import model_path

EXAMPLE = Path(__file__).parents[3] / "examples" / "stm32_tflm"
HELPERS = Path(__file__).parents[2] / "helpers"
CUSTOM_OPS = kernel_folder().parent
PICTURES = ["logits of picture 1", "logits of picture 2", "2 pictures; stack: 0 of 0 bytes used"]


@pytest.fixture(scope="module")
def project(model, tmp_path_factory):
    """The folder of `mcuformer firmware`, and TFLM's headers as declared."""
    folder = tmp_path_factory.mktemp("tflm_application")
    export_firmware(model, "stm32f746", folder / "project")
    declared = (HELPERS / "tflm_declared.h").as_posix()
    for header in re.findall(r'#include "(tensorflow/[^"]+)"', _source()):
        (folder / header).parent.mkdir(parents=True, exist_ok=True)
        (folder / header).write_text(f'#include "{declared}"\n')
    return folder


@pytest.fixture(scope="module")
def application(model, project):
    """Builds and runs the application on this machine: model, its shape as written, arena."""
    always = [
        _compile(project, source, source.stem)
        for source in (
            HELPERS / "tflm_stand_in.cc",
            SUPPORT_FOLDER / "app" / "main.cc",
            CUSTOM_OPS / "tflm" / "arena_planner.cc",
            CUSTOM_OPS / "tflm" / "model_metadata.cc",
        )
    ]
    compiled = {}

    def run(linked=model, written_for=model, arena=65536, **environment):
        key = (written_for, arena)
        if key not in compiled:
            name = f"model_tflm_{len(compiled)}"
            shape = f"-DMCUFORMER_ARENA_BYTES={arena}"
            forged = project / name
            forged.mkdir()
            text = (project / "project" / "model_shape.h").read_text()
            text = text.replace(f"{len(model)}u", f"{len(written_for)}u")
            text = text.replace(f"{checksum(model)}u", f"{checksum(written_for)}u")
            (forged / "model_shape.h").write_text(text)
            shutil.copy(SUPPORT_FOLDER / "mcuformer.h", forged)  # it takes the one beside it
            compiled[key] = _compile(project, EXAMPLE / "model_tflm.cc", name, forged, shape)
        data = project / "linked.tflite"
        data.write_bytes(linked)
        place = f'-DMCUFORMER_MODEL="{data.as_posix()}"'
        parts = [*always, compiled[key]]
        parts.append(_compile(project, EXAMPLE / "model_data.S", "model_data", project, place))
        program = project / "application"
        subprocess.run(["g++", *map(str, parts), "-o", str(program)], check=True)
        result = subprocess.run(
            [program], capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, **environment},
        )  # fmt: skip
        return result.returncode, result.stdout.splitlines()

    return run


def _source():
    return (EXAMPLE / "model_tflm.cc").read_text()


def _compile(project, source, name, shape=None, *flags):
    shape = shape or project / "project"
    result = project / f"{name}.o"
    language = [] if source.suffix == ".S" else ["-std=c++20", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        ["g++", *language, *flags, f"-I{shape}", f"-I{project}", f"-I{project / 'project'}",
         f"-I{CUSTOM_OPS}", f"-I{HELPERS}", "-c", str(source), "-o", str(result)],
        check=True,
    )  # fmt: skip
    return result


def _refusal(run):
    """The line in which the application refuses, and the calls of TFLM before it."""
    status, lines = run
    assert status == 1, lines
    assert not [line for line in lines if line.startswith("logits")], "no picture was read"
    calls = [line.removeprefix("call: ") for line in lines if line.startswith("call: ")]
    return lines[-1], calls


def test_pictures_are_classified_until_there_are_no_more(application):
    status, lines = application()
    assert (status, lines[-3:]) == (0, PICTURES)


def test_the_end_of_the_pictures_is_no_failure_where_the_image_comes_in_strips(application):
    # TFLM's operator fails when no strip comes, and says so; that line would mislead.
    status, lines = application(STRIPS="1")
    assert (status, lines[-3:]) == (0, PICTURES)
    assert not any("failed" in line for line in lines)


def test_another_model_than_the_firmwares_is_refused_before_tflm_opens_it(
    application, quantized, fashion_mnist
):
    other = convert(quantized, fashion_mnist.labels, schedule="paper")
    line, calls = _refusal(application(linked=other))
    assert "MCUFORMER_MODEL is not the model that MCUFORMER_FIRMWARE was written for" in line
    assert calls == ["VerifyModelBuffer"]


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_model_with_one_other_byte_of_the_same_size_is_refused(application, model, place):
    content = bytearray(model)
    content[int(place * len(content))] ^= 1
    line, _ = _refusal(application(linked=bytes(content)))
    assert "MCUFORMER_MODEL is not the model" in line


def test_no_bit_that_flips_leaves_the_sum_as_it_was():
    content = np.frombuffer(model_path("fashion_mnist_16k").read_bytes(), np.uint8)
    assert len(content) > 1 << 17, "both halves of the sum are wrapped around"
    sound = checksum(content.tobytes())
    behind = np.arange(len(content), 0, -1, np.uint32)
    for bit in range(8):
        changes = np.where(content >> bit & 1, -1, 1) << bit
        # As `checksum` adds bytes up, place by place.
        sums = (sound + changes * (behind.astype(np.int64) + (1 << 16))) % (1 << 32)
        assert (sums != sound).all()
        for place in (0, len(content) - (1 << 16), len(content) - 1):
            flipped = content.copy()
            flipped[place] ^= 1 << bit
            assert checksum(flipped.tobytes()) == sums[place]


def test_a_model_that_flatbuffers_refuses_is_not_looked_at_any_further(application, model):
    cut = model[: len(model) // 2]
    line, calls = _refusal(application(linked=cut, FAULT="VerifyModelBuffer"))
    assert line == "mcuformer_init failed: the model is damaged or cut short"
    assert calls == ["VerifyModelBuffer"]


def test_a_plan_that_the_arena_does_not_hold_is_told_with_the_arenas_bytes(application):
    line, _ = _refusal(application(arena=1024))
    assert line == (
        "mcuformer_init failed: the memory plan does not fit the memory that it is given; "
        "the arena has 1024 bytes"
    )


def test_a_damaged_plan_is_told(application, model):
    content = bytearray(model)
    content[model.index(read_graph(model).metadata[RECORD_NAME]) + 20] ^= 16
    damaged = bytes(content)
    line, _ = _refusal(application(linked=damaged, written_for=damaged))
    assert "the memory plan is damaged: its checksum is wrong" in line


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("RegisterMcuformerOps", "TFLM does not take the operators"),
        ("Create", "TFLM has no room for its allocator; the arena has 65536 bytes"),
        ("AllocateTensors", "TFLM cannot allocate, as its lines say; the arena has 65536 bytes"),
        ("SetMicroExternalContext", "TFLM does not take the image's source"),
    ],
)
def test_every_step_that_tflm_refuses_is_told_and_ends_the_run(application, step, told):
    line, calls = _refusal(application(FAULT=step))
    assert line == f"mcuformer_init failed: {told}"
    assert calls[-1] == step


def test_tflms_lines_hold_their_numbers(application):
    _, lines = application(FAULT="AllocateTensors")
    assert (
        "Failed to allocate tail memory. Requested: 20, available 4294967292, missing: 24" in lines
    )


@pytest.mark.parametrize("strips", [{}, {"STRIPS": "1"}])
def test_an_operator_that_fails_ends_the_run_with_an_error(application, strips):
    status, lines = application(FAULT="Invoke", **strips)
    assert (status, lines[-2:]) == (
        1,
        [
            "Node McuformerPatchEmbed (number 0) failed to invoke with status 1",
            "mcuformer_run_rows failed: an operator failed, as TFLM's lines say",
        ],
    )


def test_an_arena_too_small_for_tflms_own_objects_is_refused_by_the_compiler(application, capfd):
    with pytest.raises(subprocess.CalledProcessError):
        application(arena=32)
    assert "MCUFORMER_ARENA_BYTES is too small" in capfd.readouterr().err


@pytest.mark.parametrize("core", ["cortex-m7", "cortex-m55"])
def test_the_application_compiles_for_a_core_and_is_told_its_board_and_arena(model, project, core):
    result = subprocess.run(
        [find_tool(COMPILER), *core_flags(core), *COMPILE_FLAGS, "-std=c++20",
         "-fsyntax-only", "-DMCUFORMER_ARENA_BYTES=4096", f"-I{project}",
         f"-I{project / 'project'}", f"-I{CUSTOM_OPS}", f"-I{HELPERS}",
         str(EXAMPLE / "model_tflm.cc")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    graph = read_graph(model)
    told = (project / "project" / "model.cmake").read_text()
    assert "set(MCUFORMER_BOARD stm32f746)" in (project / "project" / "board.cmake").read_text()
    arena = cortex_m_arena_bytes(graph, read_plan(graph))
    assert f"set(MCUFORMER_TFLM_ARENA_BYTES {arena})" in told


def test_the_application_is_configured_by_the_boards_files(model, project, tmp_path):
    (tmp_path / "model.tflite").write_bytes(model)
    tree = tmp_path / "tree" / "tensorflow/lite/micro"
    tree.mkdir(parents=True)
    (tree / "micro_interpreter.cc").touch()
    written = project / "project"
    entries = {
        "CMAKE_TOOLCHAIN_FILE": written / "arm-none-eabi.cmake",
        "CMAKE_EXPORT_COMPILE_COMMANDS": "ON", "MCUFORMER_FIRMWARE": written,
        "MCUFORMER_MODEL": tmp_path / "model.tflite", "MCUFORMER_TFLM_DIR": tmp_path / "tree",
    }  # fmt: skip
    subprocess.run(
        [find_tool("cmake"), "-S", EXAMPLE, "-B", tmp_path / "build",
         *(f"-D{name}={value}" for name, value in entries.items())],
        check=True, capture_output=True,
    )  # fmt: skip
    commands = json.loads((tmp_path / "build/compile_commands.json").read_text())
    compiled = {Path(command["file"]).name: command["command"] for command in commands}
    assert {"model_tflm.cc", "protection_armv7m.cc", "stm32f746.cc", "attention.cc"} <= set(
        compiled
    )
    kernels = {path.name for path in (CUSTOM_OPS / "kernels").rglob("*.[cS]*")}
    assert kernels <= set(compiled), "whatever the core, which leaves out what is another's"
    for command in compiled.values():
        assert "-mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -mfloat-abi=hard -mthumb" in command
    links = (tmp_path / "build/CMakeFiles/firmware.dir/link.txt").read_text()
    assert f"-T{written}/board.ld" in links


def test_the_application_says_what_it_lacks(tmp_path):
    with pytest.raises(ToolchainError, match="MCUFORMER_FIRMWARE is ''"):
        build_project(
            EXAMPLE, tmp_path, CMAKE_TOOLCHAIN_FILE=SUPPORT_FOLDER / "arm-none-eabi.cmake"
        )
