"""How a pair is found, for the same number of training steps each: see ``proof``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from mcuformer_tflm.bench.equal_steps import Pair, Study, Training
from mcuformer_tflm.bench.replay import replay
from mcuformer_tflm.keras_models.architecture import Architecture
from mcuformer_tflm.search.cost.fit import Fit
from mcuformer_tflm.search.cost.fitting_subnets import FittingSubnets
from mcuformer_tflm.search.cost.memory import num_macs
from mcuformer_tflm.search.oracles.evolution_step import Visit
from mcuformer_tflm.search.oracles.hyperparameters import source_from_values, space_from_values
from mcuformer_tflm.search.oracles.space_evolution import SpaceEvolution
from mcuformer_tflm.search.oracles.space_gaussian_process import SpaceGaussianProcess
from mcuformer_tflm.search.oracles.space_halving import SpaceHalving
from mcuformer_tflm.search.oracles.space_oracle import SpaceOracle
from mcuformer_tflm.search.space import SearchSpace

_CAPACITY_SAMPLES = 100
_COMPOSED_TURN = 2
# Half of a search's epochs go into pairs, one a visit, half into the pair that was chosen.
_STARTS, _STEPS = 4, 5


@dataclasses.dataclass(frozen=True)
class Found:
    """Where a strategy ends.

    Attributes:
        training: The last training of the supernet whose subnets are searched.
        space: Of the subnets.
        evolve: Whether subnets evolve, or as many are drawn at random.
        history: Visits of pairs.
    """

    training: Training
    space: SearchSpace
    evolve: bool = True
    history: tuple[Visit, ...] = ()

    @property
    def network(self) -> Architecture | None:
        """The one that was trained, where that was no supernet; then no subnet is searched."""
        only = self.training.only
        return None if only is None else Architecture.from_json(only)


Strategy = Callable[[Study], Found]


def by_oracle(make: Callable[[Study], SpaceOracle], *, networks: bool = False) -> Strategy:
    """Returns the strategy that asks an oracle, then trains its best pair with what is left.

    Args:
        make: Makes the oracle.
        networks: Whether one network of a pair is trained, alone, in place of the pair's supernet.
    """

    def find(study: Study) -> Found:
        oracle = make(study)
        oracle.leave_out([
            pair for pair in study.space.pairs() if not study.fit(pair.smallest())
        ])  # fmt: skip
        last: dict[Pair, Training] = {}
        spent = 0

        def network(space: SearchSpace) -> Architecture | None:
            return one_network(study, space) if networks else None

        def score(values: dict[str, Any]) -> float:
            nonlocal spent
            pair = Pair.of(space_from_values(values, study.space))
            epochs = oracle.epochs_of(values)
            source = source_from_values(values, study.space)
            alone = network(space_from_values(values, study.space))
            last[pair] = Training(
                pair, epochs, values["epochs"] - epochs, before=last.get(pair),
                source=None if source is None else last[Pair.of(source)],
                only=None if alone is None else alone.to_json(),
            )  # fmt: skip
            spent += epochs
            if alone is not None:
                return study.network_score(last[pair], alone)
            return study.score(last[pair])

        replay(oracle, score)
        best = oracle.best_space(lambda space: study.fit(space.smallest()))
        training = _to_the_end(study, Pair.of(best), spent, last[Pair.of(best)])
        return Found(training, best, history=tuple(oracle.history))

    return find


def evolution(**options: Any) -> Strategy:
    """Returns the paper's evolution; by default every pair starts from nothing."""
    options = {"inherit": "none", **options}
    return by_oracle(
        lambda study: SpaceEvolution(
            study.space, _STARTS, steps=_STEPS, epochs=1, seed=study.seed, **options
        )
    )


def halving(*, networks: bool = False, **options: Any) -> Strategy:
    """Returns successive halving; by default 8 pairs of an epoch, 4 of 2 more, 2 of 4 more."""
    options = {"pairs": 8, "epochs": 1, **options}
    return by_oracle(
        lambda study: SpaceHalving(study.space, seed=study.seed, **options), networks=networks
    )


def gaussian_process(study: Study) -> Found:
    """Visits 16 pairs, an epoch each, where improvement is expected."""
    return by_oracle(lambda _: SpaceGaussianProcess(study.space, epochs=1, seed=study.seed))(study)


def random_pair(study: Study) -> Found:
    """Takes a pair at random among those that hold a subnet that fits."""
    pairs = [pair for pair in study.space.pairs() if study.fit(pair.smallest())]
    chosen = pairs[int(np.random.default_rng([study.seed, 1]).integers(len(pairs)))]
    return _given(study, chosen)


def random_search(study: Study) -> Found:
    """Takes the same pair at random, and subnets at random too."""
    return dataclasses.replace(random_pair(study), evolve=False)


def random_network(study: Study) -> Found:
    """Takes the same pair at random, and one network of it, which is trained alone."""
    found = random_pair(study)
    network = one_network(study, found.space)
    training = dataclasses.replace(found.training, only=network.to_json())
    return dataclasses.replace(found, training=training)


def one_network(study: Study, pair: SearchSpace) -> Architecture:
    """Returns the network that stands for a pair: of 20 that fit, the one that computes most."""
    return FittingSubnets(pair, study.fit).largest_drawn(np.random.default_rng(study.seed))


def maximal(study: Study) -> Found:
    """Takes the smallest patch and the highest rank."""
    largest = study.space.largest()
    return _given(
        study, study.space.at(largest.patch_size, largest.rank_ratio or 1.0, stem=largest.stem)
    )


def most_capacity(study: Study) -> Found:
    """Takes the pair whose subnets that fit compute most: a proxy that costs no step."""
    return _given(study, by_capacity(study)[0])


def by_capacity(study: Study) -> list[SearchSpace]:
    """Returns the pairs by the median MACs of subnets that fit, the greatest first."""

    def capacity(pair: SearchSpace) -> float:
        subnets = FittingSubnets(pair, study.fit)
        rng = np.random.default_rng(study.seed)
        return float(np.median([num_macs(subnets.sample(rng)) for _ in range(_CAPACITY_SAMPLES)]))

    pairs = [pair for pair in study.space.pairs() if study.fit(pair.smallest())]
    return sorted(pairs, key=capacity, reverse=True)


def composed(study: Study) -> Found:
    """Trains one supernet of all pairs: patch sizes and stems in turn, ranks step by step."""
    places = [
        Pair(patch_size, None, stem)
        for patch_size in study.space.patch_size
        for stem in study.space.stems_of(patch_size)
        if _holds_one(study.fit, Pair(patch_size, None, stem).within(study.space))
    ]
    before, done = None, 0
    while done < study.settings.epochs:
        turn = min(_COMPOSED_TURN, study.settings.epochs - done)
        place = places[done // _COMPOSED_TURN % len(places)]
        before = Training(place, turn, done, before=before)
        done += turn
    assert before is not None
    return Found(before, study.space)


# The supernet's steps draw subnets that fit, and all spend the same epochs.
STRATEGIES: dict[str, Strategy] = {
    "networks": halving(networks=True, pairs=5, epochs=5, reduction=5),
    "halving_networks": halving(networks=True),
    "random_search": random_search,
    "random_network": random_network,
    "halving": halving(),
    "random_pair": random_pair,
    "evolved": evolution(),
    "evolved_inherited": evolution(inherit="nearest"),
    "halving_inherited": halving(inherit="nearest"),
    "gaussian_process": gaussian_process,
    "halving_by_three": halving(pairs=6, epochs=2, reduction=3),
    "most_capacity": most_capacity,
    "composed": composed,
    "maximal": maximal,
}
# Of the product: what `mcuformer search` does where nothing else is asked for.
DEFAULT = "networks"
# Of which there are more seeds, the paper's way and chance among them.
CONTENDERS = (DEFAULT, "evolved_inherited", "random_network")
# Those of the paper's Table 2 and Figure 5, beside "evolved", which has k = 5 and h = 0.01.
NEIGHBOURS = (2, 3, 8)
THRESHOLDS = (0.003, 0.03, 0.1)
VARIANTS: dict[str, Strategy] = {
    "as_printed": evolution(update="paper"),
    **{f"k{k}": evolution(k=k) for k in NEIGHBOURS},
    **{f"h1_{h}": evolution(thresholds=(h, 0.01, 0.01)) for h in THRESHOLDS},
    **{f"h2_{h}": evolution(thresholds=(0.01, h, 0.01)) for h in THRESHOLDS},
}


def _given(study: Study, space: SearchSpace) -> Found:
    return Found(_to_the_end(study, Pair.of(space), 0, None), space)


def _to_the_end(study: Study, pair: Pair, spent: int, before: Training | None) -> Training:
    behind = 0 if before is None else before.behind + before.epochs
    only = None if before is None else before.only
    return Training(pair, study.settings.epochs - spent, behind, before=before, only=only)


def _holds_one(fit: Fit, space: SearchSpace) -> bool:
    return fit(space.at(space.patch_size[0], space.rank_ratio[0], stem=space.stem[0]).smallest())
