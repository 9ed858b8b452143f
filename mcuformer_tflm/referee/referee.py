"""Judges exported models by TFLite's own converter."""

from __future__ import annotations

import warnings

import numpy as np
import tensorflow as tf

from mcuformer_tflm.convert.builtin import convert_builtin
from mcuformer_tflm.keras_models.checked_values import checked_function
from mcuformer_tflm.keras_models.images import check_images, to_floats, to_integers
from mcuformer_tflm.keras_models.subnet import Subnet, check_subnet
from mcuformer_tflm.keras_models.training.batches import check_classes
from mcuformer_tflm.keras_models.training.trainers import predict
from mcuformer_tflm.referee.stock_network import stock_network
from mcuformer_tflm.referee.verdict import Opinion, Verdict
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.progress import Report as Progress
from mcuformer_tflm.tflite.file import Model, model_content


class Referee:
    """One network by another route than ours, against which its exported models are held.

    The network is written again in stock layers (``stock_network``), converted by
    ``TFLiteConverter`` in float and in int8, and run by TFLite: no layer, exporter or kernel of
    ours takes part in it. The conversions take a few seconds of processor time each.

    Example:
        >>> Referee(quantized, images[:256]).judge(model, test_images, test_classes).check()

    Args:
        subnet: The network that the models are converted from. Given a quantized one, the float
            network has its weights before they are rounded, which judges the exporter alone;
            given the float network from before quantization-aware training, what that has
            changed counts as error too.
        calibration: uint8[m, height, width, channels], or floats in [-1, 1), that set the ranges
            of TFLite's int8.
        progress: Called with (what is being done, done, total).

    Attributes:
        float_model: Bytes of TFLite's float model.
        int8_model: Bytes of TFLite's int8 model.

    Raises:
        DataError: If there are fewer calibration images than TFLite needs.
    """

    float_model: bytes
    int8_model: bytes

    def __init__(
        self, subnet: Subnet, calibration: np.ndarray, *, progress: Progress | None = None
    ) -> None:
        """Converts the network twice."""
        check_subnet(subnet)
        check_images(calibration, subnet.architecture.image_shape, what="calibration images")
        tell = _nothing if progress is None else checked_function("progress", progress)
        self._subnet = subnet.float_copy() if subnet.quantized else subnet
        stock = stock_network(subnet)
        tell("convert with TFLite", 0, 2)
        self.int8_model = convert_builtin(stock, calibration)
        tell("convert with TFLite", 1, 2)
        self.float_model = convert_builtin(stock)
        tell("convert with TFLite", 2, 2)

    def judge(
        self,
        model: Model,
        images: np.ndarray,
        classes: np.ndarray,
        *,
        progress: Progress | None = None,
    ) -> Verdict:
        """Runs all four networks over images.

        Args:
            model: From ``convert``, or the path of its file; it is run in TFLM.
            images: uint8[n, height, width, channels], or floats in [-1, 1).
            classes: Integers [n].
            progress: Called with (what is being done, done, total).

        Raises:
            DataError: If there are no images, or other images or classes than the network's.
            ModelError: If TFLM refuses the model.
        """
        architecture = self._subnet.architecture
        check_images(images, architecture.image_shape)
        check_classes(classes, architecture.num_classes)
        tell = progress or _nothing
        interpreter = MicroInterpreter(model)
        output = interpreter.graph.tensors[interpreter.graph.outputs[0]]
        integers = interpreter.run(
            to_integers(images), lambda done, total: tell("run ours in TFLM", done, total)
        )
        ours = np.float32(output.scale) * (integers.astype(np.float32) - output.zero_point)
        inputs = to_floats(images)
        wanted = predict(self._subnet, inputs)
        float_logits = run_tflite(self.float_model, inputs)
        int8_logits = run_tflite(self.int8_model, inputs)
        error = np.max(np.abs(float_logits - wanted)) / np.max(np.abs(wanted))
        return Verdict(
            len(images),
            float_keras=Opinion.of(wanted, wanted, classes),
            float_tflite=Opinion.of(float_logits, wanted, classes),
            int8_tflite=Opinion.of(int8_logits, wanted, classes),
            int8_ours=Opinion.of(ours, wanted, classes),
            float_error=float(error),
        )


def run_tflite(model: Model, images: np.ndarray) -> np.ndarray:
    """Runs a model in TFLite (not TFLM), one image at a time.

    Args:
        model: From ``convert_builtin``.
        images: float[n, height, width, channels] in [-1, 1), or uint8; rounded to the scale of
            an int8 input.

    Returns:
        float32[n, num_classes] logits; those of an int8 model in real units.
    """
    with warnings.catch_warnings():
        # TensorFlow names the package that replaces this class from its next release on.
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_content=model_content(model))
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    logits = []
    for image in _quantized(to_floats(images), source):
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        logits.append(interpreter.get_tensor(result["index"])[0])
    stacked = np.array(logits)
    if result["dtype"] == np.float32:
        return stacked
    scale, zero_point = result["quantization"]
    return np.float32(scale) * (stacked.astype(np.float32) - zero_point)


def _quantized(images: np.ndarray, source: dict) -> np.ndarray:
    if source["dtype"] == np.float32:
        return images
    scale, zero_point = source["quantization"]
    integers = np.round(images / np.float32(scale)) + zero_point
    return np.clip(integers, -128, 127).astype(np.int8)


def _nothing(label: str, done: int, total: int) -> None:
    """Tells nobody."""
