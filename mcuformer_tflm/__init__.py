"""Vision transformers on microcontrollers: search, quantize, convert, run in TFLM.

The public face of the package, with what most programs need. The rest is in six rooms:

- ``mcuformer_tflm.search``: spaces, boards, what a network costs, oracles and tuners.
- ``mcuformer_tflm.keras_models``: networks and their training.
- ``mcuformer_tflm.data``: loaders.
- ``mcuformer_tflm.plan``: memory plans.
- ``mcuformer_tflm.zoo``: models that are shipped.
- ``mcuformer_tflm.task``: the whole flow on data of one's own.

Modules below these may move at any time. Names load on first use, so that importing the package
costs nothing, and a process that only runs models never loads TensorFlow's training half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer_tflm.lazy_names import load_on_first_use

if TYPE_CHECKING:
    from mcuformer_tflm import data, keras_models, plan, search, task, zoo
    from mcuformer_tflm.convert.converter import convert
    from mcuformer_tflm.data.folder import ImageFolder
    from mcuformer_tflm.data.image_data import normalise, quantize_images
    from mcuformer_tflm.data.speech_commands import SpeechCommands
    from mcuformer_tflm.keras_models.architecture import Architecture
    from mcuformer_tflm.keras_models.exceptions import (
        BudgetError,
        CheckpointError,
        ConfigError,
        DataError,
        DataWarning,
        DivergedError,
        EmulatorError,
        McuformerError,
        ModelError,
        PlanError,
        QuantizationWarning,
        RuntimeVersionError,
        SearchError,
        ToolchainError,
    )
    from mcuformer_tflm.keras_models.pretrained.vit import load_vit
    from mcuformer_tflm.keras_models.quantization.config import QuantizationConfig
    from mcuformer_tflm.keras_models.saved_model import load_model
    from mcuformer_tflm.keras_models.subnet import build_subnet
    from mcuformer_tflm.keras_models.training.low_rank import factorise
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
    from mcuformer_tflm.version import __version__

_HOMES = {
    "FASHION_MNIST_SPACE": "search.space",
    "KEYWORD_98X40_SPACE": "search.space",
    "KEYWORD_SPACE": "search.space",
    "PERSON_SPACE": "search.space",
    "Architecture": "keras_models.architecture",
    "Board": "search.board",
    "BudgetError": "keras_models.exceptions",
    "CheckpointError": "keras_models.exceptions",
    "ConfigError": "keras_models.exceptions",
    "DataError": "keras_models.exceptions",
    "DataWarning": "keras_models.exceptions",
    "DivergedError": "keras_models.exceptions",
    "EmulatorError": "keras_models.exceptions",
    "ImageFolder": "data.folder",
    "McuformerError": "keras_models.exceptions",
    "MemoryPlan": "plan.memory_plan",
    "MicroInterpreter": "runtime.micro_interpreter",
    "ModelError": "keras_models.exceptions",
    "PlanError": "keras_models.exceptions",
    "QuantizationConfig": "keras_models.quantization.config",
    "QuantizationWarning": "keras_models.exceptions",
    "Referee": "referee.referee",
    "RuntimeVersionError": "keras_models.exceptions",
    "SearchError": "keras_models.exceptions",
    "SearchSpace": "search.space",
    "SpeechCommands": "data.speech_commands",
    "ToolchainError": "keras_models.exceptions",
    "TrainingRecipe": "keras_models.training.recipe",
    "__version__": "version",
    "build_subnet": "keras_models.subnet",
    "build_supernet": "search.build",
    "convert": "convert.converter",
    "factorise": "keras_models.training.low_rank",
    "get_board": "search.board",
    "load_model": "keras_models.saved_model",
    "load_vit": "keras_models.pretrained.vit",
    "normalise": "data.image_data",
    "plan_memory": "plan.planner",
    "quantization_report": "quantize.report",
    "quantize": "quantize.quantize",
    "quantize_images": "data.image_data",
    "summary": "search.cost.summary",
}

__all__ = [
    "FASHION_MNIST_SPACE",
    "KEYWORD_98X40_SPACE",
    "KEYWORD_SPACE",
    "PERSON_SPACE",
    "Architecture",
    "Board",
    "BudgetError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DataWarning",
    "DivergedError",
    "EmulatorError",
    "ImageFolder",
    "McuformerError",
    "MemoryPlan",
    "MicroInterpreter",
    "ModelError",
    "PlanError",
    "QuantizationConfig",
    "QuantizationWarning",
    "Referee",
    "RuntimeVersionError",
    "SearchError",
    "SearchSpace",
    "SpeechCommands",
    "ToolchainError",
    "TrainingRecipe",
    "__version__",
    "build_subnet",
    "build_supernet",
    "convert",
    "data",
    "factorise",
    "get_board",
    "keras_models",
    "load_model",
    "load_vit",
    "normalise",
    "plan",
    "plan_memory",
    "quantization_report",
    "quantize",
    "quantize_images",
    "search",
    "summary",
    "task",
    "zoo",
]

load_on_first_use(__name__, _HOMES, ("data", "keras_models", "plan", "search", "task", "zoo"))
