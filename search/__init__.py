"""Search spaces, boards, what a network costs, and keras-tuner's oracles and tuners.

- Spaces and boards: ``SearchSpace`` and the ready ones, ``Board``, ``get_board``.
- What a network costs before it exists: ``Budget``, ``summary``, ``estimate_cost`` and
  the ``..._bytes``.
- Oracles, who decide: ``SpaceEvolution``, ``SubnetEvolution``, ``RandomSubnets``, ``GridSubnets``.
- Tuners, who measure: ``SupernetTuner`` and ``SubnetTuner``.

Names load on first use; modules below may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer_tflm.lazy_names import load_on_first_use

if TYPE_CHECKING:
    from mcuformer_tflm.search.board import Board, SramRegion, get_board
    from mcuformer_tflm.search.build import build_supernet
    from mcuformer_tflm.search.cost.activation_memory import arena_bytes, fits_regions
    from mcuformer_tflm.search.cost.budget import Budget
    from mcuformer_tflm.search.cost.instructions import num_instructions
    from mcuformer_tflm.search.cost.memory import code_bytes, eq5_bytes, flash_bytes, weight_bytes
    from mcuformer_tflm.search.cost.milliseconds import CostEstimate, estimate_cost
    from mcuformer_tflm.search.cost.model_file import model_bytes
    from mcuformer_tflm.search.cost.summary import summary
    from mcuformer_tflm.search.image_space import image_space
    from mcuformer_tflm.search.oracles.front import Front, ScoredSubnet
    from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
    from mcuformer_tflm.search.oracles.space_gaussian_process import SpaceGaussianProcess
    from mcuformer_tflm.search.oracles.space_halving import SpaceHalving
    from mcuformer_tflm.search.oracles.subnet_baselines import GridSubnets, RandomSubnets
    from mcuformer_tflm.search.oracles.subnet_evolution import SubnetEvolution
    from mcuformer_tflm.search.space import (
        FASHION_MNIST_SPACE,
        FASHION_MNIST_WIDE_SPACE,
        KEYWORD_98X40_SPACE,
        KEYWORD_SPACE,
        PERSON_SPACE,
        SearchSpace,
    )
    from mcuformer_tflm.search.trained_supernet import TrainedSupernet
    from mcuformer_tflm.search.tuners.scoring import ScoreSettings
    from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner
    from mcuformer_tflm.search.tuners.supernet_tuner import SupernetTuner

_HOMES = {
    "FASHION_MNIST_SPACE": "space",
    "FASHION_MNIST_WIDE_SPACE": "space",
    "KEYWORD_98X40_SPACE": "space",
    "KEYWORD_SPACE": "space",
    "PERSON_SPACE": "space",
    "Board": "board",
    "Budget": "cost.budget",
    "CostEstimate": "cost.milliseconds",
    "Front": "oracles.front",
    "GridSubnets": "oracles.subnet_baselines",
    "RandomSubnets": "oracles.subnet_baselines",
    "ScoreSettings": "tuners.scoring",
    "ScoredSubnet": "oracles.front",
    "SearchSpace": "space",
    "SpaceEvolution": "oracles.space_evolution",
    "SpaceGaussianProcess": "oracles.space_gaussian_process",
    "SpaceHalving": "oracles.space_halving",
    "SramRegion": "board",
    "SubnetEvolution": "oracles.subnet_evolution",
    "SubnetTuner": "tuners.subnet_tuner",
    "SupernetTuner": "tuners.supernet_tuner",
    "TrainedSupernet": "trained_supernet",
    "arena_bytes": "cost.activation_memory",
    "build_supernet": "build",
    "code_bytes": "cost.memory",
    "eq5_bytes": "cost.memory",
    "estimate_cost": "cost.milliseconds",
    "fits_regions": "cost.activation_memory",
    "flash_bytes": "cost.memory",
    "get_board": "board",
    "image_space": "image_space",
    "model_bytes": "cost.model_file",
    "num_instructions": "cost.instructions",
    "summary": "cost.summary",
    "weight_bytes": "cost.memory",
}

__all__ = [
    "FASHION_MNIST_SPACE",
    "FASHION_MNIST_WIDE_SPACE",
    "KEYWORD_98X40_SPACE",
    "KEYWORD_SPACE",
    "PERSON_SPACE",
    "Board",
    "Budget",
    "CostEstimate",
    "Front",
    "GridSubnets",
    "RandomSubnets",
    "ScoreSettings",
    "ScoredSubnet",
    "SearchSpace",
    "SpaceEvolution",
    "SpaceGaussianProcess",
    "SpaceHalving",
    "SramRegion",
    "SubnetEvolution",
    "SubnetTuner",
    "SupernetTuner",
    "TrainedSupernet",
    "arena_bytes",
    "build_supernet",
    "code_bytes",
    "eq5_bytes",
    "estimate_cost",
    "fits_regions",
    "flash_bytes",
    "get_board",
    "image_space",
    "model_bytes",
    "num_instructions",
    "summary",
    "weight_bytes",
]

load_on_first_use(__name__, _HOMES)
