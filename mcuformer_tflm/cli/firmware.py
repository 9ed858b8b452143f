"""The command ``mcuformer firmware``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mcuformer_tflm.cli.options import Board, JsonFile, Model
from mcuformer_tflm.cli.outputs import Figures, writing

if TYPE_CHECKING:
    from mcuformer_tflm.firmware.fit import Placement
    from mcuformer_tflm.search.board import Board as Memories

Form = Literal["project", "zephyr", "arduino"]

# Where ST's chips have their flash, which st-flash writes.
_ST_FLASH = 0x08000000


def firmware(
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder of the project.")],
    board: Board = "stm32f746",
    form: Annotated[
        Form,
        typer.Option(
            help="project: a program for the board. zephyr, arduino: a library for such a program "
            "of yours, whatever its board (arduino is PlatformIO's too)."
        ),
    ] = "project",
    json_file: JsonFile = None,
) -> None:
    """Write a model as a self-contained C++ project for a board, without an interpreter.

    Example: `mcuformer firmware build/demo/model.tflite --board stm32f746 --out build/firmware`
    """
    from mcuformer_tflm.firmware.fit import RAM_RESERVE
    from mcuformer_tflm.firmware.library import export_library
    from mcuformer_tflm.firmware.project import export_firmware
    from mcuformer_tflm.search.board import get_board
    from mcuformer_tflm.tflite.model_graph import read_graph

    figures = Figures(json_file)
    if form != "project":
        with writing(out):
            arena = export_library(model, out, form=form)
        figures.console.print(
            f"Library written to {out}, with an arena of {arena:,} bytes: see {out / 'README.md'}.",
            soft_wrap=True,
        )
        figures.tell({"form": form, "library": str(out), "arena_bytes": arena})
        return
    target = get_board(board)
    with writing(out):
        placement = export_firmware(model, target, out)
    console = figures.console
    console.print(
        f"Firmware for {target.name} written to {out}: an arena of {placement.arena_bytes:,} "
        f"bytes, {placement.internal_bytes:,} bytes of constants in internal flash, "
        f"{placement.external_bytes:,} in external flash. Build and flash it:",
        soft_wrap=True,
    )
    toolchain = "-DCMAKE_TOOLCHAIN_FILE=arm-none-eabi.cmake"
    build, address = out / "build", f"0x{target.flash_address:08x}"
    commands = [["cmake", "-S", out, "-B", build, toolchain], ["cmake", "--build", build]]
    if target.flash_address == _ST_FLASH:
        commands.append(["st-flash", "write", build / "firmware.bin", address])
    for command in commands:
        console.print(f"  {shlex.join(map(str, command))}", soft_wrap=True)
    figures.tell(
        {
            "board": target.name,
            "project": str(out),
            "arena_bytes": placement.arena_bytes,
            "internal_bytes": placement.internal_bytes,
            "external_bytes": placement.external_bytes,
            "commands": [list(map(str, command)) for command in commands],
        }
    )
    if target.flash_address != _ST_FLASH:
        console.print(f"{build / 'firmware.bin'} belongs at {address}.", soft_wrap=True)
    if placement.external_bytes:
        external = f"0x{target.external_flash_address:08x}"
        console.print(
            f"{build / 'firmware_external.bin'} belongs at {external}, in external flash: "
            "docs/firmware.md, Flash and run.",
            soft_wrap=True,
        )
        console.print(_reading(placement, target), soft_wrap=True)
        if not any("block_tokens" in operator.options for operator in read_graph(model).operators):
            budget = target.arena_budget - RAM_RESERVE
            console.print(
                "Each pass over weights serves four tokens. With more arena it serves more, and "
                f"less is read: convert(..., arena_budget={budget}).",
                soft_wrap=True,
            )


def _reading(placement: Placement, board: Memories) -> str:
    speed, read = board.external_bytes_per_second, placement.external_bytes_read
    text = f"An inference reads about {read / 1e6:,.1f} MB of external flash, an estimate"
    return text + (f": {read / speed * 1000:,.0f} ms at {speed / 1e6:g} MB/s." if speed else ".")
