"""Opens a model in a process of its own: TFLM aborts on some files, and this one may.

Reads the model from standard input; ``python -m mcuformer_tflm.runtime.probe ARENA_SIZE``.
TFLM's record of its allocations goes to standard error.
"""

from __future__ import annotations

import sys

import numpy as np


def main() -> None:
    """Allocates, runs once on zeros, prints the allocations."""
    from mcuformer_tflm.runtime.tflm import open_interpreter

    interpreter = open_interpreter(sys.stdin.buffer.read(), int(sys.argv[1]))
    details = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
    interpreter.invoke()
    interpreter.print_allocations()


if __name__ == "__main__":
    main()
