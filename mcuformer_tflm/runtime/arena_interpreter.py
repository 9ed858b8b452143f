"""TFLM's interpreter driven through our shared library, with our arena planner."""

from __future__ import annotations

import ctypes
import threading

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.runtime import library
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

# Between blocks of memory; a page.
_APART = 4096
# TFLM says nothing of what its interpreters share while they are built and taken down.
_BUILDING = threading.RLock()


class ArenaInterpreter:
    """Runs a model in TFLM with ``mcuformer::ArenaPlanner``, which checks the plan that it follows.

    Several threads may call it; each call waits for the one before.

    Args:
        model: Bytes of a ``.tflite`` that is known to be intact.
        arena: uint8[n], TFLM's arena: persistent data, scratch, the plan's first region.
        others: uint8[n] each, the plan's further regions, at most 2 GB from the arena.
        graph: The model's, where it has been read already.

    Raises:
        ModelError: If the plan is absent, damaged, for another model, or needs more memory; or
            if TFLM refuses the model.
        RuntimeVersionError: If the installed TFLM is not supported.
    """

    def __init__(
        self,
        model: bytes,
        arena: np.ndarray,
        *others: np.ndarray,
        graph: ModelGraph | None = None,
    ) -> None:
        """Opens the model; tensors are allocated."""
        self._library = library.load()
        self._lock = threading.RLock()
        self._graph = read_graph(model) if graph is None else graph
        self._in_arena = _tensors_in_arena(self._graph)
        # Kept alive: TFLM reads and writes them without a copy.
        self._memory = (model, arena, *others)
        regions = (arena, *others)
        starts = (ctypes.c_void_p * len(regions))(*(region.ctypes.data for region in regions))
        sizes = (ctypes.c_size_t * len(regions))(*(region.size for region in regions))
        with _BUILDING:
            self._handle: int | None = self._library.McuformerCreateInterpreter(
                model, len(model), starts, sizes, len(regions)
            )
        if not self._handle:
            why = self._library.McuformerInterpreterError().decode()
            raise ModelError(
                f"The memory plan {why}."
                if why
                else f"TFLM refused the model with an arena of {arena.size} bytes."
            )

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            with _BUILDING:
                self._library.McuformerDestroyInterpreter(self._handle)
            self._handle = None

    @property
    def head(self) -> int:
        """Bytes of TFLM's arena that tensors and scratch take."""
        with self._lock:
            return int(self._library.McuformerRegionBytes(self._handle, 0))

    @property
    def second_region(self) -> int:
        """Bytes that tensors and scratch take in the second region."""
        with self._lock:
            return int(self._library.McuformerRegionBytes(self._handle, 1))

    @property
    def tail(self) -> int:
        """Bytes of TFLM's persistent data."""
        with self._lock:
            return int(self._library.McuformerUsedBytes(self._handle)) - self.head

    def print_memory_plan(self) -> None:
        """Prints the plan as the device would, to standard error."""
        with self._lock:
            self._library.McuformerPrintMemoryPlan(self._handle)

    def set_input(self, values: np.ndarray, index: int) -> None:
        """Copies values into one of the model's inputs."""
        with self._lock:
            self._view(self._graph.inputs[index])[...] = values

    def get_output(self, index: int) -> np.ndarray:
        """Returns a copy of one of the model's outputs."""
        with self._lock:
            return self._view(self._graph.outputs[index]).copy()

    def invoke(self) -> None:
        """Runs the model.

        Raises:
            RuntimeError: If an operator fails.
        """
        with self._lock:
            done = self._library.McuformerInvoke(self._handle)
        if not done:
            raise RuntimeError("An operator failed; TFLM's message is on standard error.")

    def _view(self, tensor: int) -> np.ndarray:
        address = self._library.McuformerTensorAddress(self._handle, self._in_arena[tensor])
        described = self._graph.tensors[tensor]
        content = (ctypes.c_uint8 * described.size).from_address(address)
        values: np.ndarray = np.ctypeslib.as_array(content)
        return values.view(described.dtype).reshape(described.shape)


def allocate(*sizes: int) -> list[np.ndarray]:
    """Returns uint8[size] blocks of memory, near enough for TFLM's 32-bit offsets.

    Each starts at a multiple of 16, as firmware declares an arena, and lies apart from the
    others.
    """
    spaces = [-(-size // _APART) * _APART + _APART for size in sizes]
    whole = np.zeros(sum(spaces) + _APART, np.uint8)
    start = -whole.ctypes.data % _APART
    blocks = []
    for size, space in zip(sizes, spaces, strict=True):
        blocks.append(whole[start : start + size])
        start += space
    return blocks


def _tensors_in_arena(graph: ModelGraph) -> dict[int, int]:
    # TFLM plans tensors by index, leaving out constants and those that no operator touches.
    used = set(graph.inputs)
    used |= {index for operator in graph.operators for index in operator.outputs}
    return {tensor: position for position, tensor in enumerate(sorted(used))}
