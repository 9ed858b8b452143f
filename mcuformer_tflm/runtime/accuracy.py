"""A float network and its int8 model over the same test images."""

from __future__ import annotations

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
        ``test_images``, their number, and as shares of it ``float_top1``, ``int8_top1`` and
        ``agreement`` of the two choices.
    """
    float_choice = predict(network, images).argmax(-1)
    int8_choice = interpreter.run(
        quantize_images(images), functools.partial(progress, "classify in TFLM")
    ).argmax(-1)
    return {
        "test_images": len(images),
        "float_top1": float(np.mean(float_choice == classes)),
        "int8_top1": float(np.mean(int8_choice == classes)),
        "agreement": float(np.mean(float_choice == int8_choice)),
    }
