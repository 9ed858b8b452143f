"""The figures of a model of the zoo, measured."""

from __future__ import annotations

import numpy as np

from mcuformer_tflm.bench.firmware import Case, measure
from mcuformer_tflm.data.image_data import ImageData, quantize_images
from mcuformer_tflm.firmware.emulation import emulate_firmware
from mcuformer_tflm.plan.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.zoo.card import BoardFigures

BOARDS = ("stm32f427", "stm32f746", "stm32h743")
_EMULATED_IMAGES = 200


def sizes(model: bytes) -> dict[str, int]:
    """Returns ``macs``, ``arena_bytes`` and ``flash_bytes`` of a model, as in ``ModelCard``."""
    interpreter = MicroInterpreter(model)
    return {
        "macs": num_macs(interpreter.architecture),
        "arena_bytes": cortex_m_arena_bytes(interpreter.graph, interpreter.plan),
        "flash_bytes": len(model),
    }


def board_figures(model: bytes, board: str, data: ImageData) -> BoardFigures:
    """Counts one inference of the model's firmware, and classifies test images on the emulator.

    Raises:
        EmulatorError: If the emulated firmware fails.
    """
    rows = {
        row.metric: row.value
        for row in measure(Case(board, model, (board,), ""), board, data.test_images[:1])
        if row.case == board
    }
    target = get_board(board)
    images = data.test_images[:_EMULATED_IMAGES]
    found = emulate_firmware(model, target, quantize_images(images))
    return BoardFigures(
        core=target.core,
        instructions=int(rows["instructions"]),
        milliseconds_estimated=float(rows["milliseconds_estimated"]),
        code_bytes=int(rows["code_bytes"]),
        constant_bytes=int(rows["constant_bytes"]),
        arena_bytes=int(rows["arena_bytes"]),
        stack_bytes=int(rows["stack_bytes"]),
        images=len(images),
        top1=float(np.mean(found.run.outputs.argmax(-1) == data.test_classes[: len(images)])),
        equal=found.equal,
    )
