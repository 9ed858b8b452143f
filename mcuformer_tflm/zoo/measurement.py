"""The figures of a model of the zoo, measured."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mcuformer_tflm.bench.firmware import Case, measure
from mcuformer_tflm.bench.models import macs
from mcuformer_tflm.data.image_data import ImageData, normalise, quantize_images
from mcuformer_tflm.emulator.qemu import run_firmware
from mcuformer_tflm.firmware.build import build_project
from mcuformer_tflm.firmware.project import export_firmware
from mcuformer_tflm.keras_models.exceptions import EmulatorError
from mcuformer_tflm.keras_models.subnet import Subnet
from mcuformer_tflm.keras_models.training import predict
from mcuformer_tflm.progress import Report as Progress
from mcuformer_tflm.runtime.cortex_m import cortex_m_arena_bytes
from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.zoo.card import BoardFigures

BOARDS = ("stm32f427", "stm32f746", "stm32h743")
_EMULATED_IMAGES = 200


def accuracies(
    subnet: Subnet, model: bytes, data: ImageData, progress: Progress
) -> dict[str, float | int]:
    """Runs the float network and the int8 model over all test images.

    Args:
        subnet: The float network.
        model: The int8 model.
        data: Whose test images are used.
        progress: Called with (what is being done, done, total).

    Returns:
        ``test_images``, ``float_top1``, ``int8_top1`` and ``agreement``, as in ``ModelCard``.
    """
    interpreter = MicroInterpreter(model)
    float_choice = predict(subnet, normalise(data.test_images)).argmax(-1)
    int8_choice = interpreter.run(
        quantize_images(data.test_images),
        lambda done, total: progress("classify in TFLM", done, total),
    ).argmax(-1)
    return {
        "test_images": len(data.test_images),
        "float_top1": float(np.mean(float_choice == data.test_classes)),
        "int8_top1": float(np.mean(int8_choice == data.test_classes)),
        "agreement": float(np.mean(float_choice == int8_choice)),
    }


def sizes(model: bytes) -> dict[str, int]:
    """Returns ``macs``, ``arena_bytes`` and ``flash_bytes`` of a model, as in ``ModelCard``."""
    interpreter = MicroInterpreter(model)
    return {
        "macs": macs(interpreter.architecture),
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
    core = get_board(board).core
    images = data.test_images[:_EMULATED_IMAGES]
    pictures, classes = quantize_images(images), data.test_classes[: len(images)]
    expected = MicroInterpreter(model).run(pictures)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        export_firmware(model, board, project)
        image = build_project(project, project / "build", MCUFORMER_EMULATED=True)
        run = run_firmware(image.elf, core, pictures, expected.shape[1])
    if run.status != 0 or run.outputs.shape != expected.shape:
        raise EmulatorError(f"The firmware stopped with status {run.status}: {run.log.strip()}")
    return BoardFigures(
        core=core,
        instructions=int(rows["instructions"]),
        milliseconds_estimated=float(rows["milliseconds_estimated"]),
        code_bytes=int(rows["code_bytes"]),
        constant_bytes=int(rows["constant_bytes"]),
        arena_bytes=int(rows["arena_bytes"]),
        stack_bytes=int(rows["stack_bytes"]),
        images=len(images),
        top1=float(np.mean(run.outputs.argmax(-1) == classes)),
        equal=int((run.outputs == expected).all(axis=1).sum()),
    )
