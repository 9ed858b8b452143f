"""Random concave scores, on which an oracle must find a known optimum without training."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import numpy as np

from mcuformer_tflm.bench.replay import replay
from mcuformer_tflm.keras_models.checked_values import checked_choice
from mcuformer_tflm.search.oracles.evolution_step import Update
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.space import SearchSpace

Kind = Literal["quadratic", "planes"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclasses.dataclass(frozen=True)
class Found:
    """How often an optimum was found.

    Attributes:
        evolution: Share of surfaces whose optimum the evolution names as the best space.
        random: The same for as many random pairs, all different, the best of which counts.
        trials: Trainings that either may spend.
        pairs: Pairs that there are.
    """

    evolution: float
    random: float
    trials: int
    pairs: int


def concave_surface(rng: np.random.Generator, kind: Kind, limits: tuple[int, int]) -> np.ndarray:
    """Returns a score for each pair: float[patch sizes, rank ratios].

    Its range, from the worst pair to the best, is drawn log-uniformly from 0.02 to 0.6.

    Args:
        rng: Source of randomness.
        kind: ``"quadratic"``: a paraboloid of any direction, whose two curvatures differ by up
            to 20 times and whose peak lies anywhere, on a pair or between. ``"planes"``: the
            least of 3 to 7 planes, with sharp ridges.
        limits: Number of values of each factor.
    """
    checked_choice("kind", kind, KINDS)
    grid = np.stack(np.meshgrid(*map(np.arange, limits), indexing="ij"), -1).astype(float)
    offset = grid - [rng.uniform(0, count - 1) for count in limits]
    if kind == "quadratic":
        angle, curvatures = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(0.05), 0, 2))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        form = turn @ np.diag(curvatures) @ turn.T
        score = -np.einsum("...i,ij,...j", offset, form, offset)
    else:
        count = rng.integers(3, 8)
        slopes = rng.normal(size=(count, 2)) * [1, 0.4]
        score = (offset @ slopes.T + rng.normal(size=count)).min(-1)
    score = (score - score.min()) / np.ptp(score)
    return 0.3 + score * np.exp(rng.uniform(np.log(0.02), np.log(0.6)))


def found_on_random_surfaces(
    kind: Kind = "quadratic", surfaces: int = 200, *, update: Update = "ascend"
) -> Found:
    """Lets the evolution, with its defaults, search the paper's space for known optima.

    Args:
        kind: As for ``concave_surface``.
        surfaces: How many; each has its own seed.
        update: As for ``SpaceEvolution``.

    Raises:
        ConfigError: If ``kind`` or ``update`` is none of those.
    """
    checked_choice("kind", kind, KINDS)
    space = SearchSpace()
    limits = (len(space.patch_size), len(space.rank_ratio))
    hits, random_hits, trials = [], [], 0
    for seed in range(surfaces):
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        surface = concave_surface(rng, kind, limits)

        def score(values: dict[str, Any], surface: np.ndarray = surface) -> float:
            patch, rank = values["patch_size"], values["rank_ratio"]
            return float(surface[space.patch_size.index(patch), space.rank_ratio.index(rank)])

        oracle = SpaceEvolution(space, update=update, inherit="none", seed=seed)
        replay(oracle, score)
        best = oracle.best_space()
        optimum = float(surface.max())
        hits.append(
            score({"patch_size": best.patch_size[0], "rank_ratio": best.rank_ratio[0]}) == optimum
        )
        trials = len(oracle.history)
        random_hits.append(rng.permutation(surface.ravel())[:trials].max() == optimum)
    return Found(float(np.mean(hits)), float(np.mean(random_hits)), trials, surface.size)
