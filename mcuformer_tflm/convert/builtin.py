"""Any tf_keras model through ``TFLiteConverter``, in TFLite's builtin operators alone."""

from __future__ import annotations

import logging
import re

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.lite.python.convert import ConverterError

from mcuformer_tflm.keras_models.exceptions import ConfigError, DataError
from mcuformer_tflm.keras_models.images import check_images, to_floats

# TFLite's own advice for a representative data set is a few hundred samples.
MIN_CALIBRATION_IMAGES = 32


def convert_builtin(model: tf_keras.Model, calibration: np.ndarray | None = None) -> bytes:
    """Converts a model with TFLite's converter; none of our exporter's code runs.

    Args:
        model: From float images to logits, of operators that TFLite has.
        calibration: float[n, height, width, channels] in [-1, 1), or uint8, the representative
            data of post-training quantization; None converts in float.

    Returns:
        Bytes of a ``.tflite`` for one image at a time. With ``calibration``, all integers:
        int8 images, int8 logits, one scale a channel for weights. The scale of the input is
        the range of the data; where that reaches from -1 to 127/128 it is 1/128, as in ``convert``.

    Raises:
        ConfigError: If TFLite lacks an operator.
        DataError: If there are too few calibration images, or other images than the model's.
    """
    shape = [1, *model.input_shape[1:]]
    if calibration is not None:
        check_images(calibration, shape[1:], what="calibration images")
        calibration = to_floats(calibration)
    if calibration is not None and len(calibration) < MIN_CALIBRATION_IMAGES:
        raise DataError(
            f"There are {len(calibration)} calibration images; TFLite's ranges need at least "
            f"{MIN_CALIBRATION_IMAGES}."
        )
    graph = tf.function(lambda image: model(image, training=False)).get_concrete_function(
        tf.TensorSpec(shape, tf.float32, name="image")
    )
    # Not the model, of which Keras would trace every layer again.
    kept = tf.Module()
    kept.weights = model.weights
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], kept)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return bytes(converter.convert())
    except ConverterError as error:
        lacking = sorted(set(re.findall(r"^\s*(tf\.\w+)\(", str(error), re.MULTILINE)))
        why = f"it has no kernel for {', '.join(lacking)}" if lacking else str(error)
        raise ConfigError(f"TFLite cannot convert {model.name}: {why}.") from error
    finally:
        logger.setLevel(level)
