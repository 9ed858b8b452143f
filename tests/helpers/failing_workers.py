"""Runs searches whose workers meet errors, with made-up scores; prints what became of them.

First a worker with a slip in its program, then one without. Then one whose every trial runs out
of memory.
"""

import json
import os

import tiny_search
from distributed_search import fork_tuner, free_port


def _measure(result):
    def measure(tuner, trial, report, **arguments):
        if isinstance(result, Exception):
            raise result
        return dict.fromkeys(("score", "accuracy", "share_that_fits", "median_margin"), result)

    def prepare():
        tiny_search.SupernetTuner.measure = measure

    return prepare


def _status(process):
    return os.WEXITSTATUS(os.waitpid(process, 0)[1])


def main(folder):
    """Prints the exit statuses, and the statuses of the first search's trials."""
    nowhere, told = os.open(os.devnull, os.O_WRONLY), {}
    for name in ("slip", "memory"):
        (folder / name).mkdir()
    port = free_port()
    chief = fork_tuner(folder / "slip", "chief", port, nowhere)
    slip = _measure(TypeError("a slip in the program"))
    told["slip"] = _status(fork_tuner(folder / "slip", "worker-0", port, nowhere, slip))
    told["whole"] = _status(fork_tuner(folder / "slip", "worker-1", port, nowhere, _measure(0.5)))
    told["chief"] = _status(chief)
    told["trials"] = json.loads((folder / "slip" / "result.json").read_text())["statuses"]
    port = free_port()
    chief = fork_tuner(folder / "memory", "chief", port, nowhere)
    full = _measure(MemoryError("full"))
    told["failing"] = _status(fork_tuner(folder / "memory", "worker-0", port, nowhere, full))
    told["failing_chief"] = _status(chief)
    print(json.dumps(told))
