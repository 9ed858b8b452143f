"""Benchmark of the search: oracles on known optima, speed, strategies at equal steps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mcuformer_tflm.bench.concave_surfaces import KINDS, found_on_random_surfaces
from mcuformer_tflm.bench.proof import run_proof
from mcuformer_tflm.bench.rows import Row
from mcuformer_tflm.bench.supernet_step import supernet_step_rows
from mcuformer_tflm.data.fashion_mnist import fashion_mnist
from mcuformer_tflm.data.image_data import normalise
from mcuformer_tflm.keras_models.exceptions import ConfigError
from mcuformer_tflm.keras_models.supernet import Supernet
from mcuformer_tflm.search.board import get_board
from mcuformer_tflm.search.cost.budget import Budget
from mcuformer_tflm.search.oracles.subnet_baselines import RandomSubnets
from mcuformer_tflm.search.progress import Report
from mcuformer_tflm.search.space import FASHION_MNIST_SPACE
from mcuformer_tflm.search.tuners.subnet_tuner import SubnetTuner

_DIRECTORY = Path("build/bench-search")


def run(
    progress: Report,
    minutes: float = 25.0,
    picture: Path | None = None,
    directory: Path | None = None,
) -> list[Row]:
    """Returns the rows of all parts; of the strategies what is done by then, and what lacks.

    Args:
        progress: Called with (what is being done, done, total).
        minutes: No further training, scoring or test is begun after so many.
        picture: Where the way of the first seed's evolution is drawn (the paper's Fig. 4).
        directory: Where the strategies' trainings and scores are kept, to be gone on with; by
            default ``build/bench-search``.

    Raises:
        ConfigError: If ``minutes`` is out of range.
    """
    if not minutes > 0:
        raise ConfigError(f"minutes is {minutes}; it must be above 0.")
    deadline = time.monotonic() + 60 * minutes
    rows = [*_known_optima(), *_scoring(progress), *supernet_step_rows(progress)]
    return rows + run_proof(directory or _DIRECTORY, progress, deadline=deadline, picture=picture)


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
        budget = Budget.of_board(get_board("stm32f427"), arena=64 * 1024)
        oracle = RandomSubnets(space, budget, subnets=subnets)
        tuner = SubnetTuner(oracle, Supernet(space.largest()), report=progress, directory=folder)
        start, processor = time.monotonic(), time.process_time()
        tuner.search(validation_data=validation)
        seconds, processor = time.monotonic() - start, time.process_time() - processor
    note = "2,000 images, patch 4, rank 0.9, one trace and files included"
    yield Row("search", "scoring/demo", "subnets_per_second", subnets / seconds, "1/s", note=note)
    yield Row("search", "scoring/demo", "processor_seconds_per_subnet", processor / subnets, "s",
              note=f"{note}; all cores together, also where others use them")  # fmt: skip
