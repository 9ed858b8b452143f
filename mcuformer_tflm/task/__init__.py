"""The whole flow of one task: data, search, training, report.

``run_task`` takes ``TaskData`` (of ``folder_task``, ``speech_task`` or your own) through it as far
as ``TaskSettings`` say; ``task_parser`` and ``run_and_print`` make a command line of that.
``run_search`` takes a ``SearchRun`` through it in planned minutes. Names load on first use; modules
below may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer_tflm.lazy_names import load_on_first_use

if TYPE_CHECKING:
    from mcuformer_tflm.task.board_search import run_search, search_data
    from mcuformer_tflm.task.command import run_and_print, task_parser
    from mcuformer_tflm.task.data import TaskData, folder_task, speech_task
    from mcuformer_tflm.task.flow import TaskSettings, run_task
    from mcuformer_tflm.task.report import Report
    from mcuformer_tflm.task.run_file import SearchRun

_HOMES = {
    "Report": "report",
    "SearchRun": "run_file",
    "TaskData": "data",
    "TaskSettings": "flow",
    "folder_task": "data",
    "run_and_print": "command",
    "run_search": "board_search",
    "run_task": "flow",
    "search_data": "board_search",
    "speech_task": "data",
    "task_parser": "command",
}

__all__ = [
    "Report",
    "SearchRun",
    "TaskData",
    "TaskSettings",
    "folder_task",
    "run_and_print",
    "run_search",
    "run_task",
    "search_data",
    "speech_task",
    "task_parser",
]

load_on_first_use(__name__, _HOMES)
