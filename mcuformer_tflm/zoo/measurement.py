"""The figures of a model of the zoo, or of a baseline, measured."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.data.image_data import ImageData, quantize_images
from mcuformer_tflm.firmware.emulation import emulate_firmware
from mcuformer_tflm.firmware.measurement import measure_firmware
from mcuformer_tflm.keras_models.exceptions import ModelError
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.runtime.builtin_interpreter import BuiltinInterpreter
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.zoo.card import BoardFigures
from mcuformer_tflm.zoo.depthwise_cnn import DepthwiseCnn
from mcuformer_tflm.zoo.network import Network

BOARDS = ("stm32f427", "stm32f746", "stm32h743")
_EMULATED_IMAGES = 200


def open_model(network: Network, model: bytes) -> MicroInterpreter | BuiltinInterpreter:
    """Returns what runs a network's int8 model in TFLM."""
    if isinstance(network, DepthwiseCnn):
        return BuiltinInterpreter(model)
    return MicroInterpreter(model)


def sizes(network: Network, model: bytes) -> dict[str, int]:
    """Returns ``macs``, ``arena_bytes`` and ``flash_bytes`` of a model, as in ``ModelCard``.

    Raises:
        ModelError: If an operator's memory on a Cortex-M is not known.
    """
    interpreter = open_model(network, model)
    if isinstance(interpreter, MicroInterpreter):
        arena = cortex_m_arena_bytes(interpreter.graph, interpreter.plan)
    elif interpreter.arena_bytes is None:
        raise ModelError("The arena of one of the model's operators is not known.")
    else:
        arena = interpreter.arena_bytes
    macs = network.num_macs if isinstance(network, DepthwiseCnn) else num_macs(network)
    return {"macs": macs, "arena_bytes": arena, "flash_bytes": len(model)}


def host_arena_bytes(network: Network, model: bytes) -> int:
    """Returns the arena that TFLM takes on this machine, 64-bit, in bytes."""
    interpreter = open_model(network, model)
    if isinstance(interpreter, BuiltinInterpreter):
        return interpreter.arena_bytes_host
    return interpreter.arena_use.smallest_arena


def board_figures(model: bytes, board: str, data: ImageData) -> BoardFigures:
    """Counts one inference of the model's firmware, and classifies test images on the emulator.

    Raises:
        EmulatorError: If the emulated firmware fails.
    """
    images = data.test_images[:_EMULATED_IMAGES]
    pictures = quantize_images(images)
    measured = measure_firmware(model, board, pictures[:1])
    assert measured.milliseconds_estimated is not None, "of each core in BOARDS there is a model"
    found = emulate_firmware(model, board, pictures)
    return BoardFigures(
        core=measured.core,
        instructions=measured.instructions,
        milliseconds_estimated=measured.milliseconds_estimated,
        code_bytes=measured.code_bytes,
        constant_bytes=measured.constant_bytes,
        arena_bytes=measured.arena_bytes,
        stack_bytes=measured.stack_bytes,
        images=len(images),
        top1=float(np.mean(found.run.outputs.argmax(-1) == data.test_classes[: len(images)])),
        equal=found.equal,
    )
