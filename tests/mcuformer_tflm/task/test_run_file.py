"""Run files: what they hold, and what is refused in them."""

import pytest

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.space import FASHION_MNIST_WIDE_SPACE
from mcuformer_tflm.task.run_file import SearchRun


@pytest.mark.parametrize(
    "run",
    [
        SearchRun("fashion-mnist", "stm32f427"),
        SearchRun(
            "images-32x32x3:a folder/with \"marks\"", arena_kib=16, flash_kib=128, seed=7,
            minutes=0.5, space=FASHION_MNIST_WIDE_SPACE, weight_bits=4, residual_bits=16,
            training=TrainingRecipe(clip_norm=None, ema_decay=0.99, flip_probability=0.5),
        ),
        SearchRun("d", "stm32f427", train_supernet=True),
        SearchRun(board="mine.toml", supernet="fashion_mnist", ms=80, arena_kib=32),
    ],
)  # fmt: skip
def test_what_is_written_is_read_as_the_same_run(run, tmp_path):
    path = tmp_path / "run.toml"
    run.write(path)
    assert SearchRun.read(path) == run
    assert SearchRun.read(path, seed=3, board=None).seed == 3, "what is given counts"


def test_minutes_are_half_an_hour_or_with_a_supernet_five():
    assert SearchRun("d", "b").minutes == 30
    assert SearchRun(board="b", supernet="s").minutes == 5


def test_budget_is_the_boards_within_the_limits_or_the_limits_alone():
    board = get_board("stm32f427")
    assert SearchRun("d", "stm32f427").budget() == Budget.of_board(board)
    limited = SearchRun("d", "stm32f427", arena_kib=32, flash_kib=100, ms=80).budget()
    assert (limited.sram, limited.flash, limited.milliseconds) == (32_768, 102_400, 80)
    assert SearchRun("d", "stm32f427", flash_kib=1 << 20).budget().flash < board.flash_budget
    alone = SearchRun("d", arena_kib=8, flash_kib=64).budget()
    assert (alone.arena, alone.flash, alone.board) == (8192, 65_536, None)
    assert str(alone).startswith("8 KiB of arena, 64 KiB of flash")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("board = 'b'", "data is missing"),
        ("data = 'd'", "board is missing; give a board, or both arena_kib and flash_kib"),
        ("data = 'd'\narena_kib = 8", "board is missing"),
        ("data = 'd'\narena_kib = 8\nflash_kib = 8\nms = 3", "ms is 3, but no board"),
        ("data = 'd'\nboard = 'b'\nfoo = 1", "foo is no field; known are data, board"),
        ("data = 'd'\nboard = 'b'\nminutes = 0", "minutes is 0"),
        ("data = 'd'\nboard = 'b'\nminutes = nan", "minutes is nan"),
        ("data = 'd'\nboard = 'b'\nseed = -1", "seed is -1"),
        ("data = 'd'\nboard = 'b'\narena_kib = 0", "arena_kib is 0"),
        ("data = 'd'\nboard = 'b'\nflash_kib = 'x'", "flash_kib is 'x'"),
        ("data = 3\nboard = 'b'", "data is 3"),
        ("data = ''\nboard = 'b'", "data is ''"),
        ("data = 'd'\nboard = 'b'\n[space]\npatch = 3", "space: 'patch' is no field"),
        ("data = 'd'\nboard = 'b'\n[training]\nrate = 3", "training: rate is no field"),
        ("data = 'd'\nboard = 'b'\n[training]\nlearning_rate = -1", "learning_rate is -1"),
        ("data = 'd'\nboard = 'b'\nspace = 3", "space is 3; it must be of the type SearchSpace"),
        (
            "supernet = 's'\nboard = 'b'\n[space]\nimage_size = 64",
            "space is given, but the supernet",
        ),
        ("data = 'd'\nboard = 'b'\ntrain_supernet = 1", "train_supernet is 1"),
        ("supernet = 's'\nboard = 'b'\ntrain_supernet = true", "train_supernet is true, but there"),
        ("data = ", "is no run file that can be read"),
    ],
)
def test_a_wrong_field_is_refused_by_file_and_name(text, told, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        SearchRun.read(path)
    assert str(path) in str(refusal.value)
    assert told in str(refusal.value)
