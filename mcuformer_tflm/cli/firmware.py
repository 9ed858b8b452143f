"""The command ``mcuformer firmware``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import Board, Model
from mcuformer_tflm.cli.outputs import writing
from mcuformer_tflm.task.terminal import results


def firmware(
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder of the project.")],
    board: Board = "stm32f746",
) -> None:
    """Write a model as a self-contained C++ project for a board, without an interpreter.

    Example: `mcuformer firmware build/demo/model.tflite --board stm32f746 --out build/firmware`
    """
    from mcuformer_tflm.firmware.project import export_firmware
    from mcuformer_tflm.search.board import get_board

    target = get_board(board)
    with writing(out):
        placement = export_firmware(model, target, out)
    console = results()
    console.print(
        f"Firmware for {target.name} written to {out}: an arena of {placement.arena_bytes:,} "
        f"bytes, {placement.internal_bytes:,} bytes of constants in internal flash, "
        f"{placement.external_bytes:,} in external flash. Build and flash it:",
        soft_wrap=True,
    )
    toolchain = "-DCMAKE_TOOLCHAIN_FILE=arm-none-eabi.cmake"
    build = out / "build"
    for command in (
        ["cmake", "-S", out, "-B", build, toolchain],
        ["cmake", "--build", build],
        ["st-flash", "write", build / "firmware.bin", "0x08000000"],
    ):
        console.print(f"  {shlex.join(map(str, command))}", soft_wrap=True)
    if placement.external_bytes:
        console.print("External flash is written by OpenOCD: docs/firmware.md, Flash and run.")
