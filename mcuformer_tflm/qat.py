"""Quantization-aware training with TF-MOT."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.quantization_config import QuantizationConfig
from mcuformer_tflm.keras_models.recipe import TrainingRecipe
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.training import Progress, batches, train_subnet


def quantize(
    subnet: Subnet,
    images: np.ndarray,
    classes: np.ndarray,
    epochs: int = 1,
    learning_rate: float = 3e-4,
    batch_size: int = 128,
    calibration_images: int = 1024,
    seed: int = 0,
    progress: Progress | None = None,
    config: QuantizationConfig | None = None,
) -> Subnet:
    """Returns a quantized copy of a trained network, trained on with its rounding in place.

    Every tensor that the runtime holds gets a TF-MOT quantizer; its range is first set by
    calibration images, then follows training.

    Args:
        subnet: A trained float network.
        images: float32[n, height, width, channels] in [-1, 1).
        classes: int32[n].
        epochs: Passes over the images; 0 leaves it at calibration.
        learning_rate: Peak of the schedule.
        batch_size: Images a step.
        calibration_images: Images that set the ranges.
        seed: Of the order of the images.
        progress: Called after each step with (done, total).
        config: Widths of the integers, and what of their arithmetic is simulated; 8 bits and
            all of it by default.

    Raises:
        ConfigError: If the network has an option without int8 operators.
        DataError: If there are fewer images than one batch.
    """
    subnet.architecture.check_exportable()
    if len(images) < batch_size:
        raise DataError(
            f"There are {len(images)} images, fewer than one batch of {batch_size}; give more "
            "images or a smaller batch_size."
        )
    chosen = images[:calibration_images]
    parts = [chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size)]
    quantized = subnet.quantized_copy(parts, config)
    if epochs:
        data = batches(images, classes, batch_size, seed)
        recipe = TrainingRecipe(learning_rate=learning_rate)
        train_subnet(quantized, data, epochs, recipe, progress)
    return quantized
