"""Images through an open interpreter, one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.runtime.input_source import input_source


class Classifier:
    """Gives images to an interpreter of one input and one output, and takes its logits.

    From an image to its logits an interpreter belongs to one thread; the others wait.

    Args:
        interpreter: With its tensors allocated, used by nobody else.
        num_classes: Logits an image.
        strips: Whether the model asks for its image in strips, instead of taking it whole.
    """

    def __init__(self, interpreter: Any, num_classes: int, strips: bool = False) -> None:
        """Takes the interpreter over."""
        self._interpreter = interpreter
        self._num_classes = num_classes
        self._strips = strips
        self._lock = threading.Lock()

    def run(
        self, images: np.ndarray, progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Classifies images.

        Args:
            images: int8[n, height, width, channels].
            progress: Called after each image with (done, total), between two turns.

        Returns:
            int8[n, num_classes] logits.

        Raises:
            ModelError: If an operator fails.
        """
        logits = np.empty((len(images), self._num_classes), np.int8)
        for index, image in enumerate(images):
            with self._lock:
                logits[index] = self._classify(image)
            if progress is not None:
                progress(index + 1, len(images))
        return logits

    def _classify(self, image: np.ndarray) -> np.ndarray:
        try:
            if self._strips:
                with input_source(lambda row, rows: image[row : row + rows]):
                    self._interpreter.invoke()
            else:
                self._interpreter.set_input(image[None], 0)
                self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f"TFLM failed to run the model ({error}).") from error
        answer: np.ndarray = self._interpreter.get_output(0)[0]
        return answer
