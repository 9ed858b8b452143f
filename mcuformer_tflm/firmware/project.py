"""``export_firmware``: writes a model as a self-contained C++ project for a board."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from mcuformer_tflm.emulator.toolchain import kernel_folder
from mcuformer_tflm.firmware.fit import Placement, place_model
from mcuformer_tflm.firmware.source import check_operators, write_source
from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.tflite.file import Model, model_content
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

SUPPORT_FOLDER = Path(__file__).parent / "support"
_MARK = ".mcuformer-firmware"


def export_firmware(model: Model, board: Board | str, out: AnyPath) -> Placement:
    """Writes a converted model as a C++ project without an interpreter.

    The project holds the model's constants, an arena of exactly the planned size, straight-line
    calls of the kernels, start-up code, linker scripts and an application; nothing else is
    needed to build it but Debian's arm-none-eabi compiler and CMake (docs/firmware.md).

    Args:
        model: Path of a ``.tflite``, or its bytes.
        board: The board, or its name: one that has a linker script here.
        out: Folder of the project. What an earlier export wrote there is replaced; other files
            in it stay.

    Returns:
        Where everything will lie.

    Raises:
        BudgetError: If the board cannot hold it; nothing is written.
        ConfigError: If the board has no linker script, or ``out`` is a folder of something else.
        ModelError: If the model is damaged or foreign; names foreign operators.
        PlanError: If its memory plan does not hold.
    """
    out = checked_path("out", out)
    target = get_board(board)
    if not (SUPPORT_FOLDER / "board" / f"{target.name}.ld").exists():
        known = ", ".join(sorted(path.stem for path in SUPPORT_FOLDER.glob("board/stm32*.ld")))
        raise ConfigError(
            f"There is no linker script for {target.name}; there are {known}. Write one beside "
            f"{SUPPORT_FOLDER / 'board'}/stm32f746.ld."
        )
    content = model_content(model)
    graph = read_graph(content)
    check_operators(graph)
    if isinstance(model, str | os.PathLike):
        # A file may be anybody's: TFLM, in a child process, lets every operator check its inputs.
        MicroInterpreter(content)
    placement = place_model(graph, target)
    source = write_source(content, graph, placement.plan, set(placement.external))
    if out.exists() and not (out / _MARK).exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} holds other files; give a new folder with --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        project = Path(folder)
        shutil.copytree(SUPPORT_FOLDER, project, dirs_exist_ok=True)
        shutil.copytree(kernel_folder(), project / "kernels", ignore=_no_build_files)
        (project / "model.cc").write_text(source.model, encoding="utf-8")
        (project / "model_shape.h").write_text(source.shape, encoding="utf-8")
        (project / "constants.S").write_text(source.assembly, encoding="utf-8")
        (project / "constants.bin").write_bytes(source.constants)
        values = _values(graph, target, placement)
        for path in project.glob("*.in"):
            path.with_suffix("").write_text(
                _fill(path.read_text(encoding="utf-8"), values), encoding="utf-8"
            )
            path.unlink()
        (project / _MARK).touch()
        _move(project, out)
    return placement


def _values(graph: ModelGraph, board: Board, placement: Placement) -> dict[str, str]:
    int8_only = all(op.options.get("weight_bits", 8) == 8 for op in graph.operators)
    return {
        "BOARD": board.name,
        "MEGAHERTZ": str(board.megahertz or 0),
        "ARENA_BYTES": f"{placement.arena_bytes:,}",
        "INTERNAL_BYTES": f"{placement.internal_bytes:,}",
        "EXTERNAL_BYTES": f"{placement.external_bytes:,}",
        "TFLM_ARENA_BYTES": str(cortex_m_arena_bytes(graph, placement.plan)),
        "DEFINITIONS": "MCUFORMER_INT8_WEIGHTS_ONLY" if int8_only else "",
    }


def _fill(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def _no_build_files(_: str, names: list[str]) -> set[str]:
    return {name for name in names if not name.endswith((".h", ".cc", ".S")) and "." in name}


def _move(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            os.replace(path, place)
