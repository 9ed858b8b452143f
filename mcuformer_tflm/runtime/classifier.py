"""Images through an open interpreter, one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.runtime.input_source import input_source
from mcuformer_tflm.tflite.model_graph import Tensor


class Classifier:
    """Gives images to an interpreter of one input, and takes its outputs.

    From an image to its outputs an interpreter belongs to one thread; the others wait.

    Args:
        interpreter: With its tensors allocated, used by nobody else.
        outputs: The model's outputs, each of one image.
        strips: Whether the model asks for its image in strips, instead of taking it whole.
    """

    def __init__(self, interpreter: Any, outputs: Sequence[Tensor], strips: bool = False) -> None:
        """Takes the interpreter over."""
        self._interpreter = interpreter
        self._outputs = tuple(outputs)
        self._strips = strips
        self._lock = threading.Lock()

    def run(
        self, images: np.ndarray, progress: Callable[[int, int], None] | None = None
    ) -> list[np.ndarray]:
        """Runs the model on images.

        Args:
            images: int8[n, height, width, channels].
            progress: Called after each image with (done, total), between two turns.

        Returns:
            The integers of each output, [n, ...] of its shape and type.

        Raises:
            ModelError: If an operator fails.
        """
        found = [np.empty((len(images), *o.shape[1:]), o.dtype) for o in self._outputs]
        for index, image in enumerate(images):
            with self._lock:
                self._invoke(image)
                for position, values in enumerate(found):
                    values[index] = self._interpreter.get_output(position)[0]
            if progress is not None:
                progress(index + 1, len(images))
        return found

    def _invoke(self, image: np.ndarray) -> None:
        try:
            if self._strips:
                with input_source(lambda row, rows: image[row : row + rows], image[0].size):
                    self._interpreter.invoke()
            else:
                self._interpreter.set_input(image[None], 0)
                self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f"TFLM failed to run the model ({error}).") from error
