"""The command line that the examples share."""

import pytest

from mcuformer_tflm.search.board_file import BOARD_FOLDER
from mcuformer_tflm.task.command import task_parser

PARSER = task_parser(None, "stm32f746", "build/task")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ([], "stm32f746"),
        (["--board", "STM32F427"], "stm32f427"),
        (["--board", str(BOARD_FOLDER / "stm32h743.toml")], "stm32h743"),
    ],
)
def test_a_board_is_a_name_or_a_file(given, name):
    assert PARSER.parse_args(["--data", "folder", *given]).board.name == name


def test_milliseconds_are_a_number_or_no_limit():
    assert PARSER.parse_args(["--data", "folder"]).ms is None
    assert PARSER.parse_args(["--data", "folder", "--ms", "12.5"]).ms == 12.5


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("stm32f764", "--board: There is no board 'stm32f764'"),
        ("nowhere/mine.toml", "--board: nowhere/mine.toml: there is no such file"),
    ],
)
def test_a_wrong_board_is_told_before_any_data_is_read(given, told, capsys):
    with pytest.raises(SystemExit) as end:
        PARSER.parse_args(["--data", "folder", "--board", given])
    assert end.value.code == 2
    assert told in capsys.readouterr().err
