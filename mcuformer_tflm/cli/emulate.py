"""The command ``mcuformer emulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import Board, Data, DataFolder, JsonFile, Model
from mcuformer_tflm.cli.outputs import Figures, check_writable
from mcuformer_tflm.keras_models.exceptions import EmulatorError


def emulate(
    model: Model,
    board: Board = "stm32f746",
    data: Data = "fashion-mnist",
    data_folder: DataFolder = None,
    limit: Annotated[int, typer.Option(min=1, help="Use so many test images.")] = 50,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="Write the log of firmware that counts cycles to this file, for `mcuformer "
            "profile`. An emulator has no cycles: its clock goes by instructions."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Run a model's firmware on an emulated Cortex-M and compare it with TFLM, byte for byte.

    The core is QEMU's; lengths of RAM and flash, and the guards around them, are the board's.

    Example: `mcuformer emulate build/demo/model.tflite --board stm32f427`
    """
    from mcuformer_tflm.data.image_data import quantize_images
    from mcuformer_tflm.data.load import load
    from mcuformer_tflm.emulator.arm_boards import ARM_BOARDS
    from mcuformer_tflm.firmware.emulation import emulate_firmware
    from mcuformer_tflm.keras_models.whole_file import write_whole
    from mcuformer_tflm.search.board import get_board
    from mcuformer_tflm.search.progress import waiting

    figures = Figures(json_file)
    target = get_board(board)
    if profile is not None:
        check_writable(profile.parent)
    pictures = quantize_images(load(data, data_folder).test_images[:limit])
    with waiting(f"Building the firmware of {target.name}, and running it"):
        found = emulate_firmware(model, target, pictures, profile=profile is not None)
    image, run, total = found.image, found.run, len(found.expected)
    figures.console.print(
        f"{target.name} emulated ({ARM_BOARDS[target.core].name}, {target.core}): {found.equal} of "
        f"{total} images give TFLM's bytes. Code {image.code_bytes:,}, constants "
        f"{image.constant_bytes:,}, arena of the firmware {image.arena_bytes:,}, stack of the "
        f"whole program {run.stack_bytes:,} bytes.",
        soft_wrap=True,
    )
    if profile is not None:
        write_whole(profile, run.log)
        figures.console.print(f"Cycles, counted by QEMU, written to {profile}", soft_wrap=True)
    figures.tell(
        {
            "board": target.name,
            "core": target.core,
            "images": total,
            "equal": found.equal,
            "code_bytes": image.code_bytes,
            "constant_bytes": image.constant_bytes,
            "arena_bytes": image.arena_bytes,
            "stack_bytes": run.stack_bytes,
        }
    )
    if found.equal != total:
        raise EmulatorError("The firmware's answers differ from TFLM's; please report the model.")
