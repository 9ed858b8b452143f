"""A float network and its int8 model over the same test images."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tf_keras

from mcuformer_tflm.data.image_data import quantize_images
from mcuformer_tflm.keras_models.training.trainers import predict
from mcuformer_tflm.search.progress import Report as Progress


class Interpreter(Protocol):
    """What runs an int8 model in TFLM: ``MicroInterpreter``, or ``BuiltinInterpreter``."""

    def run(
        self, images: np.ndarray, progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Returns int8[n, num_classes] logits of int8[n, height, width, channels] images."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a float network and its int8 model said of the same images.

    Attributes:
        float_choice: int[n], classes.
        int8_logits: int8[n, num_classes].
    """

    float_choice: np.ndarray
    int8_logits: np.ndarray

    @property
    def int8_choice(self) -> np.ndarray:
        """int[n], classes."""
        return self.int8_logits.argmax(-1)

    def accuracies(self, classes: np.ndarray) -> dict[str, Any]:
        """Returns ``test_images``, their number, and three shares of it.

        These are ``float_top1``, ``int8_top1`` and ``agreement`` of the two choices.

        Args:
            classes: int32[n].
        """
        return {
            "test_images": len(classes),
            "float_top1": float(np.mean(self.float_choice == classes)),
            "int8_top1": float(np.mean(self.int8_choice == classes)),
            "agreement": float(np.mean(self.float_choice == self.int8_choice)),
        }


def accuracies(
    network: tf_keras.Model,
    interpreter: Interpreter,
    images: np.ndarray,
    classes: np.ndarray,
    progress: Progress,
) -> dict[str, Any]:
    """Runs both over all images.

    Args:
        network: The float network.
        interpreter: Of the int8 model.
        images: uint8[n, height, width, channels].
        classes: int32[n].
        progress: Called with (what is being done, done, total).

    Returns:
        As ``Answers.accuracies``.
    """
    return answers(network, interpreter, images, progress).accuracies(classes)


def answers(
    network: tf_keras.Model, interpreter: Interpreter, images: np.ndarray, progress: Progress
) -> Answers:
    """Runs both over all images; arguments as for ``accuracies``."""
    float_choice = predict(network, images).argmax(-1)
    logits = interpreter.run(
        quantize_images(images), functools.partial(progress, "classify in TFLM")
    )
    return Answers(float_choice, logits)
