"""Opens a model in a process of its own: TFLM aborts on some files, and this one may.

Reads the model from standard input; ``python -m mcuformer_tflm.runtime.probe ARENA_SIZE``.
TFLM's record of its allocations goes to standard error.
"""

from __future__ import annotations

import sys

import numpy as np


def main() -> None:
    """Allocates, runs once on zeros, prints the allocations and the smallest arena."""
    from mcuformer_tflm.runtime.tflm import open_interpreter

    model, arena_size = sys.stdin.buffer.read(), int(sys.argv[1])
    interpreter = open_interpreter(model, arena_size)
    details = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
    interpreter.invoke()
    interpreter.print_allocations()
    print(f"Smallest arena {_smallest_arena(model, arena_size)} bytes", file=sys.stderr)


def _smallest_arena(model: bytes, enough: int) -> int:
    # TFLM needs room to plan beside what it keeps, so head + tail may be too little.
    from mcuformer_tflm.runtime.tflm import open_interpreter

    too_small = 0
    while enough - too_small > 1:
        middle = (enough + too_small) // 2
        try:
            open_interpreter(model, middle)
            enough = middle
        except RuntimeError:
            too_small = middle
    return enough


if __name__ == "__main__":
    main()
