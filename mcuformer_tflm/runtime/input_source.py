"""Where a model that reads its image in strips gets the strips from."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mcuformer_tflm.custom_ops.reference.patch_embed import MODES
from mcuformer_tflm.runtime import library
from mcuformer_tflm.tflite.model_graph import ModelGraph


def reads_strips(graph: ModelGraph) -> bool:
    """Whether a model asks for its image in strips, instead of taking it whole."""
    return graph.operators[0].options.get("mode") == MODES.index("strips")


def image_shape(graph: ModelGraph) -> tuple[int, int, int]:
    """Returns height, width and channels of the image that a model takes, whole or in strips."""
    (source,) = graph.inputs
    _, height, width, channels = graph.tensors[source].shape
    readers = [op for op in graph.operators if op.inputs[0] == source]
    return max([height, *(op.options.get("image_height", 0) for op in readers)]), width, channels


@contextmanager
def input_source(read: Callable[[int, int], np.ndarray]) -> Iterator[None]:
    """Gives strips to the models that this thread runs meanwhile, under either planner.

    Args:
        read: Called with (first row, number of rows); returns int8[rows, width, channels]. What
            it raises is raised again when the invocation has failed.
    """
    raised: list[Exception] = []

    def deliver(_: object, row: int, rows: int, pixels: Any) -> bool:
        try:
            strip = np.ascontiguousarray(read(row, rows), np.int8)
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
