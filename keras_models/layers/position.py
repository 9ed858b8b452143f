"""Where the positions of tokens start."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def initial_positions(columns: int, shape: Any, dtype: Any = None, **_: Any) -> tf.Tensor:
    """Returns sinusoids of rows and columns, float[tokens, width]: an initializer of positions.

    Args:
        columns: Of the grid of tokens.
        shape: (tokens, width).
        dtype: Of the result; float32 by default.
    """
    # They tell the positions apart from the first step; learning them from noise takes
    # epochs that a short run does not have.
    tokens, width = shape
    rows = tokens // columns
    half = -(-width // 4)
    # The slowest wave does not return within the longer side.
    steps = max(half, -(-max(rows, columns) // 2))
    rate = tf.range(1, half + 1, dtype=tf.float32) * 3.14159265 / steps
    axis = tf.range(max(rows, columns), dtype=tf.float32)[:, None] * rate[None]
    waves = tf.concat([tf.sin(axis), tf.cos(axis)], -1)
    grid = tf.concat([
        tf.repeat(waves[:rows], columns, axis=0), tf.tile(waves[:columns], [rows, 1])
    ], -1)[:, :width]  # fmt: skip
    return tf.cast(0.2 * grid, dtype or tf.float32)
