"""Runs the tiny search whole, then another that is killed at random points; prints both.

Each run is a fork of ``in_forks``, so that a kill costs no import.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import tiny_search


def fork_search(folder, kill_after=None):
    """Runs the search in a fork; SIGKILLs it after so many reports. Returns whether it ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)

        def report(label, done, total, info=""):
            os.write(write, b".")

        try:
            result = tiny_search.whole_search(str(folder), report)
            Path(folder, "result.json").write_text(json.dumps(result))
        except BaseException:
            import traceback

            traceback.print_exc()
            tiny_search.leave(1)
        tiny_search.leave(0)
    os.close(write)
    reports = 0
    while os.read(read, 1):
        reports += 1
        if reports == kill_after:
            os.kill(child, signal.SIGKILL)
    os.close(read)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("the search failed")
    return os.WIFEXITED(status), reports


def main(folder):
    """Prints the two results and the number of kills."""
    ended, reports = fork_search(folder / "whole")
    assert ended
    rng = np.random.default_rng(0)
    kills = 0
    while True:
        # After some kills it may end.
        after = int(rng.integers(1, reports // 2)) if kills < 3 else None
        ended, _ = fork_search(folder / "cut", after)
        if ended:
            break
        kills += 1
    whole, cut = (json.loads((folder / name / "result.json").read_text())
                  for name in ("whole", "cut"))  # fmt: skip
    trials = len(list((folder / "cut" / "spaces").glob("trial_*")))
    print(json.dumps({"whole": whole, "cut": cut, "kills": kills, "trials": trials}))
