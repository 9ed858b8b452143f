"""Whatever tensors, folders and a board's sources are named, a project holds names and builds."""

import dataclasses
import itertools
import re
import subprocess

import pytest

from mcuformer_tflm.bench.models import one_block_vit, random_model
from mcuformer_tflm.emulator.toolchain import COMPILER, core_flags, find_tool
from mcuformer_tflm.firmware.build import build_project, check_buildable
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.firmware.step import unique_identifiers
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.tflite.file import pack, unpack

HOSTILE = (
    "x\n#error planted", "x */ #error planted /*", "x\\", "x\r\n#error planted", "x\u2028planted",
    "x??/", "$(touch planted)", "${planted}", "x;planted", "]]planted", "<script>", "x\0planted",
    "run", "init", "", "1", "x", "x", "x_2", "\U0001f600", 'x"); planted(', "x" * 1000,
)  # fmt: skip


@pytest.fixture(scope="module")
def model(fashion_mnist):
    return random_model(one_block_vit(), fashion_mnist.train_images[:2])


@pytest.mark.parametrize("first", range(3))
def test_hostile_names_change_no_line_of_the_program(model, tmp_path, first):
    content = unpack(model)
    names = itertools.cycle(HOSTILE)
    for _ in range(first * 5):
        next(names)
    for tensor in content.subgraphs[0].tensors:
        tensor.name = next(names).encode()
    export_firmware(pack(content), "stm32f746", tmp_path / "out")
    for name in ("model.cc", "model_shape.h", "constants.S"):
        text = (tmp_path / "out" / name).read_text(encoding="ascii")
        assert not re.search(r"^\s*(#error|planted)", text, re.M), name
        assert not re.search(r"\\$", text, re.M), name
        assert max(map(len, text.splitlines())) < 1000
    subprocess.run(
        [find_tool(COMPILER), *core_flags("cortex-m7"), "-std=c++20", "-fsyntax-only", "-Werror",
         "-I", tmp_path / "out", tmp_path / "out" / "model.cc"],
        check=True,
    )  # fmt: skip


def test_no_two_names_become_one_identifier():
    identifiers = unique_identifiers([*HOSTILE, "x_2", "x 2", "x__2"])
    assert len(set(identifiers)) == len(identifiers)
    assert all(name.isidentifier() and name.isascii() for name in identifiers)


def test_a_project_builds_in_a_folder_of_an_odd_name(model, tmp_path):
    source = tmp_path / 'a;b $(touch planted) "c.cc'
    source.write_text("// The board's clocks.\n")
    board = dataclasses.replace(get_board("stm32f746"), name="mine", start_up=str(source))
    project = tmp_path / "-a b$c#d'e(f)g&h[i]*,\u00e9\u4e2d{j}%k=l<m>n`o!$(touch planted)"
    export_firmware(model, board, project)
    assert build_project(project, project / "build").code_bytes > 10_000
    assert not [path for path in tmp_path.rglob("planted")]


@pytest.mark.parametrize(
    "part", [";", '"', "\\", ":", "|", "?", "${x}", "$ENV{x}", "$<x>", "\n", "\t"]
)
def test_a_folder_in_which_cmake_builds_nothing_is_refused_and_left(model, tmp_path, part):
    project = tmp_path / f"a{part}b" / "project"
    with pytest.raises(ConfigError, match="give a folder of another name"):
        export_firmware(model, "stm32f746", project)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="which CMake or Make reads"):
        check_buildable(project)
