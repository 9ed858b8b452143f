"""What users call in ``search``, with each argument wrong in many ways: errors of ours alone."""

import math

import numpy as np
import pytest
from tiny_search import BUDGET, SPACE, quiet

from mcuformer_tflm.keras_models.exceptions import McuformerError
from mcuformer_tflm.keras_models.quantization.config import INT8
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.keras_models.training.recipe import TrainingRecipe
from mcuformer_tflm.search.board import Board, SramRegion, get_board
from mcuformer_tflm.search.cost.activation_memory import arena_bytes
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.instructions import num_instructions
from mcuformer_tflm.search.cost.memory import eq5_bytes, flash_bytes, num_macs, num_parameters
from mcuformer_tflm.search.cost.milliseconds import estimate_cost
from mcuformer_tflm.search.cost.summary import summary
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.space_gaussian_process import SpaceGaussianProcess
from mcuformer_tflm.search.oracles.space_halving import SpaceHalving
from mcuformer_tflm.search.oracles.subnet_baselines import GridSubnets, RandomSubnets
from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
from mcuformer_tflm.search.tuners.scoring import ScoreSettings
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
from mcuformer_tflm.search.tuners.supernet_tuner import SupernetTuner

PAIR = SPACE.at(4, 0.5)
NET = PAIR.largest()
RNG = np.random.default_rng(0)
REGION = SramRegion("sram", 0, 10)
_ORACLE = {"space": PAIR, "seed": 0, "worker_timeout": 5.0}
_SUBNETS = {**_ORACLE, "budget": BUDGET, "memory": "arena"}
_PROJECT = {"report": quiet, "project_name": "search", "overwrite": True}

CALLS = [
    (SpaceHalving, {**_ORACLE, "pairs": 2, "epochs": 1, "reduction": 2, "first": (),
                    "inherit": "nearest"}),
    (SpaceGaussianProcess, {**_ORACLE, "pairs": 2, "initial": 1, "epochs": 1, "inherit": "none"}),
    (SpaceEvolution, {**_ORACLE, "starts": 2, "steps": 2, "epochs": 1, "k": 2, "update": "ascend",
                      "inherit": "none", "thresholds": (0.1, 0.1)}),
    (SubnetEvolution, {**_SUBNETS, "population": 4, "parents": 2, "generations": 1,
                       "whole_probability": 0.2, "block_probability": 0.2}),
    (RandomSubnets, {**_SUBNETS, "subnets": 4}),
    (GridSubnets, {"space": PAIR, "budget": BUDGET, "memory": "arena", "worker_timeout": 5.0}),
    (ScoreSettings, {"eta": 0.1, "accuracy_samples": 1, "fit_samples": 1}),
    (Budget, {"arena": 1, "flash": 1, "name": "x", "banks": (1,), "quantization": INT8,
              "milliseconds": 5.0, "board": get_board("stm32f427")}),
    (Budget.of_board, {"board": "stm32f427", "arena": 1000, "quantization": INT8,
                       "milliseconds": 5.0}),
    (SramRegion, {"name": "sram", "address": 0, "size": 10}),
    (Board, {"name": "x", "core": "cortex-m4", "sram_regions": (REGION,), "flash": 10,
             "external_flash": 0, "flash_address": 1 << 27, "external_flash_address": 1 << 28,
             "external_bytes_per_second": 1, "megahertz": 1, "cycles_per_instruction": 1.0,
             "interrupts": 1, "fpu": "fpv4-sp-d16", "start_up": "wake",
             "peripherals": (SramRegion("io", 0x40000000, 9),)}),
    (get_board, {"name": "stm32f427"}),
    (Fit, {"budget": BUDGET, "memory": "arena"}),
    (Fit(BUDGET).require, {"space": PAIR}),
    (Fit(BUDGET), {"architecture": NET}),
    (summary, {"architecture": NET, "quantization": INT8, "board": "stm32f427"}),
    (num_instructions, {"architecture": NET, "core": "cortex-m4", "image": "whole",
                        "quantization": INT8, "kept": (0,), "block_tokens": 8}),
    (estimate_cost, {"architecture": NET, "board": "stm32f427", "image": "whole",
                     "quantization": INT8, "kept": (0,), "block_tokens": 8}),
    (arena_bytes, {"architecture": NET, "image": "whole", "quantization": INT8}),
    (flash_bytes, {"architecture": NET, "core": "cortex-m4", "quantization": INT8}),
    (eq5_bytes, {"architecture": NET}),
    (num_macs, {"architecture": NET}),
    (num_parameters, {"architecture": NET}),
    (SPACE.at, {"patch_size": 4, "rank_ratio": 0.5}),
    (SPACE.sample, {"rng": RNG}),
    (SPACE.mutate, {"architecture": NET, "rng": RNG, "whole_probability": 0.2,
                    "block_probability": 0.2}),
    (SPACE.crossover, {"one": NET, "other": NET, "rng": RNG}),
    (SPACE.smaller, {"architecture": NET}),
    (SPACE.contains, {"architecture": NET}),
    (SubnetTuner, {**_PROJECT, "oracle": RandomSubnets(PAIR, BUDGET, subnets=1),
                   "supernet": Supernet(NET)}),
    (SupernetTuner, {**_PROJECT, "oracle": SpaceEvolution(PAIR), "budget": BUDGET, "seed": 0,
                     "memory": "arena", "settings": ScoreSettings(), "recipe": TrainingRecipe(),
                     "start": "random", "subnets": "fitting", "teacher": None, "directory": "."}),
]  # fmt: skip
# Of no argument's type; the rest is out of most ranges.
_FOREIGN = [object(), [[1], [2]], b"ab", {}, np.zeros((2, 2))]
_WRONG = [None, "", "3", -1, 0, math.nan, math.inf, 1.5, 10**30, (), True, *_FOREIGN]


@pytest.mark.parametrize(
    ("call", "good"), CALLS, ids=[getattr(call, "__qualname__", "fits") for call, _ in CALLS]
)
def test_wrong_argument_is_refused_with_an_error_of_ours(call, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(**good)
    for name in good:
        for wrong in _WRONG:
            refused = False
            try:
                call(**{**good, name: wrong})
            except McuformerError:
                refused = True
            assert refused or not any(wrong is value for value in _FOREIGN), (name, wrong)
