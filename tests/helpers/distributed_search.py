"""Runs the tiny search with a chief and two workers, one of which is killed in its first trial.

Chief and workers are forks of ``in_forks``. Prints what the chief knows at the end, and which
worker's trial was lost.
"""

import json
import os
import signal
import socket
from pathlib import Path

import tiny_search

WORKER_TIMEOUT = 6.0


def fork_tuner(folder, tuner_id, port, reports, prepare=lambda: None):
    """Runs one of the processes; writes a byte to ``reports`` at each report.

    ``prepare`` is called first, in the new process.
    """
    child = os.fork()
    if child:
        return child
    os.environ["KERASTUNER_ORACLE_IP"] = "127.0.0.1"
    os.environ["KERASTUNER_ORACLE_PORT"] = str(port)
    os.environ["KERASTUNER_TUNER_ID"] = tuner_id

    def report(label, done, total, info=""):
        os.write(reports, b".")

    try:
        prepare()
        tuner = tiny_search.space_tuner(
            folder, starts=2, steps=2, epochs=2, worker_timeout=WORKER_TIMEOUT, report=report
        )
        tiny_search.search_spaces(tuner)
        if tuner_id == "chief":
            result = {
                "visits": [list(visit) for visit in tuner.oracle.history],
                "ended": tuner.oracle.end_order,
                "statuses": [trial.status for trial in tuner.oracle.trials.values()],
                "best": tuner.get_best_hyperparameters()[0].values,
            }
            Path(folder, "result.json").write_text(json.dumps(result))
    except BaseException:
        import traceback

        traceback.print_exc()
        tiny_search.leave(1)
    tiny_search.leave(0)
    return None


def free_port():
    """Returns a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def main(folder):
    """Starts all three, kills the first worker, waits for the others."""
    port = free_port()
    read, write = os.pipe()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    chief = fork_tuner(folder, "chief", port, nowhere)
    doomed = fork_tuner(folder, "worker-0", port, write)
    os.close(write)
    for _ in range(3):  # in its first epoch
        assert os.read(read, 1), "the first worker never began"
    survivor = fork_tuner(folder, "worker-1", port, nowhere)
    os.kill(doomed, signal.SIGKILL)
    os.waitpid(doomed, 0)
    for process in (survivor, chief):
        _, status = os.waitpid(process, 0)
        assert os.WEXITSTATUS(status) == 0
    print(Path(folder, "result.json").read_text())
