"""A pleasant face for TFLM's micro interpreter."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mcuformer_tflm.convert.metadata import read_architecture, read_labels
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import (
    ConfigError,
    DataError,
    ModelError,
    RuntimeVersionError,
)
from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.runtime.input_source import input_source, reads_strips
from mcuformer_tflm.runtime.tflm import open_planned
from mcuformer_tflm.search.tflm_arena import PLANNERS, PlannerName
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

OPERATORS = (
    "McuformerPatchEmbed",
    "McuformerLayerNorm",
    "McuformerFullyConnected",
    "McuformerAttention",
    "McuformerGelu",
    "McuformerMeanPool",
    "McuformerMlp",
    "McuformerSoftmax",
    "McuformerAdd",
    "McuformerArgmax",
)
_MAX_ARENA = 1 << 24
_PROBE_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class ArenaUse:
    """What TFLM took from the arena on this machine (64-bit: more than on Cortex-M).

    Attributes:
        head: Bytes of tensors and scratch, which follow the plan.
        tail: Bytes of TFLM's own persistent data.
        smallest_arena: The smallest arena, in steps of 16 bytes, in which TFLM opens the
            model: head and tail, or more where planning needs more room than the head.
    """

    head: int
    tail: int
    smallest_arena: int

    @property
    def total(self) -> int:
        """Head and tail together, in bytes."""
        return self.head + self.tail


class MicroInterpreter:
    """Runs a converted model in TFLM itself, with our operators and the model's memory plan.

    Example:
        >>> interpreter = MicroInterpreter("build/demo/model.tflite")
        >>> logits = interpreter.run(quantize_images(images))

    Args:
        model: Path of a ``.tflite``, or its bytes.
        arena_size: Bytes of the arena; by default ample.
        planner: Who places buffers in it. ``mcuformer``: our C++ planner
            (``custom_ops/tflm/arena_planner.h``), which checks the model's plan on the device
            and follows it. ``tflm``: TFLM's own greedy planner, which follows the plan's
            tensors unchecked and finds places for scratch. The answers are the same.

    Attributes:
        architecture: The architecture that the model was converted from.
        labels: Class names.
        graph: Tensors and operators.
        plan: The memory plan that the file carries, verified.

    Raises:
        ConfigError: If there is no such planner.
        ModelError: If the file is missing, damaged, foreign, or TFLM refuses it.
        PlanError: If its memory plan would let live buffers overlap.
        RuntimeVersionError: If the installed TFLM is not supported.
    """

    architecture: Architecture
    labels: tuple[str, ...]
    graph: ModelGraph
    plan: MemoryPlan

    def __init__(
        self,
        model: str | Path | bytes,
        arena_size: int = _MAX_ARENA,
        planner: PlannerName = "mcuformer",
    ) -> None:
        """Checks the file, tries it in a child process, then opens it here."""
        if planner not in PLANNERS:
            raise ConfigError(f"planner is {planner!r}; it must be one of {', '.join(PLANNERS)}.")
        content = model if isinstance(model, bytes) else read_model_file(Path(model))
        self.graph = read_graph(content)
        self.architecture = read_architecture(self.graph)
        foreign = sorted({op.code for op in self.graph.operators} - set(OPERATORS))
        if foreign:
            raise ModelError(
                f"The model has operators that this runtime lacks: {', '.join(foreign)}. It runs "
                f"{', '.join(OPERATORS)}."
            )
        self.labels = read_labels(content)
        self.plan = read_plan(self.graph)
        self._arena_use = _probe(content, arena_size, planner)
        self._interpreter = open_planned(content, arena_size, planner)
        self._shape = self.architecture.image_shape
        self._strips = reads_strips(self.graph)

    @property
    def arena_use(self) -> ArenaUse:
        """What TFLM took for this model on this machine."""
        return self._arena_use

    @property
    def memory_map(self) -> MemoryPlan:
        """The model's memory plan: where each buffer lies and when it lives."""
        return self.plan

    def run(
        self, images: np.ndarray, progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Classifies images one by one.

        A model that reads its image in strips asks for them as it goes, as from a camera.

        Args:
            images: int8[n, height, width, channels], byte - 128 (``quantize_images``).
            progress: Called after each image with (done, total).

        Returns:
            int8[n, num_classes] logits.

        Raises:
            DataError: If dtype or shape do not fit the model.
        """
        images = np.asarray(images)
        if images.dtype != np.int8:
            raise DataError(
                f"The images are {images.dtype}; the model takes int8. Convert bytes with "
                "mcuformer_tflm.quantize_images."
            )
        if images.shape[1:] != self._shape:
            raise DataError(
                f"The images have shape {images.shape}; the model takes (n, "
                f"{', '.join(map(str, self._shape))})."
            )
        logits = np.empty((len(images), self.architecture.num_classes), np.int8)
        for index, image in enumerate(images):
            self._classify(image)
            logits[index] = self._interpreter.get_output(0)[0]
            if progress is not None:
                progress(index + 1, len(images))
        return logits

    def _classify(self, image: np.ndarray) -> None:
        if not self._strips:
            self._interpreter.set_input(image[None], 0)
            self._interpreter.invoke()
            return
        with input_source(lambda row, rows: image[row : row + rows]):
            self._interpreter.invoke()


def read_model_file(path: Path) -> bytes:
    """Returns a model file's bytes.

    Raises:
        ModelError: If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"The model {path} cannot be read ({error.strerror}). `make demo` writes "
            "build/demo/model.tflite."
        ) from error


def _probe(content: bytes, arena_size: int, planner: PlannerName) -> ArenaUse:
    result = subprocess.run(
        [sys.executable, "-m", "mcuformer_tflm.runtime.probe", str(arena_size), planner],
        input=content,
        capture_output=True,
        timeout=_PROBE_SECONDS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    if result.returncode != 0:
        record = result.stderr.decode(errors="replace")
        lines = [line for line in record.splitlines() if line.strip()]
        # What is wrong with TFLM itself is told as such, not as a fault of the model.
        name = RuntimeVersionError.__name__
        if lines and name in lines[-1]:
            raise RuntimeVersionError(lines[-1].split(f"{name}: ", 1)[-1])
        raise ModelError(
            f"TFLM refused the model with an arena of {arena_size} bytes: "
            f"{' / '.join(lines[-3:]) or f'it ended with status {result.returncode}'}"
        )
    return ArenaUse(**json.loads(result.stdout.splitlines()[-1]))
