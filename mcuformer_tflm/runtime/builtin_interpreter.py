"""Models of TFLite's builtin operators in TFLM, measured as ours are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.keras_models.images import check_integers
from mcuformer_tflm.plan.cortex_m import builtin_arena_bytes
from mcuformer_tflm.runtime.classifier import Classifier
from mcuformer_tflm.runtime.probe import measure, standard_error, tflm_messages
from mcuformer_tflm.runtime.tflm import open_interpreter
from mcuformer_tflm.tflite.file import Model, model_content
from mcuformer_tflm.tflite.model_graph import ModelGraph, read_graph

_MAX_ARENA = 1 << 24


class BuiltinInterpreter:
    """Runs an int8 model of TFLM's own operators, placed by TFLM's own planner.

    For models that this process has converted itself: TFLM aborts on some malformed files, and
    no other process tries the model first, as ``MicroInterpreter`` does. Several threads may share
    one; each image waits for the one before.

    Args:
        model: Path or bytes of a ``.tflite`` from ``convert_builtin``, one image in, logits out.

    Attributes:
        graph: Tensors and operators.
        head_bytes: Activations and scratch, the same on every machine.
        arena_bytes_host: What TFLM takes on this machine, 64-bit: head and persistent data.

    Raises:
        ModelError: If the model is no int8 network of one input and one output, or TFLM
            refuses it.
        RuntimeVersionError: If the installed TFLM is not supported.
    """

    graph: ModelGraph
    head_bytes: int
    arena_bytes_host: int

    def __init__(self, model: Model) -> None:
        """Opens the model."""
        content = model_content(model)
        self.graph = read_graph(content)
        ends = [self.graph.tensors[i] for i in (*self.graph.inputs, *self.graph.outputs)]
        if [tensor.dtype for tensor in ends] != ["int8", "int8"]:
            raise ModelError(
                "The model has inputs and outputs of "
                f"{', '.join(tensor.dtype for tensor in ends)}; one int8 input and one int8 "
                "output are wanted. Convert it with calibration images."
            )
        self._input, self._output = ends
        try:
            with standard_error() as record:
                interpreter = open_interpreter(content, _MAX_ARENA)
        except RuntimeError as error:
            reason = (tflm_messages(record[0]) or [f"{error}."])[0]
            raise ModelError(
                f"TFLM refused the model with an arena of {_MAX_ARENA:,} bytes: {reason}"
            ) from error
        self._classifier = Classifier(interpreter, [self._output])
        use = measure(interpreter, "tflm")
        self.head_bytes = use["head"]
        self.arena_bytes_host = use["head"] + use["tail"]

    @property
    def arena_bytes(self) -> int | None:
        """Arena on a Cortex-M under TFLM's planner and reference kernels, computed.

        None where an operator's persistent data is not known to ``search/cost/tflm_arena.py``.
        """
        return builtin_arena_bytes(self.graph, self.head_bytes)

    @property
    def output_scale(self) -> tuple[float, int]:
        """Scale and zero point of the logits."""
        return self._output.scale, self._output.zero_point

    def run(
        self, images: np.ndarray, progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Classifies images one by one.

        Args:
            images: int8[n, height, width, channels], byte - 128 (``quantize_images``); put on
                the model's own scale where that is another.
            progress: Called after each image with (done, total).

        Returns:
            int8[n, num_classes] logits.

        Raises:
            DataError: If dtype or shape do not fit the model.
            ModelError: If an operator fails.
        """
        check_integers(images, self._input.shape[1:])
        return self._classifier.run(self._rescaled(images), progress)[0]

    def _rescaled(self, images: np.ndarray) -> np.ndarray:
        scale, zero_point = self._input.scale, self._input.zero_point
        if (scale, zero_point) == (1 / 128, 0):
            return images
        integers = np.round(images / np.float32(128 * scale)) + zero_point
        return np.clip(integers, -128, 127).astype(np.int8)
