"""Vision transformers on microcontrollers: search, quantize, convert, run in TFLM.

The public face of the package. Names load on first use, so that importing the package costs
nothing, and a process that only runs models never loads TensorFlow's training half.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from mcuformer_tflm.convert.converter import convert
    from mcuformer_tflm.data.folder import ImageFolder
    from mcuformer_tflm.data.load import normalise, quantize_images
    from mcuformer_tflm.data.speech_commands import SpeechCommands
    from mcuformer_tflm.keras_models.architecture import Architecture
    from mcuformer_tflm.keras_models.exceptions import McuformerError
    from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
    from mcuformer_tflm.keras_models.saved_model import load_model
    from mcuformer_tflm.keras_models.subnet import build_subnet
    from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
    from mcuformer_tflm.plan.memory_plan import MemoryPlan
    from mcuformer_tflm.plan.planner import plan_memory
    from mcuformer_tflm.quantize.quantize import quantize
    from mcuformer_tflm.quantize.report import quantization_report
    from mcuformer_tflm.referee.referee import Referee
    from mcuformer_tflm.runtime.micro_interpreter import MicroInterpreter
    from mcuformer_tflm.search.board import Board, get_board
    from mcuformer_tflm.search.build import build_supernet
    from mcuformer_tflm.search.cost.summary import summary
    from mcuformer_tflm.search.space import (
        FASHION_MNIST_SPACE,
        KEYWORD_98X40_SPACE,
        KEYWORD_SPACE,
        PERSON_SPACE,
        SearchSpace,
    )

_HOMES = {
    "Architecture": "keras_models.architecture",
    "Board": "search.board",
    "ImageFolder": "data.folder",
    "McuformerError": "keras_models.exceptions",
    "MemoryPlan": "plan.memory_plan",
    "MicroInterpreter": "runtime.micro_interpreter",
    "FASHION_MNIST_SPACE": "search.space",
    "KEYWORD_98X40_SPACE": "search.space",
    "KEYWORD_SPACE": "search.space",
    "PERSON_SPACE": "search.space",
    "Referee": "referee.referee",
    "QuantizationConfig": "keras_models.quantization.config",
    "SearchSpace": "search.space",
    "SpeechCommands": "data.speech_commands",
    "TrainingRecipe": "keras_models.training.recipe",
    "build_subnet": "keras_models.subnet",
    "build_supernet": "search.build",
    "convert": "convert.converter",
    "get_board": "search.board",
    "load_model": "keras_models.saved_model",
    "normalise": "data.load",
    "plan_memory": "plan.planner",
    "quantization_report": "quantize.report",
    "quantize": "quantize.quantize",
    "quantize_images": "data.load",
    "summary": "search.cost.summary",
}

__all__ = [
    "FASHION_MNIST_SPACE",
    "KEYWORD_98X40_SPACE",
    "KEYWORD_SPACE",
    "PERSON_SPACE",
    "Architecture",
    "Board",
    "ImageFolder",
    "McuformerError",
    "MemoryPlan",
    "MicroInterpreter",
    "QuantizationConfig",
    "Referee",
    "SearchSpace",
    "SpeechCommands",
    "TrainingRecipe",
    "build_subnet",
    "build_supernet",
    "convert",
    "get_board",
    "load_model",
    "normalise",
    "plan_memory",
    "quantization_report",
    "quantize",
    "quantize_images",
    "summary",
]


def __getattr__(name: str) -> Any:
    value: Any
    if name == "__version__":
        from importlib.metadata import version

        value = version("mcuformer-tflm")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})


# Importing the subpackage `convert` binds its name here, where the function of that name
# belongs. Import it once and take the name back: later imports find it in sys.modules.
importlib.import_module(f"{__name__}.convert")
del globals()["convert"]
