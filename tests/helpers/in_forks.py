"""Runs programs of this folder one after another, each in a fork of this process.

    python in_forks.py FOLDER interrupted_search distributed_search

It imports TensorFlow once and never computes with it, so that forks can. Each ``main`` gets a
folder of its own. Prints JSON: of each program its exit status, and what it printed.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

import tiny_search
from op_by_op import op_by_op

STREAMS = ("stdout", "stderr")


def fork(name, folder):
    """Runs one program; returns what it did."""
    folder.mkdir()
    child = os.fork()
    if child == 0:
        try:
            for number, stream in enumerate(STREAMS, 1):
                os.dup2(os.open(folder / stream, os.O_CREAT | os.O_WRONLY), number)
            # Processes that are killed and resumed are what is promised, not their graphs.
            with op_by_op():
                importlib.import_module(name).main(folder)
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
            tiny_search.leave(1)
        tiny_search.leave(0)
    _, status = os.waitpid(child, 0)
    return {"status": status, **{stream: (folder / stream).read_text() for stream in STREAMS}}


if __name__ == "__main__":
    print(json.dumps({name: fork(name, Path(sys.argv[1], name)) for name in sys.argv[2:]}))
