"""What the command lines of the examples share."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import tf_keras

from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.search.board import Board, get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.progress import progress_bars
from mcuformer_tflm.task.data import TaskData
from mcuformer_tflm.task.flow import TaskSettings, run_task
from mcuformer_tflm.task.report import Report
from mcuformer_tflm.task.terminal import results


def task_parser(description: str | None, board: str, out: str) -> argparse.ArgumentParser:
    """Returns a parser of ``--data``, ``--board``, ``--ms``, ``--out``, ``--seed``, ``--smoke``.

    Args:
        description: The example's docstring.
        board: Which one is the default.
        out: Which folder of results is the default.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument(
        "--board", type=_board, default=board, help="a known board's name, or its .toml file"
    )
    parser.add_argument(
        "--ms", type=float, help="limit an inference to so many milliseconds, by estimate"
    )
    parser.add_argument("--out", type=Path, default=Path(out), help="folder of the results")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--smoke", action="store_true", help="the least work that goes through every step"
    )
    return parser


def _board(name: str) -> Board:
    try:
        return get_board(name)
    except ConfigError as error:  # told before any data is read
        raise argparse.ArgumentTypeError(str(error)) from error


def run_and_print(
    data: TaskData,
    arguments: argparse.Namespace,
    settings: TaskSettings,
    *,
    teacher: tf_keras.Model | None = None,
) -> Report:
    """Runs a task with progress bars and prints its report; raises as ``run_task`` does.

    Args:
        data: What the network learns.
        arguments: What ``task_parser`` parsed.
        settings: How much work to do, if it is no smoke run.
        teacher: As for ``run_task``.
    """
    budget = Budget.of_board(arguments.board, milliseconds=arguments.ms)
    console = results()
    console.print(
        f"{', '.join(data.labels[:20])} for {budget}, seed {arguments.seed}", soft_wrap=True
    )
    with progress_bars() as progress:
        report = run_task(
            data, budget, arguments.out, progress, arguments.seed,
            settings.smoke() if arguments.smoke else settings, teacher=teacher,
            command=shlex.join(["python", *sys.argv]),
        )  # fmt: skip
    console.print(report.table())
    written = ", ".join(sorted(path.name for path in arguments.out.iterdir()))
    console.print(f"Written to {arguments.out}: {written}", soft_wrap=True)
    return report
