"""The figures of a baseline, measured as those of the zoo's models are."""

from __future__ import annotations

from typing import Any

import tf_keras

from mcuformer_tflm.baselines.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.data.image_data import ImageData
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.runtime import accuracy
from mcuformer_tflm.runtime.builtin_interpreter import BuiltinInterpreter
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.progress import Report as Progress


def accuracies(
    network: DepthwiseCnn | Architecture,
    float_model: tf_keras.Model,
    model: bytes,
    data: ImageData,
    progress: Progress,
) -> dict[str, Any]:
    """Runs the float network, and the int8 model in TFLM, over all test images.

    Returns:
        ``test_images``, their number, and as shares of it ``float_top1``, ``int8_top1`` and
        ``agreement`` of the two choices.
    """
    cnn = isinstance(network, DepthwiseCnn)
    interpreter = BuiltinInterpreter(model) if cnn else MicroInterpreter(model)
    return accuracy.accuracies(
        float_model, interpreter, data.test_images, data.test_classes, progress
    )


def sizes(network: DepthwiseCnn | Architecture, model: bytes) -> dict[str, int]:
    """Returns multiply-accumulates, and bytes of arena and flash, of a model.

    Returns:
        ``macs``; ``arena_bytes`` on a Cortex-M, computed; ``arena_bytes_host``, what TFLM takes on
        this machine, 64-bit; ``flash_bytes``, the size of the ``.tflite``.

    Raises:
        ModelError: If an operator's memory on a Cortex-M is not known.
    """
    if isinstance(network, DepthwiseCnn):
        builtin = BuiltinInterpreter(model)
        arena, host, macs = builtin.arena_bytes, builtin.arena_bytes_host, network.num_macs
        if arena is None:
            raise ModelError("The arena of one of the model's operators is not known.")
    else:
        ours = MicroInterpreter(model)
        arena = cortex_m_arena_bytes(ours.graph, ours.plan)
        host, macs = ours.arena_use.smallest_arena, num_macs(network)
    return {
        "macs": macs,
        "arena_bytes": arena,
        "arena_bytes_host": host,
        "flash_bytes": len(model),
    }
