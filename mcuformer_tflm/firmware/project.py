"""``export_firmware``: writes a model as a self-contained C++ project for a board."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mcuformer_tflm.emulator.arm_boards import ARM_BOARDS
from mcuformer_tflm.emulator.toolchain import kernel_folder
from mcuformer_tflm.firmware.board_files import board_files, find_start_up
from mcuformer_tflm.firmware.build import check_buildable
from mcuformer_tflm.firmware.fit import Placement, place_model
from mcuformer_tflm.firmware.source import check_operators, write_source
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.keras_models.whole_file import remove_partials, whole_folder
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.tflite.file import Model, model_content
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

SUPPORT_FOLDER = Path(__file__).parent / "support"
_START_UP = Path("board/start_up")
_MARK = ".mcuformer-firmware"


def export_firmware(model: Model, board: Board | AnyPath, out: AnyPath) -> Placement:
    """Writes a converted model as a C++ project without an interpreter.

    The project holds the model's constants, an arena of exactly the planned size, straight-line
    calls of the kernels, start-up code, the board's linker script and memory protection, and an
    application; nothing else is needed to build it but Debian's arm-none-eabi compiler and CMake
    (docs/firmware.md).

    Args:
        model: Path of a ``.tflite``, or its bytes.
        board: The board, its name, or its TOML file (docs/own-board.md).
        out: Folder of the project. What an earlier export wrote there is replaced; other files
            in it stay.

    Returns:
        Where everything will lie.

    Raises:
        BudgetError: If the board cannot hold it; nothing is written.
        ConfigError: If firmware cannot be written for the board: its core, its memories or its
            start-up; or ``out`` is a folder of something else, cannot be written, or has a
            name in which CMake builds nothing.
        ModelError: If the model is damaged or foreign; names foreign operators.
        PlanError: If its memory plan does not hold.
    """
    out = checked_path("out", out)
    target = get_board(board)
    check_buildable(out)
    start_up = find_start_up(target, SUPPORT_FOLDER / _START_UP)
    first = None if start_up is None else _START_UP / f"{allowed(start_up.stem, 'identifier')}.cc"
    generated = board_files(target, first)
    content, graph = opened_model(model)
    placement = place_model(graph, target)
    source = write_source(content, graph, placement.plan, set(placement.external))
    check_free(out, _MARK)
    with whole_folder(out) as project:
        shutil.copytree(SUPPORT_FOLDER, project, ignore=_no_start_ups, dirs_exist_ok=True)
        if start_up is not None and first is not None:
            shutil.copy(start_up, project / first)
        shutil.copytree(kernel_folder(), project / "kernels", ignore=ignoring_build_files)
        (project / "model.cc").write_text(source.model, encoding="utf-8")
        (project / "model_shape.h").write_text(source.shape, encoding="utf-8")
        (project / "constants.S").write_text(source.assembly, encoding="utf-8")
        (project / "constants.bin").write_bytes(source.constants)
        for name, text in generated.items():
            (project / name).parent.mkdir(exist_ok=True)
            (project / name).write_text(text, encoding="utf-8")
        fill(project, _values(graph, target, placement, project))
        (project / _MARK).touch()
    return placement


def _values(graph: ModelGraph, board: Board, placement: Placement, project: Path) -> dict[str, str]:
    return {
        "BOARD": board.name,
        "KERNELS": "\n  ".join(kernel_sources(project)),
        "MACHINE": ARM_BOARDS[board.core].name,
        "FLASH_ADDRESS": f"0x{board.flash_address:08x}",
        "ARENA_BYTES": f"{placement.arena_bytes:,}",
        "INTERNAL_BYTES": f"{placement.internal_bytes:,}",
        "EXTERNAL_BYTES": f"{placement.external_bytes:,}",
        "TFLM_ARENA_BYTES": str(cortex_m_arena_bytes(graph, placement.plan)),
        "DEFINITIONS": definitions(graph),
    }


def opened_model(model: Model) -> tuple[bytes, ModelGraph]:
    """Returns a model's bytes and graph, all of whose operators the firmware has.

    Raises:
        ModelError: If the model is damaged or foreign; names foreign operators.
    """
    content = model_content(model)
    graph = read_graph(content)
    check_operators(graph)
    if isinstance(model, str | os.PathLike):
        # A file may be anybody's: TFLM, in a child process, lets every operator check its inputs.
        MicroInterpreter(content)
    return content, graph


def check_free(out: AnyPath, mark: str) -> None:
    """Checks that a folder holds nothing but what an export with that mark has written.

    Raises:
        ConfigError: If it holds something else.
    """
    out = checked_path("out", out)
    remove_partials(out)
    if out.exists() and not (out / mark).exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} holds other files; give a new folder with --out.")


def kernel_sources(project: AnyPath) -> list[str]:
    """Returns the kernels' sources, relative to the project.

    One by one: where CMake looked for them, a folder's name may be a pattern.
    """
    project = checked_path("project", project)
    sources = [path for kind in ("cc", "S") for path in project.glob(f"**/kernels/**/*.{kind}")]
    return sorted(path.relative_to(project).as_posix() for path in sources)


def definitions(graph: ModelGraph) -> str:
    """Returns the macro under which kernels leave out what a model does not use, or nothing."""
    int8_only = all(op.options.get("weight_bits", 8) == 8 for op in graph.operators)
    return "MCUFORMER_INT8_WEIGHTS_ONLY" if int8_only else ""


def fill(project: AnyPath, values: dict[str, str]) -> None:
    """Writes each ``NAME.in`` as ``NAME``, with values in the places of their names."""
    for path in checked_path("project", project).rglob("*.in"):
        text = path.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        path.with_suffix("").write_text(text, encoding="utf-8")
        path.unlink()


def _no_start_ups(folder: str, names: list[str]) -> set[str]:
    # Of the boards' sources the project has its own alone, and the headers that they share.
    start_ups = Path(folder) == SUPPORT_FOLDER / _START_UP
    return {name for name in names if start_ups and name.endswith(".cc")}


def ignoring_build_files(_: str, names: list[str]) -> set[str]:
    """Returns what of the kernels' folder is no source, as ``shutil.copytree`` asks for it."""
    return {name for name in names if not name.endswith((".h", ".cc", ".S")) and "." in name}
