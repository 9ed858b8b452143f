"""A pleasant face for TFLM's micro interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcuformer_tflm.convert.metadata import find_architecture, read_output_labels
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.checked_values import (
    checked_choice,
    checked_whole,
)
from mcuformer_tflm.keras_models.exceptions import ConfigError, ModelError
from mcuformer_tflm.keras_models.images import check_integers
from mcuformer_tflm.plan.cortex_m import arena_content, cortex_m_arena_bytes
from mcuformer_tflm.plan.memory_plan import MemoryPlan
from mcuformer_tflm.plan.planner import read_plan
from mcuformer_tflm.runtime.classifier import Classifier
from mcuformer_tflm.runtime.lite_interpreter import LiteInterpreter
from mcuformer_tflm.runtime.probe import ARENA_STEP, ArenaUse, probe
from mcuformer_tflm.runtime.tflm import open_planned
from mcuformer_tflm.search.cost.tflm_arena import PLANNERS, PlannerName, tflm_arena
from mcuformer_tflm.tflite.file import Model, model_content
from mcuformer_tflm.tflite.image_input import image_shape, reads_strips
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

OPERATORS = (
    "McuformerPatchEmbed",
    "McuformerLayerNorm",
    "McuformerConvStem",
    "McuformerFullyConnected",
    "McuformerAttention",
    "McuformerGelu",
    "McuformerMeanPool",
    "McuformerMlp",
    "McuformerSoftmax",
    "McuformerAdd",
    "McuformerArgmax",
    "McuformerTokenPool",
)
_AMPLE_ARENA = 1 << 24
# TFLM counts bytes in 32 bits with a sign.
_MAX_ARENA = 2**31 - 16


class MicroInterpreter(LiteInterpreter):
    """Runs a converted model in TFLM itself, with our operators and the model's memory plan.

    Several threads may share one; each image waits for the one before. It answers to the names of
    ``tf.lite.Interpreter`` too (``allocate_tensors``, ``get_input_details``, ``set_tensor``,
    ``invoke``, ``get_tensor``).

    Example:
        >>> interpreter = MicroInterpreter("build/demo/model.tflite")
        >>> logits = interpreter.run(quantize_images(images))

    Args:
        model: Path of a ``.tflite``, or its bytes.
        arena_size: Bytes of TFLM's arena on this machine; by default ample.
        planner: Who places buffers in it. ``mcuformer``: our C++ planner
            (``custom_ops/tflm/arena_planner.h``), which checks the model's plan on the device
            and follows it. ``tflm``: TFLM's own greedy planner, which follows the plan's
            tensors unchecked and finds places for scratch. The answers are the same.

    Attributes:
        architecture: The architecture that the model was converted from; None of a network that
            is no subnet.
        labels: Class names; of several outputs, those of the first that has some. Empty where
            none has.
        output_labels: Class names of each output that has some, by its name.
        graph: Tensors and operators.
        plan: The memory plan that the file carries, verified.

    Raises:
        ConfigError: If model is neither path nor bytes, there is no such planner, or arena_size is
            no number of bytes.
        ModelError: If the file is missing, damaged, foreign, or TFLM refuses it; where the
            arena is too small, it tells what would do.
        PlanError: If its memory plan would let live buffers overlap.
        RuntimeVersionError: If the installed TFLM is not supported.
    """

    architecture: Architecture | None
    labels: tuple[str, ...]
    output_labels: dict[str, tuple[str, ...]]
    graph: ModelGraph
    plan: MemoryPlan

    def __init__(
        self,
        model: Model,
        arena_size: int | None = None,
        *,
        planner: PlannerName = "mcuformer",
    ) -> None:
        """Checks the file, tries it in a child process, then opens it here."""
        checked_choice("planner", planner, PLANNERS)
        content = model_content(model)
        self.graph = read_our_graph(content)
        self.architecture = find_architecture(self.graph)
        self.output_labels = read_output_labels(content)
        self.labels = next(iter(self.output_labels.values()), ())
        self.plan = read_plan(self.graph)
        needed = tflm_arena(
            arena_content(self.graph, self.plan, planner=planner), 8, planner=planner, wheel=True
        ).total
        size = (
            max(_AMPLE_ARENA, needed)
            if arena_size is None
            else checked_whole("arena_size", arena_size, most=_MAX_ARENA)
        )
        try:
            self._arena_use = probe(content, size, planner)
        except ModelError as error:
            if size // ARENA_STEP * ARENA_STEP >= needed:
                raise
            on_board = cortex_m_arena_bytes(self.graph, self.plan, planner=planner)
            raise ModelError(
                f"{error} Give arena_size at least {needed:,}: that much it takes on this "
                f"64-bit machine ({on_board:,} on a Cortex-M)."
            ) from error
        self._classifier = Classifier(
            open_planned(content, size, planner),
            [self.graph.tensors[index] for index in self.graph.outputs],
            reads_strips(self.graph),
        )
        self._shape = image_shape(self.graph)

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
            int8[n, num_classes] logits; of a model whose output is something else, its integers.

        Raises:
            ConfigError: If the model has several outputs.
            DataError: If dtype or shape do not fit the model.
            ModelError: If an operator fails.
        """
        if len(self.outputs) > 1:
            raise ConfigError(
                f"The model gives {' and '.join(self.outputs)}; run_outputs(images) returns them "
                "by name."
            )
        return self._integers(images, progress)[0]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs, in its order."""
        return tuple(self.graph.tensors[index].name for index in self.graph.outputs)

    def run_outputs(
        self,
        images: np.ndarray,
        progress: Callable[[int, int], None] | None = None,
        *,
        dequantize: bool = False,
    ) -> dict[str, np.ndarray]:
        """Runs images one by one and returns every output by its name.

        Args:
            images: As for ``run``.
            progress: As for ``run``.
            dequantize: Whether to return real values, float32, of each output's own scale, in
                the place of its integers, int8 or int16.

        Raises:
            DataError: If dtype or shape do not fit the model.
            ModelError: If an operator fails.
        """
        found = dict(zip(self.outputs, self._integers(images, progress), strict=True))
        if not dequantize:
            return found
        tensors = [self.graph.tensors[index] for index in self.graph.outputs]
        return {
            tensor.name: np.float32(tensor.scale)
            * (found[tensor.name].astype(np.float32) - tensor.zero_point)
            for tensor in tensors
        }

    def _integers(
        self, images: np.ndarray, progress: Callable[[int, int], None] | None = None
    ) -> list[np.ndarray]:
        images = np.asarray(images)
        check_integers(images, self._shape)
        return self._classifier.run(images, progress)


def read_our_graph(model: Model) -> ModelGraph:
    """Returns a model's graph.

    Raises:
        ModelError: If the file is damaged, or has operators that are not ours.
    """
    graph = read_graph(model)
    foreign = sorted({op.code for op in graph.operators} - set(OPERATORS))
    if foreign:
        raise ModelError(
            f"The model has operators that this runtime lacks: {', '.join(foreign)}. It runs "
            f"{', '.join(OPERATORS)}."
        )
    return graph
