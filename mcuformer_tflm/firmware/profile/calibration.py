"""A board's file with the cycles an instruction that were measured on it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from mcuformer_tflm.keras_models.checked_values import AnyPath, checked_path, checked_real
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.foreign_text import allowed
from mcuformer_tflm.keras_models.whole_file import write_whole
from mcuformer_tflm.search.board import Board, get_board, read_board
from mcuformer_tflm.search.board_file import BOARD_FOLDER, SUFFIX

_TABLE, _FIELD = "calibration", "cycles_per_instruction"
_DIGITS = 6


def check_calibration(path: AnyPath, board: AnyPath) -> None:
    """Checks, before anything is measured, that a board's file can be calibrated.

    Raises:
        ConfigError: As ``write_calibration`` does.
    """
    _source(checked_path("calibrate", path), board)


def write_calibration(
    path: AnyPath, board: AnyPath, cycles_per_instruction: float, origin: str
) -> Board:
    """Writes a board's file whose later estimates go by what was measured.

    Everything else in the file stays, comments too.

    Args:
        path: The file. If it is not there, it becomes a copy of the board's own.
        board: The board's name, or its file.
        cycles_per_instruction: What was measured.
        origin: Where it is from, told in a comment beside it.

    Returns:
        The board that the file now describes.

    Raises:
        ConfigError: If the file is of another board, or the board has none.
    """
    import tomlkit
    from tomlkit.items import InlineTable, Table

    file = checked_path("calibrate", path)
    value = checked_real(_FIELD, cycles_per_instruction, open_below=True)
    source = _source(file, board)
    content = source.read_bytes().decode()
    end = "\r\n" if "\r\n" in content else "\n"
    document = tomlkit.parse(content.replace("\r\n", "\n"))
    start_up = read_board(source).start_up
    if source != file and start_up is not None and os.path.isabs(start_up):
        document["start_up"] = os.path.relpath(start_up, file.parent)  # told from the other file
    item = tomlkit.item(float(f"{value:.{_DIGITS}g}"))
    item.comment(allowed(origin, "comment"))
    table = document.get(_TABLE)
    if isinstance(table, InlineTable):  # has no room for a comment
        del document[_TABLE]
    if not isinstance(table, Table):
        document[_TABLE] = table = tomlkit.table()
    table[_FIELD] = item
    write_whole(file, document.as_string().replace("\n", end))
    return read_board(file)


def _source(file: Path, board: AnyPath) -> Path:
    """Returns the file whose content is kept: the file itself where it is there."""
    if file.suffix.lower() != SUFFIX:
        raise ConfigError(f"calibrate is {file}; the name of a board's file ends in {SUFFIX}.")
    target = get_board(board)
    if file.exists():
        if _uncalibrated(read_board(file)) != _uncalibrated(target):
            raise ConfigError(f"{file} describes another board than {os.fspath(board)}.")
        return file
    for source in (BOARD_FOLDER / f"{os.fspath(board).lower()}{SUFFIX}", Path(board)):
        if source.is_file():
            return source
    raise ConfigError(f"The board {target.name} has no file that could be copied to {file}.")


def _uncalibrated(board: Board) -> Board:
    return dataclasses.replace(board, cycles_per_instruction=None)
