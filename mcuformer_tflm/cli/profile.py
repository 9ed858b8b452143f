"""The command ``mcuformer profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcuformer_tflm.cli.options import Board, JsonFile
from mcuformer_tflm.cli.outputs import Figures, check_picture, check_writable
from mcuformer_tflm.keras_models.exceptions import ConfigError


def profile(
    log: Annotated[Path, typer.Argument(help="What the board's program wrote (its UART).")],
    model: Annotated[Path, typer.Option(help="The .tflite whose firmware wrote it.")],
    board: Board = "stm32f746",
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="The input.bin of the run: instructions are counted for its first "
            "picture, which changes them little. Without it, for noise.",
        ),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw to this .png or .svg.")] = None,
    json_file: JsonFile = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Write the cycles an instruction to this board's file, a .toml: given as --board, "
            "later estimates go by them."
        ),
    ] = None,
) -> None:
    """Put the cycles that a board has measured beside counted instructions and estimates.

    The firmware is built with -DMCUFORMER_PROFILE=ON; docs/firmware.md, "A clock on the chip".

    Example: `mcuformer profile uart.log --model build/demo/model.tflite --board stm32f746`
    """
    from mcuformer_tflm.firmware.profile.calibration import check_calibration, write_calibration
    from mcuformer_tflm.firmware.profile.comparison import compare, first_picture
    from mcuformer_tflm.firmware.profile.log import read_profile_log
    from mcuformer_tflm.firmware.profile.picture import draw_profile
    from mcuformer_tflm.firmware.profile.table import profile_table
    from mcuformer_tflm.search.progress import waiting

    check_picture(picture)
    figures = Figures(json_file)
    for path in (picture, calibrate):
        if path is not None:
            check_writable(path.parent)
    if calibrate is not None:
        check_calibration(calibrate, board)
    read = read_profile_log(log)
    shown = None if pictures is None else first_picture(pictures, model)
    with waiting("Building the firmware, and counting its instructions"):
        found = compare(read, model, board, shown)
    total, core = found.total, found.internal
    console = figures.console
    console.print(profile_table(found))
    span = f"{min(found.totals):,} to {max(found.totals):,}"
    console.print(
        f"{found.board} ({found.core}, {found.megahertz} MHz), {found.inferences} inferences of "
        f"{span} cycles, counted by {found.counter}, and their mean above: "
        f"{found.milliseconds(total.cycles):.2f} ms. Estimated "
        f"{found.milliseconds(total.cycles_estimated):.2f} ms. "
        f"The camera took {found.camera_cycles:,.0f} cycles more, which are in no operator.",
        soft_wrap=True,
    )
    if not found.of_a_core:
        console.print(
            f"{found.counter} is not a core's own counter: these are no cycles of a chip.",
            soft_wrap=True,
        )
    if (speed := found.external_bytes_per_second) is not None:
        console.print(
            f"What the operators marked * took beyond their instructions reads {speed / 1e6:.1f} "
            f"MB a second of {total.external_bytes:,} bytes from external flash.",
            soft_wrap=True,
        )
    figures.tell(found.figures())
    if picture is not None:
        draw_profile(found, picture, title=model.name)
        console.print(f"Drawn to {picture}", soft_wrap=True)
    if calibrate is None:
        return
    if core is None:
        raise ConfigError(
            "Every operator reads external flash, so no cycles an instruction of the core can be "
            f"told, and {calibrate} is not written. Profile a model whose constants fit flash."
        )
    origin = f"mcuformer profile: {log.name} of {model.name}, counted by {found.counter}"
    written = write_calibration(calibrate, board, core.cycles_per_instruction, origin)
    share = core.instructions / total.instructions
    console.print(
        f"{calibrate}: {written.cycles_per_instruction:g} cycles an instruction, of the operators "
        f"whose constants lie in internal flash ({share:.1%} of the instructions). Estimates for "
        f"--board {calibrate} go by it.",
        soft_wrap=True,
    )
