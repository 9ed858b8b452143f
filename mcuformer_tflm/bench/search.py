"""Benchmark of the search: oracles on known optima, scoring speed, the paper's ablations."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mcuformer_tflm.bench.ablations import (
    NEIGHBOURS,
    SPACE,
    THRESHOLDS,
    Outcome,
    Study,
    Work,
    roomy_budget,
    tight_budget,
)
from mcuformer_tflm.bench.concave_surfaces import KINDS, found_on_random_surfaces
from mcuformer_tflm.bench.evolution_picture import draw_evolution
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.bench.shared_supernets import SharedSupernets
from mcuformer_tflm.bench.supernet_step import supernet_step_rows
from mcuformer_tflm.data.fashion_mnist import fashion_mnist
from mcuformer_tflm.data.image_data import normalise
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner

_INHERITED = "test images, supernet's weights"


def run(
    progress: Report,
    minutes: float = 25.0,
    seeds: int = 3,
    picture: Path | None = None,
    work: Work | None = None,
) -> list[Row]:
    """Returns the rows of all parts.

    Args:
        progress: Called with (what is being done, done, total).
        minutes: No further ablation is begun after so many.
        seeds: Seeds of the ablations.
        picture: Where the path of seed 0's evolution is drawn (the paper's Fig. 4).
        work: How much the ablations train; by default what fits some 25 minutes on two cores.

    Raises:
        ConfigError: If a number is out of range.
    """
    if not minutes > 0 or seeds < 1:
        raise ConfigError(f"minutes is {minutes} and seeds {seeds}; they must be at least 1.")
    work = work or Work()
    supernets = SharedSupernets(SPACE, work.epoch_images // work.batch_size)
    rows = [*_known_optima(), *_scoring(progress), *supernet_step_rows(progress)]
    deadline = time.monotonic() + 60 * minutes
    outcomes: dict[str, list[Outcome]] = {}
    late, data = False, fashion_mnist()
    for seed in range(seeds):
        for outcome in _ablations(Study(data, seed, work, supernets, progress), picture):
            outcomes.setdefault(outcome.name, []).append(outcome)
            rows += _rows(outcome, seed)
            if late := time.monotonic() > deadline:
                break
        if late:
            rows.append(
                Row("search", "ablation", "complete", 0, "", note=f"stopped after {minutes} min")
            )
            break
    return rows + _summaries(outcomes)


def _known_optima() -> Iterator[Row]:
    for kind in KINDS:
        found = found_on_random_surfaces(kind)
        note = f"{found.trials} trainings, {found.pairs} pairs, 200 surfaces"
        case = f"space_evolution/{kind}"
        yield Row("search", case, "found_share", found.evolution, "", note=note)
        yield Row("search", case, "random_found_share", found.random, "", note=note)
    paper = found_on_random_surfaces(update="paper")
    yield Row("search", "space_evolution_as_printed/quadratic", "found_share", paper.evolution,
              "", note='update="paper"')  # fmt: skip


def _scoring(progress: Report, subnets: int = 60) -> Iterator[Row]:
    data = fashion_mnist()
    validation = normalise(data.train_images[:2000]), data.train_classes[:2000]
    space = FASHION_MNIST_SPACE.at(4, 0.9)  # the slowest of its supernets
    with tempfile.TemporaryDirectory() as folder:
        oracle = RandomSubnets(space, roomy_budget(), subnets=subnets)
        tuner = SubnetTuner(oracle, Supernet(space.largest()), report=progress, directory=folder)
        start, processor = time.monotonic(), time.process_time()
        tuner.search(validation_data=validation)
        seconds, processor = time.monotonic() - start, time.process_time() - processor
    note = "2,000 images, patch 4, rank 0.9, one trace and files included"
    yield Row("search", "scoring/demo", "subnets_per_second", subnets / seconds, "1/s", note=note)
    yield Row("search", "scoring/demo", "processor_seconds_per_subnet", processor / subnets, "s",
              note=f"{note}; all cores together, also where others use them")  # fmt: skip


def _ablations(study: Study, picture: Path | None) -> Iterator[Outcome]:
    roomy, tight = roomy_budget(), tight_budget()
    study.train_all()
    largest = SPACE.patch_size[0], SPACE.rank_ratio[-1]
    for suffix, budget in (("", roomy), ("_tight", tight)):
        outcome, history = study.evolved(budget, "evolved" + suffix)
        yield outcome
        if picture is not None and study.seed == 0 and budget == tight:
            draw_evolution(SPACE, history, picture)
        yield study.given_pair("random" + suffix, study.random_pair(budget), budget)
        if budget.fits(SPACE.at(*largest).smallest()):
            yield study.given_pair("maximal" + suffix, largest, budget)
    yield from study.composed({"composed": roomy, "composed_tight": tight})
    for suffix, budget in (("", roomy), ("_tight", tight)):
        yield study.random_search("random_search" + suffix, budget)
    yield study.given_pair("autoformer", largest, Budget(2**40, 2**40, "no budget"))
    for k in NEIGHBOURS:
        yield study.evolved(tight, f"k{k}", k=k)[0]
    for h in THRESHOLDS:
        yield study.evolved(tight, f"h1_{h}", thresholds=(h, 0.01))[0]
        yield study.evolved(tight, f"h2_{h}", thresholds=(0.01, h))[0]
    yield study.evolved(tight, "as_printed", update="paper")[0]


def _rows(outcome: Outcome, seed: int) -> list[Row]:
    case = f"ablation/{outcome.name}/seed{seed}"
    note = f"patch {outcome.pair[0]}, rank {outcome.pair[1]}"
    return [
        Row("search", case, "top1", outcome.top1, "", note=f"{note}; {_INHERITED}"),
        Row("search", case, "arena_bytes", outcome.arena_bytes, "B", note=f"{note}; predicted"),
    ]


def _summaries(outcomes: dict[str, list[Outcome]]) -> list[Row]:
    rows = []
    for name, found in outcomes.items():
        top1 = np.asarray([outcome.top1 for outcome in found])
        case, note = f"ablation/{name}", f"{len(found)} seeds"
        spread = float(top1.std(ddof=1)) if len(top1) > 1 else 0.0
        rows.append(Row("search", case, "top1_mean", float(top1.mean()), "", note=note))
        rows.append(Row("search", case, "top1_deviation", spread, "", note=note))
    for suffix, limit in (("", roomy_budget()), ("_tight", tight_budget())):
        pair = outcomes.get("evolved" + suffix, []), outcomes.get("random_search" + suffix, [])
        margins = [a.top1 - b.top1 for a, b in zip(*pair, strict=False)]
        if margins:
            case = f"ablation/evolved{suffix}_over_random_search"
            note = f"arena of {limit.arena // 1024} KiB, same training steps and subnets scored"
            rows.append(Row("search", case, "margin", float(np.mean(margins)), "", note=note))
            deviation = float(np.std(margins, ddof=1)) if len(margins) > 1 else 0.0
            rows.append(Row("search", case, "margin_deviation", deviation, "", note=note))
    return rows
