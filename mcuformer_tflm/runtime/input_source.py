"""Where a model that reads its image in strips gets the strips from."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.runtime import library


@contextmanager
def input_source(read: Callable[[int, int], np.ndarray], row_bytes: int) -> Iterator[None]:
    """Gives strips to the models that this thread runs meanwhile, under either planner.

    Args:
        read: Called with (first row, number of rows); returns int8[rows, width, channels]. What
            it raises is raised again when the invocation has failed.
        row_bytes: Bytes of a row of the model's image.

    Raises:
        DataError: If ``read`` returns more or fewer bytes than it is asked for.
    """
    raised: list[Exception] = []

    def deliver(_: object, row: int, rows: int, pixels: Any) -> bool:
        try:
            strip = np.ascontiguousarray(read(row, rows), np.int8)
            if strip.nbytes != rows * row_bytes:
                raise DataError(
                    f"Rows {row} to {row + rows - 1} of the image have {strip.nbytes} bytes; the "
                    f"model takes {rows * row_bytes}."
                )
        except Exception as error:  # it must not pass through TFLM's frames
            raised.append(error)
            return False
        ctypes.memmove(pixels, strip.ctypes.data, strip.nbytes)
        return True

    callback = library.READ_ROWS(deliver)
    set_source = library.load().McuformerSetInputSource
    set_source(callback, None)
    try:
        yield
    except RuntimeError as error:
        if raised:
            raise raised[0] from error
        raise
    finally:
        set_source(library.READ_ROWS(), None)
