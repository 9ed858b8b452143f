"""Integer square root (paper, algorithm 1). Twin of ``custom_ops/kernels/integer_sqrt``."""

from __future__ import annotations

import numpy as np

UNTIL_FIXED = 0
# Newton's method from within a factor of 2 of a 32-bit root is fixed long before this.
MAX_ITERATIONS = 16


def integer_sqrt(n: np.ndarray, iterations: int = 4) -> np.ndarray:
    """Returns the square root of positive integers by Newton's method.

    x0 = 2^ceil(P / 2) with P = ceil(log2 n), then x <- floor((x + floor(n / x)) / 2).

    Args:
        n: Integers in [1, 2^32), any shape.
        iterations: Steps of Newton's method, or 0 to go on until it no longer falls, which
            gives floor(sqrt(n)).

    Returns:
        int64 of the same shape.
    """
    n = np.asarray(n, np.int64)
    power = np.ceil(np.log2(n)).astype(np.int64)
    x = np.int64(1) << ((power + 1) // 2)
    for _ in range(iterations or MAX_ITERATIONS):
        following = (x + n // x) >> 1
        x = following if iterations else np.minimum(x, following)
    return x
